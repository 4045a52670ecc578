"""Where reading stopped, file by file, in a form that proves that what lies before it is still the same.

A cursor holds, for each file, the offset, the number of rows, and a digest of all bytes up to there. A file whose bytes
before the offset are the same only grew; any other has changed and is read again. The digest is a chain over blocks, so
that it can go on from a cursor; the bytes before it are read again only when the file's size, time or inode differ.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VERSION = 1
BLOCK = 1 << 18
#: A file that changed this shortly before it was looked at may change again without a new time: it is read to be sure.
SETTLED_SECONDS = 2.0


class PrefixDigest:
    """A digest of a file's first `size` bytes."""

    def __init__(self, chain: bytes = b"", blocks: int = 0) -> None:
        self.chain = chain
        self.size = blocks * BLOCK
        self._tail = hashlib.blake2b(chain, digest_size=16)

    def advance(self, descriptor: int, to: int) -> None:
        """Covers the file up to `to`, or to its end if that comes first."""
        while self.size < to:
            room = min(BLOCK - self.size % BLOCK, to - self.size)
            piece = os.pread(descriptor, room, self.size)
            if not piece:
                return
            self._tail.update(piece)
            self.size += len(piece)
            if self.size % BLOCK == 0:
                self.chain = self._tail.digest()
                self._tail = hashlib.blake2b(self.chain, digest_size=16)

    def hexdigest(self) -> str:
        """Of all that is covered."""
        return self._tail.hexdigest()


@dataclass(frozen=True, slots=True)
class Mark:
    """Where reading one file stopped."""

    offset: int
    rows: int
    chain: str
    digest: str
    understood: str
    """A digest of the dialect that the rows were read in: a file that grows and reads differently starts again."""
    dialect: Mapping[str, Any] = field(default_factory=dict)
    """The dialect itself, until the file has ended."""
    ended: bool = False
    """True when the file held no more."""
    tail: str = ""
    """How the file ended when it was read: `line` without the end of its last line, which what is appended must begin
    with; `quote` inside quotes, so that what is appended may be more of a row that was read."""
    size: int = 0
    """How long the file was when `tail` was true of it."""
    stat: tuple[int, ...] = ()
    """Device, inode, size and time of the file, once it has settled; empty for what was downloaded."""

    def prefix(self, descriptor: int, *, trusted: bool) -> PrefixDigest | None:
        """The digest up to the offset, ready to go on; None when the bytes before the offset are not the same."""
        blocks = self.offset // BLOCK if trusted else 0
        digest = PrefixDigest(bytes.fromhex(self.chain) if blocks else b"", blocks)
        digest.advance(descriptor, self.offset)
        return digest if digest.size == self.offset and digest.hexdigest() == self.digest else None


def dump(marks: Mapping[str, Mark]) -> str:
    """The cursor that stands for these marks."""
    files = {name: asdict(mark) for name, mark in marks.items()}
    return json.dumps({"version": VERSION, "files": files}, separators=(",", ":"))


def load(cursor: str | None) -> dict[str, Mark]:
    """The marks in a cursor; none for None and for what another version wrote, which starts from the first row."""
    try:
        written = json.loads(cursor or "{}")
        if written.get("version") != VERSION:
            return {}
        return {name: Mark(**{**mark, "stat": tuple(mark["stat"])}) for name, mark in written["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def rows_behind(cursor: str | None) -> int:
    """How many rows lie before the cursor: so many are unchanged when a sweep finds nothing new."""
    return sum(mark.rows for mark in load(cursor).values())
