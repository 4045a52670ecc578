"""VAR, the one folder that holds everything the local system keeps: data, logs, passwords, sockets. Mode 700.

Nothing outside it is changed. A folder that holds something else is refused, so that a slip of the finger
(VAR=$HOME) neither closes it to others nor lets `make demo DOWN=1` remove it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptoetl.local.trouble import Trouble

CLONE = Path(__file__).resolve().parent.parent.parent


class Folder:
    """Paths inside VAR, and the state file that says what runs in it."""

    def __init__(self, path: Path | str) -> None:
        # Resolved, so that one folder has one name however it is reached.
        self.path = Path(os.path.realpath(os.path.expanduser(path)))
        self.postgres = self.path / "postgres"
        self.redis = self.path / "redis"
        self.log = self.path / "log"
        self.run = self.path / "run"
        self.state_file = self.path / "state.json"

    @property
    def tag(self) -> str:
        """Names this folder where its path would be too long: PostgreSQL shows it in the title of every process."""
        return "cryptoetl-" + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    def prepare(self) -> None:
        """The folder exists, is ours, and nobody else can look into it."""
        if "\n" in str(self.path):
            raise Trouble("VAR must name a folder without a line break in its path.", code=2)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.state_file.exists() and any(name.name != "state.json.new" for name in self.path.iterdir()):
                raise Trouble(self._no_copy(), code=2)
            if self.path.stat().st_uid != os.geteuid():
                raise Trouble(
                    f"VAR names {self.path}, which belongs to another user: choose a folder of your own.", code=2
                )
            self.path.chmod(0o700)
            # The state comes first: a folder cut off half made is known again by it.
            if not self.state_file.exists():
                self.write_state({})
            for folder in (self.log, self.run):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Trouble(f"VAR names {self.path}, which can't be used: {error.strerror}.", code=2) from error

    def _no_copy(self) -> str:
        if self.postgres.is_dir():
            return (
                f"{self.state_file} is gone, and the servers' passwords with it: restore it, or run `make down` and"
                f" remove {self.path} with the data in it."
            )
        return f"VAR names {self.path}, which holds other things: choose an empty or a new folder."

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One command at a time starts or stops what is here; the next waits. The lock dies with its holder."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"Another command is starting or stopping the system in {self.path}: waiting for it.", flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def read_state(self) -> dict[str, Any]:
        """What is known about the copy in this folder; empty when there is none."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise Trouble(f"{self.state_file} can't be read: {error.strerror}.") from error
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise Trouble(
                f"{self.state_file} is damaged: it holds the servers' passwords; restore it, or remove {self.path}."
            )
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """Replaces the state as a whole; a power cut leaves the old one or the new one."""
        new = self.path / "state.json.new"
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state_file)
        sync_folder(self.path)


def sync_folder(path: Path) -> None:
    """What was renamed or created in the folder survives a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def password() -> str:
    """A password that needs no quoting in any address or configuration file."""
    return secrets.token_urlsafe(32).replace("-", "x").replace("_", "y")
