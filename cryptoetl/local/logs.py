"""`make logs`: follows the logs of all programs, each line behind its program's name, across rotations."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import IO

from cryptoetl.local.environment import folder_for, given
from cryptoetl.local.folder import Folder
from cryptoetl.local.trouble import Trouble

LINES_AT_FIRST = 10
PAUSE_SECONDS = 0.3


class Follower:
    """One log file, read from where it was left; after a rotation, the new one from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None
        self.rest = b""

    def lines(self) -> list[str]:
        """The whole lines written since the last call; at the first, the last few of the file."""
        first = self.file is None
        if self.file is None:
            self.file = self.path.open("rb")
        content = self.file.read()
        if self._rotated():
            self.file.close()
            self.file = self.path.open("rb")
            content += self.file.read()
        *whole, self.rest = (self.rest + content).split(b"\n")
        text = [line.decode("utf-8", "replace") for line in whole]
        return text[-LINES_AT_FIRST:] if first else text

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _rotated(self) -> bool:
        assert self.file is not None
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        then = os.fstat(self.file.fileno())
        return not os.path.samestat(now, then) or now.st_size < self.file.tell()


def logs(follow: bool = True) -> int:
    folder = folder_for(given())
    if not folder.read_state():
        raise Trouble(f"There is no system in {folder.path}: start one with `make up`.")
    followers: dict[str, Follower] = {}
    try:
        while True:
            show(folder, followers)
            if not follow:
                return 0
            time.sleep(PAUSE_SECONDS)
    except KeyboardInterrupt:
        return 0
    finally:
        for follower in followers.values():
            follower.close()


def show(folder: Folder, followers: dict[str, Follower]) -> None:
    """Prints what is new in all logs."""
    for path in sorted(folder.log.glob("*.log")):
        follower = followers.setdefault(path.stem, Follower(path))
        for line in follower.lines():
            sys.stdout.write(f"{path.stem:<11}| {line}\n")
    sys.stdout.flush()
