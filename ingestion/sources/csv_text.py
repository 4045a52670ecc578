"""The bytes of a CSV file as lines of text, in constant memory whatever it holds, and without losing track of bytes.

While a file is cut, a byte is a character (`latin-1`): commas, quotes and line ends are the same in UTF-8 and in every
one-byte encoding, so where a record ends does not depend on which of them it is, and one wrong byte spoils one record.
Which encoding it is, is decided for each page. UTF-16 alone is decoded first.
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ingestion.errors import Malformed
from ingestion.sources.csv_records import MAX_RECORD, Layout

#: The encoding in which bytes are characters.
BYTES = "latin-1"
CHUNK = 1 << 18
#: What is kept of a line that is too long to be kept.
KEPT = 1 << 12

_MAGIC = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "compressed with gzip twice"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"(\xb5/\xfd", "compressed with zstd"),
    (b"\xff\xfe\x00\x00", "text in UTF-32"),
    (b"\x00\x00\xfe\xff", "text in UTF-32"),
)
_MARKUP = (
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r"))


def codec_of(head: bytes, name: str) -> tuple[str, int]:
    """The codec to cut the file in, and the length of its byte order mark. Raises Malformed when it is no text."""
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise Malformed(f"{name} is {what}, not a CSV.")
    for mark, codec in (
        (codecs.BOM_UTF8, BYTES),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return codec, len(mark)
    sample = head[:4096]
    half = max(len(sample) // 2, 1)
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if len(sample) >= 4 and max(even, odd) > 0.4 and min(even, odd) < 0.05:
        return ("utf-16-le" if odd > even else "utf-16-be"), 0
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > 2 and controls > len(head) // 100:
        raise Malformed(f"{name} is not text: {controls:,} of its first {len(head):,} bytes are control characters.")
    start = head[:200].lstrip().lower()
    for markup, what in _MARKUP:
        if start.startswith(markup):
            raise Malformed(f"{name} holds {what}, not a CSV.")
    return BYTES, 0


def encoding_of(body: bytes) -> str:
    """The encoding that a piece of a file in one of the byte encodings can be read in, the likeliest first."""
    for encoding in ("utf-8", "cp1252"):
        try:
            body.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def readable(text: str, codec: str) -> str:
    """Text as it was cut, as a person reads it."""
    if codec != BYTES or text.isascii():
        return text
    body = text.encode(BYTES)
    return body.decode(encoding_of(body))


def runs_of_one_encoding(records: list[str], codec: str) -> Iterator[tuple[str, list[str]]]:
    """Records as they were cut, in as few runs as their encodings allow: nearly always one."""
    if codec != BYTES or not records:
        if records:
            yield codec, records
        return
    with suppress(UnicodeDecodeError):
        "".join(records).encode(BYTES).decode("utf-8")
        yield "utf-8", records
        return
    start, usual = 0, ""
    for at, record in enumerate(records):
        encoding = "" if record.isascii() else encoding_of(record.encode(BYTES))
        if encoding and usual and encoding != usual:
            yield usual, records[start:at]
            start = at
        usual = encoding or usual
    yield usual, records[start:]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that can't be kept as it is: too long, or holding NUL bytes, which no database takes as text."""

    shown: str
    size: int
    """In bytes, its end included."""
    trouble: str


class LineReader:
    """The lines of an open file from an offset on, a block at a time."""

    def __init__(self, descriptor: int, offset: int, codec: str, layout: Layout, name: str) -> None:
        self._descriptor = descriptor
        self._codec = codec
        self._layout = layout
        self._name = name
        self._decoder = codecs.getincrementaldecoder(codec)()
        self.start = offset
        self.position = offset
        """Up to where bytes were read."""
        self.seen = hashlib.blake2b(digest_size=16)
        """Over the bytes from `start` to `position`."""
        self.unended_line = False
        """True when the file's last line has no end; known when all blocks are read."""

    def blocks(self) -> Iterator[tuple[list[str], Unreadable | None]]:
        """Whole lines, at times followed by one that is unreadable. The very last line may have no end."""
        newline, carry, skipped = self._layout.newline, "", 0
        for text in self._texts():
            if skipped:
                end = text.find(newline) + 1
                skipped += self._size(text[:end] if end else text)
                if not end:
                    continue
                yield [], self._too_long(carry, skipped)
                text, carry, skipped = text[end:], "", 0
            lines = self._layout.lines(carry + text)
            carry = lines.pop() if lines and not lines[-1].endswith(newline) else ""
            yield from self._without_unreadable(lines)
            if len(carry) > MAX_RECORD:
                skipped, carry = self._size(carry), carry[:KEPT]
        self.unended_line = bool(carry)
        if skipped:
            yield [], self._too_long(carry, skipped)
        elif carry:
            yield from self._without_unreadable([carry])

    def is_still_there(self) -> bool:
        """True when the file still holds the bytes that were read from it."""
        again, at = hashlib.blake2b(digest_size=16), self.start
        while at < self.position and (piece := os.pread(self._descriptor, min(CHUNK, self.position - at), at)):
            again.update(piece)
            at += len(piece)
        return again.digest() == self.seen.digest()

    def _texts(self) -> Iterator[str]:
        while True:
            chunk = os.pread(self._descriptor, CHUNK, self.position)
            self.position += len(chunk)
            self.seen.update(chunk)
            try:
                text = self._decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                place = f"bytes near {self.position - len(chunk):,} that are no {self._codec.upper()}"
                raise Malformed(f"{self._name} holds {place}: {error.reason}.") from None
            if text:
                yield text
            if not chunk:
                return

    def _without_unreadable(self, lines: list[str]) -> Iterator[tuple[list[str], Unreadable | None]]:
        # Only the first line of a block can be longer than a chunk.
        if not lines or (len(lines[0]) <= MAX_RECORD and not any("\0" in line for line in lines)):
            yield lines, None
            return
        good: list[str] = []
        for line in lines:
            if len(line) > MAX_RECORD:
                yield good, self._too_long(line[:KEPT], self._size(line))
            elif "\0" in line:
                yield good, Unreadable(self._shown(line), self._size(line), "holds NUL bytes, which no text does")
            else:
                good.append(line)
                continue
            good = []
        yield good, None

    def _too_long(self, start: str, size: int) -> Unreadable:
        return Unreadable(
            self._shown(start),
            size,
            f"is {size:,} bytes long, where {MAX_RECORD:,} are the most; its start alone is kept",
        )

    def _shown(self, text: str) -> str:
        return readable(text[:KEPT].rstrip("\r\n"), self._codec).replace("\0", "\N{SYMBOL FOR NULL}")

    def _size(self, text: str) -> int:
        return len(text.encode(self._codec))
