"""The processes that belong to a folder, found by what they carry and never by their name.

Everything that `make up` starts inherits the variable CRYPTOETL_VAR from the supervisor, its children and their
children included. PostgreSQL overwrites its environment with its title, so the title carries the folder's tag. A number
read from a pid file proves nothing: after a power cut it may be anybody's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from cryptoetl.local.folder import Folder

MARK, PROGRAM_MARK = "CRYPTOETL_VAR", "CRYPTOETL_PROGRAM"


@dataclass(frozen=True)
class Found:
    """One process; `program` is the supervised program it is part of, None for the supervisor itself."""

    process: psutil.Process
    program: str | None
    is_postmaster: bool

    @property
    def alive(self) -> bool:
        # psutil compares the start time too, so a number that has passed on to another process counts as dead.
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        return False


def of(folder: Folder) -> list[Found]:
    """Every living process of the folder but the one that asks."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error):
            part = _part_of(folder, process)
            if part and part.alive:
                found.append(part)
    return found


def _part_of(folder: Folder, process: psutil.Process) -> Found | None:
    command = process.cmdline()
    if command and command[0].startswith(f"postgres: {folder.tag}:"):
        return Found(process, "postgres", is_postmaster=False)
    if str(folder.postgres) in command and os.path.basename(command[0]) == "postgres":
        return Found(process, "postgres", is_postmaster=True)
    with contextlib.suppress(psutil.AccessDenied):
        environment = process.environ()
        if environment.get(MARK) == str(folder.path):
            return Found(process, environment.get(PROGRAM_MARK), is_postmaster=False)
    return None


def end(folder: Folder, program: str) -> None:
    """What a killed predecessor of the program left behind is gone: two seconds after it was asked, by force."""
    stop(lambda: [one for one in of(folder) if one.program == program], patience=2)


def wait_for_burial(family: Iterable[Found], seconds: float) -> None:
    """The system's process table has forgotten the dead, or the time is up: the first process of a machine does that
    for those without a parent, and not every first process hurries."""
    deadline = time.monotonic() + seconds
    while any(one.process.is_running() for one in family) and time.monotonic() < deadline:
        time.sleep(0.02)


def stop(find: Callable[[], Iterable[Found]], patience: float) -> int:
    """Asks all that `find` finds to end, and after `patience` seconds ends what is left. How many there were."""
    asked: set[psutil.Process] = set()
    deadline = time.monotonic() + patience
    while left := list(find()):
        late = time.monotonic() > deadline
        for one in left:
            if late or one.process not in asked:
                asked.add(one.process)
                with contextlib.suppress(psutil.Error):
                    # SIGINT is PostgreSQL's fast shutdown; its children end with it and are only ended by force.
                    if late:
                        one.process.send_signal(signal.SIGKILL)
                    elif one.is_postmaster:
                        one.process.send_signal(signal.SIGINT)
                    elif one.program != "postgres":
                        one.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    return len(asked)
