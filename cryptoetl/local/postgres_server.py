"""PostgreSQL 18 in a folder: created once, configured anew before each start, run by a supervisor or by the tests.

Durable as a production server is. `throwaway` gives that up for the tests, whose data dies with them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptoetl.local import binaries, nonroot, ports
from cryptoetl.local.folder import CLONE, sync_folder
from cryptoetl.local.processes import MARK, PROGRAM_MARK
from cryptoetl.local.trouble import Trouble

USER = DATABASE = "cryptoetl"
# What a shell does not take as it stands between double quotes, as initdb starts postgres.
SHELL = re.compile(r'[$`"\\]')

SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    # No sockets: their path would have to be short. No /dev/shm: containers give it little room, and it is not ours.
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    "wal_buffers": "16MB",
    "min_wal_size": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "autovacuum_vacuum_scale_factor": "0.1",
    "autovacuum_analyze_scale_factor": "0.05",
    "password_encryption": "scram-sha-256",
    # A client that is gone leaves no lock behind for long.
    "client_connection_check_interval": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # To stderr: the supervisor keeps and rotates it.
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_min_duration_statement": "2s",
}
THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    # A test that kills the server waits for what came after the last checkpoint to be made good.
    "checkpoint_timeout": "30s",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(frozen=True)
class PostgresServer:
    data: Path
    port: int
    password: str
    tag: str
    method: str
    throwaway: bool = False

    @property
    def url(self) -> str:
        # This server has no TLS to offer, and a PGSSLMODE of the user's must not ask for it.
        return f"postgres://{USER}:{self.password}@{ports.LOOPBACK}:{self.port}/{DATABASE}?sslmode=disable"

    def exists(self) -> bool:
        """The data folder is there, made by this version of PostgreSQL; Trouble when it was made by another."""
        if not self.data.exists():
            return False
        self._check_version()
        return True

    def create(self) -> None:
        """The data folder is there. It comes into being whole or not at all."""
        new = self.data.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        nonroot.give(new, self.method)
        options = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options += ["--no-sync"] if self.throwaway else []
        # The password comes by a pipe: on the command line every user of the machine could read it.
        command = [str(binaries.postgres("initdb")), "-D", str(new), "-U", USER, "-A", "scram-sha-256", *options]
        command += ["--pwfile=/dev/stdin"]
        done = subprocess.run(
            nonroot.command(self.method, command, writes=new),
            input=self.password + "\n",
            cwd=CLONE,
            env=server_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            if odd := SHELL.search(command[0]):
                raise Trouble(
                    f"PostgreSQL's initdb can't be run from a path that holds {odd[0]}: move {CLONE}, or name a server"
                    " of your own with DATABASE_URL."
                )
            lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
            raise Trouble(
                f"PostgreSQL could not create its database in {self.data}: {lines[0] if lines else 'no reason given'}"
            )
        new.rename(self.data)
        sync_folder(self.data.parent)

    def configure(self) -> None:
        """The configuration is this version's, whoever wrote the one that was there."""
        settings = {
            **SETTINGS,
            **(THROWAWAY if self.throwaway else {}),
            "port": str(self.port),
            "cluster_name": self.tag,
        }
        text = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        (self.data / "postgresql.conf").write_text(
            "# Written before each start by cryptoetl/local/postgres_server.py.\n" + text
        )
        (self.data / "pg_hba.conf").write_text(f"host all all {ports.LOOPBACK}/32 scram-sha-256\n")
        nonroot.give(self.data, self.method)

    def argv(self) -> list[str]:
        return [str(binaries.postgres()), "-D", str(self.data)]

    def forget_the_dead(self) -> None:
        """No pid file is left of a server that is gone. To be called when no process of this folder runs.

        PostgreSQL believes the number in it as long as any process of the same user has it, and would not start.
        """
        with contextlib.suppress(FileNotFoundError):
            (self.data / "postmaster.pid").unlink()

    def trouble(self) -> str | None:
        """Why the server does not answer yet; None when it does."""
        import psycopg2

        try:
            psycopg2.connect(self._address("postgres"), connect_timeout=3).close()
        except psycopg2.OperationalError as error:
            return str(error).strip().splitlines()[-1]
        return None

    def create_database(self) -> None:
        """The database is there. Its name is this project's own, so `postgres` stays as it came."""
        import psycopg2

        connection = psycopg2.connect(self._address("postgres"), connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            connection.close()

    def _address(self, database: str) -> str:
        return self.url.replace(f"/{DATABASE}?", f"/{database}?")

    def _check_version(self) -> None:
        theirs = (self.data / "PG_VERSION").read_text().strip() if (self.data / "PG_VERSION").exists() else "unknown"
        ours = subprocess.run([str(binaries.postgres()), "--version"], capture_output=True, text=True, check=False)
        if f" {theirs}." not in ours.stdout and not ours.stdout.strip().endswith(f" {theirs}"):
            raise Trouble(
                f"{self.data} was made by PostgreSQL {theirs}, and this is {ours.stdout.strip() or 'another one'}: "
                "carry the data over with pg_dump, or name another folder with VAR."
            )


def server_environment() -> dict[str, str]:
    """What a server needs of the environment: no keys of ours, and none of the user's PG* or LC_* variables."""
    keep = {
        name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", MARK, PROGRAM_MARK)
    }
    return {**keep, "LC_ALL": "C", "TZ": "UTC"}
