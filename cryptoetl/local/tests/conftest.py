"""Copies of the servers in folders of many kinds, all gone after each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptoetl.local import binaries, nonroot, ports, processes, servers
from cryptoetl.local.folder import Folder, password
from cryptoetl.local.postgres_server import PostgresServer
from cryptoetl.local.redis_server import RedisServer
from cryptoetl.local.supervision import Supervisor


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Waits for a condition; a test that waits in vain says for how long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.05)


class Supervised:
    """PostgreSQL and Redis under their supervisor in one folder, as `make up` starts them, without the rest."""

    def __init__(self, path: Path, method: str = "") -> None:
        self.folder = Folder(path)
        self.folder.prepare()
        self.supervisor = Supervisor(self.folder)
        kept = {"port": ports.server_port(), "password": password()}
        self.state: dict[str, Any] = {
            "postgres": kept | {"method": method or nonroot.method_for(binaries.postgres(), self.folder.path)},
            "redis": {"port": ports.server_port(), "password": password()},
            "environment": {},
        }
        self.folder.write_state(self.state)

    @property
    def postgres(self) -> PostgresServer:
        return servers.postgres(self.folder, self.state)

    @property
    def redis(self) -> RedisServer:
        return servers.redis(self.folder, self.state)

    def start(self) -> None:
        if not self.postgres.exists():
            self.postgres.create()
        self.supervisor.start(["postgres", "redis"])
        until(self.answers, 30)

    def answers(self) -> bool:
        return self.postgres.trouble() is None and self.redis.trouble() is None

    def main_process(self, program: str) -> processes.Found:
        """The process that the supervisor started for the program."""
        pid = (self.supervisor.states() or {})[program]["pid"]
        return next(one for one in processes.of(self.folder) if one.process.pid == pid)

    def end(self) -> None:
        self.supervisor.stop()
        processes.stop(lambda: processes.of(self.folder), patience=0)


@pytest.fixture
def supervised() -> Iterator[Callable[..., Supervised]]:
    """Makes copies; every process of each is ended after the test, however it went."""
    made: list[Supervised] = []

    def make(path: Path, method: str = "") -> Supervised:
        made.append(Supervised(path, method))
        return made[-1]

    yield make
    for copy in made:
        copy.end()
