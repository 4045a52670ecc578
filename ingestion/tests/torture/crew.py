"""The supervisor of a torture: starts workers and beat, and starts again whatever of them dies.

    python -m ingestion.tests.torture.crew REFEREE_SOCKET

A word a line on standard input: `start N` workers and beat, `stop` them by SIGKILL, `reset` the database, `ingest`
what the rest of the line names. What happens is said on standard output: `up NAME PID`, `down NAME PID`, `done WORD`.
It has everything imported before it forks, so that what was killed is back in a moment; a fork has no connections yet.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from inspect import Parameter, signature

from billiard.util import set_pdeathsig

from ingestion.tests.torture import points

#: What takes half a minute in production takes a second here; who waits for what is the same.
LEASE_LASTS, LEASE_RENEWED_EVERY, LOST_AFTER = timedelta(seconds=0.9), 0.2, timedelta(seconds=0.6)
RECONCILED_EVERY = timedelta(milliseconds=300)
IMPORTED = (
    *("celery.apps.beat", "celery.apps.worker", "celery.bin.beat", "celery.bin.worker", "celery.worker.strategy"),
    *("celery.concurrency.asynpool", "celery.concurrency.prefork", "django_celery_beat.schedulers"),
    *("ingestion.management.commands.ingest", "kombu.transport.redis"),
)
#: Celery tries a broker that is away again after 2, 4, 6 s.
RECONNECTS = {"interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.5}
#: Small pages, so that some fifty coins are several.
PER_PAGE = 20


class Crew:
    """The processes, by name and by number."""

    def __init__(self, referee: str) -> None:
        self.referee = referee
        self.wanted: list[str] = []
        self.running: dict[int, str] = {}

    def tend(self) -> None:
        """Until standard input ends."""
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        os.set_inheritable(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken)
        unread = b""
        while True:
            ready, _, _ = select.select([0, wake], [], [], 1.0)
            if wake in ready:
                os.read(wake, 4096)
            self.bury()
            if 0 in ready:
                piece = os.read(0, 4096)
                if not piece:
                    return self.stop()
                *lines, unread = (unread + piece).split(b"\n")
                for line in lines:
                    self.obey(*line.decode().split())
            for name in self.wanted:
                if name not in self.running.values():
                    self.fork(name, beat if name == "beat" else worker)

    def obey(self, word: str, *arguments: str) -> None:
        if word == "start":
            self.wanted = [*(f"worker-{number + 1}" for number in range(int(arguments[0]))), "beat"]
        elif word == "stop":
            self.stop()
            say("done stop")
        elif word == "reset":
            self.fork("reset", lambda _: reset())
        elif word == "ingest":
            self.fork("command", lambda _: ingest(*arguments))

    def fork(self, name: str, work: Callable[[str], None]) -> None:
        if pid := os.fork():
            self.running[pid] = name
            return say(f"up {name} {pid}")
        code = 1
        try:
            set_pdeathsig(signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            # What it says goes where the crew's trouble goes: standard output is the crew's own.
            os.dup2(2, 1)
            if name != "reset":
                points.watch(name.partition("-")[0], self.referee)
            work(name)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)

    def bury(self) -> None:
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            name = self.running.pop(pid, "")
            say(f"down {name} {pid}")
            if name in ("command", "reset"):
                say(f"done {name} {os.waitstatus_to_exitcode(status)}")

    def stop(self) -> None:
        self.wanted = []
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)
        while self.running:
            pid, _ = os.waitpid(-1, 0)
            say(f"down {self.running.pop(pid, '')} {pid}")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def worker(name: str) -> None:
    from cryptoetl.celery import app

    app.start(
        [
            *("--quiet", "worker", "--queues=fetch,normalize,maintenance", "--concurrency=2"),
            *("--without-gossip", "--without-mingle", f"--hostname={name}@torture"),
        ]
    )  # fmt: skip


def beat(_: str) -> None:
    from cryptoetl.celery import app

    app.start(["--quiet", "beat", "--scheduler=django_celery_beat.schedulers:DatabaseScheduler", "--pidfile="])


def ingest(*sources: str) -> None:
    from django.core.management import call_command

    call_command("ingest", *sources, "--no-wait")


def reset() -> None:
    """The database is as `migrate` leaves it, with a reconciler that is in a hurry and schedules that keep still."""
    from django.core.management import call_command
    from django.db import connection
    from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

    from conftest import empty_tables

    if "ingestion_run" not in connection.introspection.table_names():
        call_command("migrate", verbosity=0)
    empty_tables()
    often, _ = IntervalSchedule.objects.get_or_create(
        every=RECONCILED_EVERY.microseconds, period=IntervalSchedule.MICROSECONDS
    )
    daily, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.DAYS)
    hurried = ("ingestion.tasks.reconcile", "ingestion.tasks.roll_up")
    PeriodicTask.objects.filter(task__in=hurried).update(interval=often, expire_seconds=5)
    PeriodicTask.objects.filter(task="ingestion.tasks.start").update(interval=daily, enabled=False)
    PeriodicTask.objects.filter(task="ingestion.tasks.prune").update(enabled=False)
    with connection.cursor() as cursor:
        # Three of these intervals without news make a price stale: none goes stale while a seed takes its time.
        cursor.execute("UPDATE assets_source SET interval_seconds = 86400")
    PeriodicTasks.update_changed()


def prepare() -> None:
    """Everything is imported that a worker, beat and the command import, and what would take long takes less."""
    import django

    django.setup()
    for name in IMPORTED:
        import_module(name)
    from kombu.connection import Connection

    from cryptoetl.celery import app
    from ingestion import lease, reconciling
    from ingestion.sources import coingecko

    app.loader.import_default_modules()
    app.finalize()
    lease.LASTS, lease.RENEWED_EVERY = LEASE_LASTS, LEASE_RENEWED_EVERY
    reconciling.LOST_AFTER = LOST_AFTER
    reconciling.JUST_QUEUED = LOST_AFTER
    coingecko.PER_PAGE = PER_PAGE
    connect = Connection._ensure_connection
    named = [name for name, known in signature(connect).parameters.items() if known.default is not Parameter.empty]
    connect.__defaults__ = tuple(
        RECONNECTS.get(name, default) for name, default in zip(named, connect.__defaults__, strict=True)
    )


def main() -> None:
    prepare()
    gc.collect()
    gc.freeze()
    say("done prepare")
    Crew(sys.argv[1]).tend()


if __name__ == "__main__":
    main()
