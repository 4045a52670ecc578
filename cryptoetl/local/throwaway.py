"""PostgreSQL and Redis for one test session: the code of `make up`, nothing durable, gone with whoever started them.

Who measures has them durable, with the very settings of `make up`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from cryptoetl.local import binaries, nonroot, ports, processes
from cryptoetl.local.folder import CLONE, Folder, password
from cryptoetl.local.postgres_server import PostgresServer, server_environment
from cryptoetl.local.redis_server import RedisServer
from cryptoetl.local.trouble import Trouble

#: After a kill PostgreSQL first makes good what it had not written: all since its last checkpoint.
SECONDS_TO_START = 120


class Throwaway:
    """Both servers in a temporary folder. A test may kill and start each of them; the addresses stay."""

    def __init__(self, durable: bool = False) -> None:
        self.folder = Folder(tempfile.mkdtemp(prefix="cryptoetl-test-"))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        method = nonroot.method_for(binaries.postgres(), self.folder.path)
        self.postgres = PostgresServer(
            self.folder.postgres, ports.server_port(), password(), self.folder.tag, method, throwaway=not durable
        )
        self.redis = RedisServer(self.folder.redis, ports.server_port(), password(), throwaway=not durable)

    def start(self) -> None:
        """Both answer, and the database is there."""
        try:
            self.start_redis(wait=False)
            self.postgres.create()
            self.start_postgres()
            self._wait("redis", self.redis)
            self.postgres.create_database()
        except BaseException:
            self.stop()
            raise

    def start_postgres(self) -> None:
        self.postgres.configure()
        self._spawn("postgres", self.postgres.argv(), self.postgres.method, CLONE)
        self._wait("postgres", self.postgres)

    def start_redis(self, wait: bool = True) -> None:
        self.redis.configure()
        self._spawn("redis", self.redis.argv(), nonroot.PLAIN, self.redis.data)
        if wait:
            self._wait("redis", self.redis)

    def kill(self, name: str) -> None:
        """SIGKILL, as a power cut of one server: `postgres` or `redis`."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "SECRET_KEY": password(),
            "VAR": str(self.folder.path),
        }

    def stop(self) -> None:
        """Neither process nor folder is left."""
        for process in self.running.values():
            # Nothing here is worth a checkpoint; PostgreSQL's children see their parent's end.
            process.kill()
        for process in self.running.values():
            process.wait()
        self.running.clear()
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def _spawn(self, name: str, argv: list[str], method: str, inside: Path) -> None:
        if name == "postgres":
            processes.end(self.folder, name)
            self.postgres.forget_the_dead()
        with (self.folder.path / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                nonroot.command(method, argv, inside=inside, with_parent=True),
                cwd=CLONE,
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C goes to the tests, which still need their servers to end well.
                start_new_session=True,
            )

    def _wait(self, name: str, server: PostgresServer | RedisServer) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while reason := server.trouble():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                log = (self.folder.path / f"{name}.log").read_text(errors="replace").strip().splitlines()
                raise Trouble(f"{name} did not start for the tests: {log[-1] if log else reason}")
            time.sleep(0.02)
