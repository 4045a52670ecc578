"""Carries out a kill of the plan: finds who is meant, and SIGKILL."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from random import Random

import psutil

from ingestion.tests.torture.plan import Kill
from ingestion.tests.torture.referee import shoot
from ingestion.tests.torture.system import System

#: Seconds that a sleeper is stopped: two leases and a half.
SLEEPS = 2.2


class Executioner:
    """Called by the referee, one kill at a time, while whoever reached the point waits."""

    def __init__(self, system: System) -> None:
        self.system = system

    def __call__(self, kill: Kill, pid: int, parent: int) -> str:
        """`pid` reached the point, 0 for a moment of the clock; who it was that was killed."""
        system, victim, chance = self.system, kill.victim, Random(kill.share)
        workers = system.numbers_of("worker")
        if victim in ("child", "sleeper") and not pid and workers:
            pid = chance.choice([child for worker in workers for child in children_of(worker)] or workers)
        if victim in ("child", "everything") and pid:
            shoot(pid)
        if victim == "sleeper" and pid:
            shoot(pid, signal.SIGSTOP)
            system.asleep[pid] = time.monotonic() + SLEEPS
        if victim == "worker" and workers:
            shoot(parent if parent in workers else chance.choice(workers))
        if victim in ("beat", "everything"):
            for number in system.numbers_of("beat" if victim == "beat" else ""):
                shoot(number)
        if victim in ("redis", "redis-empty", "everything"):
            self.server("redis", kill.down, empty=victim == "redis-empty")
        if victim in ("postgres", "everything"):
            self.server("postgres", kill.down)
        if victim == "backend":
            self.backend(chance)
        return victim

    def server(self, name: str, down: float, empty: bool = False) -> None:
        with self.system.starting:
            if name not in self.system.servers.running:
                return
            self.system.servers.kill(name)
            self.system.dead[name] = time.monotonic() + down
            for path in self.system.servers.redis.data.glob("appendonly*") if empty else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def backend(self, chance: Random) -> None:
        """One of the processes in which PostgreSQL serves a connection; it takes all the others down with it."""
        with self.system.starting:
            postmaster = self.system.servers.running.get("postgres")
            serving = children_of(postmaster.pid, " cryptoetl ") if postmaster else []
            if serving:
                shoot(chance.choice(serving))


def children_of(pid: int, title: str = "") -> list[int]:
    """Those whose command line holds the title."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if title in " ".join(child.cmdline()):
                    found.append(child.pid)
    return found
