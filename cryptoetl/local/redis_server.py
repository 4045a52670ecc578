"""Redis in a folder: carries the queues and limits, appends everything to a file, and never throws a message away."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cryptoetl.local import binaries, ports

CONFIGURATION = """\
# Written before each start by cryptoetl/local/redis_server.py.
bind {host}
port {port}
requirepass {password}
protected-mode yes
daemonize no
logfile ""
save ""
appendonly {append}
appendfsync everysec
aof-load-truncated yes
aof-use-rdb-preamble yes
auto-aof-rewrite-min-size 16mb
maxmemory-policy noeviction
tcp-keepalive 60
always-show-logo no
set-proc-title no
"""


@dataclass(frozen=True)
class RedisServer:
    """`data` is also its working folder, so that no path stands in its configuration, whatever characters it has."""

    data: Path
    port: int
    password: str
    throwaway: bool = False

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{ports.LOOPBACK}:{self.port}/0"

    def configure(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        append = "no" if self.throwaway else "yes"
        text = CONFIGURATION.format(host=ports.LOOPBACK, port=self.port, password=self.password, append=append)
        handle = os.open(self.data / "redis.conf", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w") as file:
            file.write(text)

    def argv(self) -> list[str]:
        return [str(binaries.redis_server()), "redis.conf"]

    def mend(self) -> str | None:
        """A file that a power cut left damaged can be loaded again. What was done, in a sentence; None for nothing.

        Redis itself forgives a last command cut short, but not the block of zeros that some file systems leave. What
        is cut off was the last second's messages; the truth is in PostgreSQL and they are sent again.
        """
        file = self.data / "appendonly.aof"
        # An empty file is a good one to Redis, and not to its checker.
        if not file.exists() or file.stat().st_size == 0 or self._check(file, fix=False):
            return None
        if self._check(file, fix=True):
            return f"The end of {file} was damaged and has been cut off."
        file.replace(broken := file.with_name(f"appendonly.aof.damaged-{int(time.time())}"))
        return f"{file} was damaged and has been set aside as {broken.name}."

    def _check(self, file: Path, fix: bool) -> bool:
        # redis-server is redis-check-aof too, when it is called so.
        argv = ["redis-check-aof", *(["--fix"] if fix else []), file.name]
        done = subprocess.run(
            argv, executable=binaries.redis_server(), cwd=self.data, input=b"y\n", capture_output=True, check=False
        )
        return done.returncode == 0

    def trouble(self) -> str | None:
        """Why the server does not answer yet; None when it does."""
        try:
            with socket.create_connection((ports.LOOPBACK, self.port), timeout=2) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (part := connection.recv(1024)):
                    answer += part
        except OSError as error:
            return error.strerror or str(error)
        return None if answer == b"+OK\r\n+PONG\r\n" else answer.decode(errors="replace").strip()
