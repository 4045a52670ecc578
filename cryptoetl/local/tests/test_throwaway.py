"""The servers of a test session end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from threading import Thread

import psutil
import psycopg2
import pytest

from cryptoetl.local.folder import CLONE
from cryptoetl.local.tests.conftest import until
from cryptoetl.local.throwaway import Throwaway

BLOCKED = """
import threading

def test_nothing_comes():
    print("READY", flush=True)
    threading.Event().wait()
"""


def with_path(path: Path) -> list[psutil.Process]:
    """Living processes that name the path, or that work below it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            if str(path) in " ".join(process.cmdline()) or process.cwd().startswith(str(path)):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def session(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A pytest of its own, at a test that never ends, its servers below `tmp_path`."""
    test = tmp_path / "test_blocked.py"
    test.write_text(BLOCKED)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-c", str(CLONE / "pytest.ini"), str(test)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command,
        cwd=CLONE,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # As a terminal starts it: what a shell starts in the background is deaf to SIGINT, and so are its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        try:
            assert any("READY" in line for line in process.stdout)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_its_servers_end_with_a_session_that_is_ended(
    tmp_path: Path, session: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert len(with_path(tmp_path)) > 2
    session.send_signal(number)
    until(lambda: not with_path(tmp_path), seconds=20)
    if number == signal.SIGINT:
        assert list(tmp_path.glob("cryptoetl-test-*")) == []


def test_a_killed_server_starts_again_while_one_of_its_processes_is_still_at_work() -> None:
    servers = Throwaway()
    servers.start()
    try:
        with closing(psycopg2.connect(servers.postgres.url)) as connection, connection.cursor() as cursor:
            worker = connection.get_backend_pid()
            thinking = Thread(
                target=suppressed, args=(cursor.execute, "SELECT sum(n) FROM generate_series(1, 9999999) n")
            )
            thinking.start()
            until(lambda: psutil.Process(worker).cpu_percent(0.1) > 20)
            servers.kill("postgres")
            servers.start_postgres()
            thinking.join()
        with closing(psycopg2.connect(servers.postgres.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        servers.stop()


def suppressed(call: Callable[..., object], *arguments: object) -> None:
    with suppress(psycopg2.Error):
        call(*arguments)
