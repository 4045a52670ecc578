"""One whole copy, started as `make up` starts it, in a folder with a space: it answers, heals, and leaves nothing."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cryptoetl.local import ports, processes, web
from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.supervision import Supervisor
from cryptoetl.local.tests.conftest import until
from cryptoetl.local.throwaway import Throwaway

pytestmark = [pytest.mark.slow, pytest.mark.faults]

# Nobody listens there, and once is enough to know it.
NO_PROVIDERS = {
    "COINGECKO_BASE_URL": "http://127.0.0.1:1/api/v3",
    "COINPAPRIKA_BASE_URL": "http://127.0.0.1:1/v1",
    "ETL_RETRY_ATTEMPTS": "0",
}

PROGRAMS = {"postgres", "redis", "web", "worker", "beat"}


class Copy:
    def __init__(self, path: Path, **variables: str) -> None:
        self.folder = Folder(path)
        self.port = ports.first_free(18_000)
        settings = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "VAR")
        kept = {name: value for name, value in os.environ.items() if name not in settings}
        own = {"VAR": str(path), "PORT": str(self.port), "ENV_FILE": os.devnull}
        self.environment = kept | NO_PROVIDERS | own | variables

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=CLONE,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def local(self, command: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "cryptoetl.local", command)

    def pids(self) -> dict[str, int]:
        """The process that the supervisor started last for each program."""
        return {name: info["pid"] for name, info in (Supervisor(self.folder).states() or {}).items()}

    def serves(self) -> bool:
        return web.ask(self.port, "/data").status == 200


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    made = Copy(tmp_path_factory.mktemp("copy") / "a földer" / "var")
    try:
        done = made.local("up")
        assert done.returncode == 0, done.stdout + done.stderr
        said = done.stdout.splitlines()
        assert "make demo" in said[-1]
        assert re.search(r"(?m)^CoinGecko +failed +0 ", done.stdout)
        assert re.search(r"(?m)^CSV file.* completed +\d{3}", done.stdout)
        yield made
    finally:
        processes.stop(lambda: processes.of(made.folder), patience=0)


def test_it_answers_and_its_secrets_are_its_owners_alone(copy: Copy) -> None:
    page = web.ask(copy.port, "/data").json()
    assert page["total"] >= 100
    assert stat.S_IMODE(copy.folder.path.stat().st_mode) == 0o700
    for name in ("admin-password", "state.json"):
        assert stat.S_IMODE((copy.folder.path / name).stat().st_mode) == 0o600
    assert set(copy.pids()) == PROGRAMS


def test_up_again_changes_nothing_says_so_and_is_quick(copy: Copy) -> None:
    before = copy.pids()
    began = time.monotonic()
    done = copy.local("up")
    assert time.monotonic() - began < 3
    assert done.returncode == 0
    assert "already running" in done.stdout
    assert copy.pids() == before


def test_a_hand_at_manage_py_reaches_the_same_database(copy: Copy) -> None:
    environment = {name: value for name, value in copy.environment.items() if name != "PORT"}
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--check"],
        cwd=CLONE,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["web", "worker", "beat", "redis", "postgres"])
def test_what_is_killed_comes_back_within_ten_seconds(copy: Copy, program: str) -> None:
    old = copy.pids()[program]
    family = [one for one in processes.of(copy.folder) if one.program == program]
    next(one for one in family if one.process.pid == old).process.kill()
    until(partial(replaced, copy, program, old), seconds=10)
    # What the killed one had started is gone too.
    until(lambda: not any(one.alive for one in family), seconds=10)
    # How long it then takes to import Django is the machine's doing.
    until(copy.serves, seconds=60)


def replaced(copy: Copy, program: str, old: int) -> bool:
    return copy.pids().get(program, 0) not in (0, old)


def test_up_puts_right_what_a_killed_supervisor_left(copy: Copy) -> None:
    # All are up: a program that is just being started is still a copy of its supervisor.
    until(lambda: {one.program for one in processes.of(copy.folder)} == {None, *PROGRAMS}, seconds=30)
    next(one for one in processes.of(copy.folder) if one.program is None).process.kill()
    until(lambda: Supervisor(copy.folder).states() is None)
    left = processes.of(copy.folder)
    assert {one.program for one in left} == PROGRAMS
    # The port is in use, by its own web.
    done = copy.local("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(one.alive for one in left)
    assert copy.serves()


def test_down_leaves_no_process_and_all_data(copy: Copy) -> None:
    family = processes.of(copy.folder)
    assert len(family) > 8
    done = copy.local("down")
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(one.alive for one in family)
    assert processes.of(copy.folder) == []
    assert ports.trouble_with(copy.port) is None
    assert (copy.folder.postgres / "PG_VERSION").exists()
    again = copy.local("down")
    assert (again.returncode, "Nothing was running" in again.stdout) == (0, True)


def test_servers_of_the_users_own_are_used_and_never_started_nor_stopped(tmp_path: Path, servers: Throwaway) -> None:
    addresses = {"DATABASE_URL": servers.postgres.url, "REDIS_URL": servers.redis.url}
    copy = Copy(tmp_path / "var", **addresses)
    try:
        done = copy.local("up")
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(copy.pids()) == {"web", "worker", "beat"}
        assert not copy.folder.postgres.exists()
        assert copy.local("down").returncode == 0
        assert processes.of(copy.folder) == []
        assert (servers.postgres.trouble(), servers.redis.trouble()) == (None, None)
    finally:
        processes.stop(lambda: processes.of(copy.folder), patience=0)
