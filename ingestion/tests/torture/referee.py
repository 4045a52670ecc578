"""Outside: every process of the torture says here where it is, and goes on, or is killed where it stands.

A process waits for its answer, so a kill hits exactly the point that the plan names; a server is killed while the
process waits, which then meets a server that is gone.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from ingestion.tests.torture.plan import Kill

#: Carries out a kill: (kill, number of the process that reached the point, or 0; number of its parent).
Execute = Callable[[Kill, int, int], str]


class Referee:
    """Counts the points that are reached, and stops who is to be stopped."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self.reached: Counter[str] = Counter()
        self.done: list[str] = []
        self._armed: dict[tuple[str, int], list[Kill]] = {}
        self._execute: Execute | None = None
        self._lock = threading.RLock()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(address))
        self._listening.listen(64)
        threading.Thread(target=self._listen, name="referee", daemon=True).start()

    def begin(self, kills: Iterable[Kill], usual: Counter[str], execute: Execute) -> None:
        """Counts from zero; each kill falls at its share of the times that its point is usually reached."""
        with self._lock:
            self.reached.clear()
            self.done.clear()
            self._armed.clear()
            self._execute = execute
            for kill in kills:
                if kill.point:
                    number = max(math.ceil(kill.share * usual[kill.point]), 1)
                    self._armed.setdefault((kill.point, number), []).append(kill)

    def end(self) -> list[str]:
        """Nothing more is killed. What was not reached."""
        with self._lock:
            left = [f"{kill} (number {number})" for (_, number), kills in self._armed.items() for kill in kills]
            self._armed.clear()
            self._execute = None
            return left

    def carry_out(self, kill: Kill, pid: int = 0, parent: int = 0, number: int = 0) -> None:
        """Now. One at a time."""
        with self._lock:
            if self._execute is not None:
                whom = self._execute(kill, pid, parent)
                self.done.append(f"{whom} at {f'{kill.point} number {number}' if kill.point else 'a moment'}")

    def close(self) -> None:
        self._listening.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                threading.Thread(target=self._attend, args=(line,), daemon=True).start()

    def _attend(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line, line.makefile() as said:
            for words in said:
                doing, point, pid, parent = words.split()
                with self._lock:
                    name = f"{doing} {point}"
                    self.reached[name] += 1
                    for kill in self._armed.pop((name, self.reached[name]), ()):
                        self.carry_out(kill, int(pid), int(parent), self.reached[name])
                line.sendall(b"g")


def shoot(pid: int, how: signal.Signals = signal.SIGKILL) -> None:
    """The dead can't be killed. Only a process, never a group or everybody, as 0 and -1 would mean."""
    assert pid > 1, pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
