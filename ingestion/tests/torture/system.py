"""The system under torture: PostgreSQL, Redis, the providers, workers and beat, each a process of its own.

What is killed here is started again at the same address, by the crew or by `tend`. The database is looked at by SQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from cryptoetl.demo import Fault, ProviderServer
from cryptoetl.demo.coins import bundled_coins
from cryptoetl.local.folder import CLONE
from cryptoetl.local.throwaway import Throwaway
from cryptoetl.local.trouble import Trouble
from ingestion.tests.torture.referee import Referee, shoot

#: The largest, and those whose identity or figures are a matter of doubt: in several pages, and quickly done.
COINS = [
    coin
    for number, coin in enumerate(bundled_coins())
    if number < 40 or coin.symbol in ("sol", "pepe", "hex", "beam") or coin.traits & {"stale", "unranked"}
]
SOURCES = ("coingecko", "coinpaprika", "csv")
#: Nothing that is waited for takes nearly as long, unless it never comes.
PATIENCE = 45.0


class Stuck(AssertionError):
    """What had to come by itself did not."""


class System:
    """Everything of one torture; a context manager."""

    def __enter__(self) -> System:
        self.folder = Path(tempfile.mkdtemp(prefix="cryptoetl-torture-"))
        self.referee = Referee(self.folder / "referee")
        self.servers = Throwaway()
        # As in production Redis keeps its messages: what comes back after a kill is one more thing to get right.
        self.servers.redis = replace(self.servers.redis, throwaway=False)
        self.servers.start()
        # Every observation lies in the past, whatever the sweep.
        self.begun_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
        self.provider = self._new_provider(0)
        self._looking: Any = None
        self.dead: dict[str, float] = {}
        self.asleep: dict[int, float] = {}
        # A server is killed while it runs, not while it is being started.
        self.starting = threading.Lock()
        self.pids: dict[int, str] = {}
        self.said: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._start_crew()
        return self

    def __exit__(self, *_: object) -> None:
        if self.crew.stdin:
            self.crew.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.crew.wait(10)
        self.crew.kill()
        self.crew.wait()
        self._listener.join()
        if self.crew.stdout:
            self.crew.stdout.close()
        if self._looking is not None:
            self._looking.close()
        self.provider.stop()
        self.referee.close()
        self.servers.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------------- beginning anew

    def reset(self, workers: int) -> None:
        """A market at its beginning, an empty broker, a fresh database, and workers and beat that know of nothing."""
        self.tell("stop")
        self.asleep.clear()
        self.tend(until=lambda: not self.dead)
        self._forget_messages()
        self.provider.stop()
        self.provider = self._new_provider(self.provider.port)
        # What a page holds that can't be read is part of what has to come out the same.
        self.provider.fail("coingecko", Fault.MISSING_ID, None, match={"page": 2}, position=5)
        self.provider.fail("coinpaprika", Fault.PRICE_NEGATIVE, None, position=9)
        self.tell("reset")
        self.send(f"start {workers}")

    def _new_provider(self, port: int) -> ProviderServer:
        server = ProviderServer(COINS, started_at=self.begun_at, stale_by=timedelta(days=5), port=port)
        server.start()
        return server

    def _forget_messages(self) -> None:
        import redis

        with redis.Redis.from_url(self.servers.redis.url) as client:
            client.flushall()

    # ---------------------------------------------------------------------------------------------------- the crew

    def _start_crew(self) -> None:
        environment = {
            **os.environ,
            **self.servers.environment(),
            "ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "cryptoetl.settings",
            "CELERY_SKIP_CHECKS": "1",
            "COINGECKO_BASE_URL": self.provider.url("coingecko"),
            "COINPAPRIKA_BASE_URL": self.provider.url("coinpaprika"),
            "CSV_SOURCE_PATH": self.provider.url("csv"),
            "COINGECKO_MONTHLY_CALLS": "1000000",
            "COINPAPRIKA_MONTHLY_CALLS": "1000000",
            "ETL_BATCH_SIZE": "12",
            "ETL_RATE_LIMIT_REQUESTS": "100000",
            "ETL_BACKOFF_SECONDS": "0.05",
            # Up to four kills may meet one page, and each may be the death of both workers that have it.
            "ETL_RETRY_ATTEMPTS": "20",
            "LOG_LEVEL": "WARNING",
        }
        self.log = self.folder / "crew.log"
        with self.log.open("ab") as log:
            self.crew = subprocess.Popen(
                [sys.executable, "-m", "ingestion.tests.torture.crew", str(self.referee.address)],
                cwd=CLONE,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._wait("prepare", 1)

    def _listen(self) -> None:
        for line in self.crew.stdout or ():
            word, *rest = line.decode().split()
            with self._changed:
                if word == "up":
                    self.pids[int(rest[1])] = rest[0]
                elif word == "down":
                    self.pids.pop(int(rest[1]), None)
                else:
                    self.said[rest[0]] += 1
                self._changed.notify_all()
        with self._changed:
            self.said["end"] += 1
            self._changed.notify_all()

    def send(self, line: str) -> None:
        assert self.crew.stdin is not None
        self.crew.stdin.write(f"{line}\n".encode())
        self.crew.stdin.flush()

    def tell(self, line: str) -> None:
        """The crew has done it."""
        word = line.split()[0]
        before = self.said[word]
        self.send(line)
        self._wait(word, before + 1)

    def _wait(self, word: str, times: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.said[word] >= times or self.said["end"], PATIENCE)
        if self.said[word] < times:
            raise Stuck(f"The crew did not do {word!r}:\n{self.last_words()}")

    def last_words(self, lines: int = 15) -> str:
        return "\n".join(line[:300] for line in self.log.read_text(errors="replace").splitlines()[-lines:])

    def numbers_of(self, name: str) -> list[int]:
        with self._changed:
            return sorted(pid for pid, who in self.pids.items() if who.startswith(name))

    # ------------------------------------------------------------------------------------- what is to be started again

    def tend(self, until: Callable[[], object] = lambda: True) -> None:
        """Starts again what was killed, once its time has come.

        Called from the main thread alone: a server ends with the thread that started it.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            for pid in [pid for pid, at in self.asleep.items() if at <= time.monotonic()]:
                shoot(pid, signal.SIGCONT)
                del self.asleep[pid]
            for name in [name for name, at in self.dead.items() if at <= time.monotonic()]:
                with self.starting:
                    try:
                        self.servers.start_redis() if name == "redis" else self.servers.start_postgres()
                    except Trouble:
                        # The last of the old server's processes has not left yet.
                        self.servers.running.pop(name, None)
                        if time.monotonic() > deadline:
                            raise
                    else:
                        self.dead.pop(name, None)
            if until():
                return
            if time.monotonic() > deadline:
                raise Stuck(f"{', '.join(self.dead)} could not be started again.")
            time.sleep(0.01)

    # -------------------------------------------------------------------------------------------------- the database

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """What the statement gives, committed; it waits for a server that is away."""
        found: list[tuple] = []

        def done() -> bool:
            try:
                if self._looking is None:
                    self._looking = psycopg2.connect(self.servers.postgres.url, connect_timeout=5)
                with self._looking, self._looking.cursor() as cursor:
                    cursor.execute(sql, parameters or None)
                    found[:] = cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._looking = None
                return False
            return True

        self.tend(until=done)
        return found
