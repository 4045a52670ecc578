"""What was killed comes back by itself, and what a power cut leaves behind stops no start."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg2
import pytest

from cryptoetl.local import binaries, processes
from cryptoetl.local.down import down
from cryptoetl.local.tests.conftest import Supervised, until
from cryptoetl.local.trouble import Trouble

SECONDS_TO_COME_BACK = 10


@pytest.fixture
def copy(tmp_path: Path, supervised: Callable[..., Supervised]) -> Supervised:
    made = supervised(tmp_path / "var")
    made.start()
    return made


@pytest.mark.faults
def test_killed_servers_come_back_within_ten_seconds_with_what_was_committed(copy: Supervised) -> None:
    import redis

    connection = psycopg2.connect(copy.postgres.url.replace("/cryptoetl?", "/postgres?"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    client = redis.Redis.from_url(copy.redis.url)
    client.lpush("queue", "message")
    for program in ("redis", "postgres", "postgres"):
        killed = copy.main_process(program).process
        killed.kill()
        until(partial(came_back, copy, program, killed.pid), SECONDS_TO_COME_BACK)
    connection.close()
    assert client.llen("queue") == 1
    client.close()
    connection = psycopg2.connect(copy.postgres.url.replace("/cryptoetl?", "/postgres?"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchone() == (42,)
    connection.close()


def came_back(copy: Supervised, program: str, old: int) -> bool:
    states = copy.supervisor.states() or {}
    return states[program]["pid"] not in (0, old) and copy.answers()


@pytest.mark.faults
def test_postgres_comes_back_while_a_query_of_the_killed_one_still_runs(copy: Supervised) -> None:
    """A backend that computes does not see its parent's end, and PostgreSQL would not start beside it."""
    connection = psycopg2.connect(copy.postgres.url.replace("/cryptoetl?", "/postgres?"), async_=True)
    until(lambda: connection.poll() == psycopg2.extensions.POLL_OK)
    pid = connection.get_backend_pid()
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM generate_series(1, 10000000000) AS a, generate_series(1, 10000000000) AS b")
    backend = next(one for one in processes.of(copy.folder) if one.process.pid == pid)
    until(lambda: backend.process.cpu_times().user > 0.2)
    killed = copy.main_process("postgres").process
    killed.kill()
    until(lambda: came_back(copy, "postgres", killed.pid), SECONDS_TO_COME_BACK)
    assert not backend.alive
    connection.close()


@pytest.mark.faults
def test_what_a_killed_supervisor_leaves_is_found_and_ended(copy: Supervised) -> None:
    supervisor = next(one.process for one in processes.of(copy.folder) if one.program is None)
    supervisor.kill()
    until(lambda: copy.supervisor.states() is None)
    left = processes.of(copy.folder)
    assert {one.program for one in left} == {"postgres", "redis"}
    processes.stop(lambda: processes.of(copy.folder), patience=10)
    assert processes.of(copy.folder) == []
    # Ended in its own way, so that the next start has nothing to recover.
    control = [str(binaries.postgres("pg_controldata")), "-D", str(copy.folder.postgres)]
    said = subprocess.run(control, env={"LC_ALL": "C"}, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^Database cluster state: +shut down$", said, re.MULTILINE)
    copy.start()
    assert copy.answers()


@pytest.mark.faults
def test_a_power_cut_stops_no_start(copy: Supervised) -> None:
    """Every process gone at once, pid files and sockets left, their numbers now somebody else's."""
    pid_file = copy.folder.postgres / "postmaster.pid"
    for one in processes.of(copy.folder):
        one.process.kill()
    until(lambda: not processes.of(copy.folder))
    assert pid_file.exists()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        number = str(bystander.pid)
        pid_file.write_text("\n".join([number, *pid_file.read_text().splitlines()[1:]]) + "\n")
        (copy.folder.path / "supervisord.pid").write_text(number)
        with (copy.folder.redis / "appendonly.aof").open("ab") as file:
            file.write(b"\0" * 4096)
        copy.start()
        assert copy.answers()
        copy.end()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_damaged_queue_is_set_aside_and_never_in_the_way(
    tmp_path: Path, supervised: Callable[..., Supervised]
) -> None:
    copy = supervised(tmp_path / "var")
    copy.folder.redis.mkdir()
    (copy.folder.redis / "appendonly.aof").write_bytes(b"REDIS0009 and then nothing that Redis ever wrote" * 100)
    copy.start()
    assert copy.answers()
    assert list(copy.folder.redis.glob("appendonly.aof.damaged-*"))


def test_only_processes_that_carry_the_folder_belong_to_it(copy: Supervised) -> None:
    """A process that names the folder, works in it, or was started by a person is not the system's."""
    command = [sys.executable, "-c", "import time; time.sleep(600)", str(copy.folder.path)]
    stranger = subprocess.Popen(command, cwd=copy.folder.path, env={**os.environ, "VAR": str(copy.folder.path)})
    try:
        copy.end()
        assert processes.of(copy.folder) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_does_not_listen_is_ended_after_a_while(
    tmp_path: Path, supervised: Callable[..., Supervised]
) -> None:
    copy = supervised(tmp_path / "var")
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    environment = {**os.environ, processes.MARK: str(copy.folder.path), processes.PROGRAM_MARK: "worker"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        began = time.monotonic()
        assert processes.stop(lambda: processes.of(copy.folder), patience=0.5) == 1
        assert time.monotonic() - began >= 0.5
        assert deaf.wait() == -signal.SIGKILL


@pytest.mark.parametrize("left", ["everything but its state", "nothing"])
def test_down_ends_what_runs_though_its_folder_was_taken_away(
    copy: Supervised, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    if left == "nothing":
        shutil.rmtree(copy.folder.path)
    else:
        copy.folder.state_file.unlink()
        with pytest.raises(Trouble, match=r"state\.json is gone, and the servers' passwords with it"):
            copy.folder.prepare()
    monkeypatch.setenv("VAR", str(copy.folder.path))
    assert processes.of(copy.folder)
    assert down() == 0
    assert processes.of(copy.folder) == []
