"""The system under test: real tables, a real provider on this machine, the pipeline carried in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from assets.models import Source
from conftest import empty_tables
from cryptoetl.demo import ProviderServer
from ingestion import normalizing, tasks
from ingestion.errors import Unavailable
from ingestion.models import Gate, Run
from ingestion.runs import start_run
from ingestion.tests import crew
from ingestion.tests.commands import Manage

COINS = 1000
PAGES = 4


@pytest.fixture
def tables(transactional_db: None) -> None:
    """Tables without data, really committed to."""


@pytest.fixture
def provider(settings) -> Iterator[ProviderServer]:
    """A provider of its own for the test, and settings that lead to it; retries come at once."""
    with ProviderServer() as server:
        point_at(server, settings)
        yield server


def point_at(server: ProviderServer, settings) -> None:
    settings.COINGECKO_BASE_URL = server.url("coingecko")
    settings.COINPAPRIKA_BASE_URL = server.url("coinpaprika")
    settings.CSV_SOURCE_PATH = server.url("csv")
    settings.ETL_RATE_LIMIT_REQUESTS = 10_000
    settings.ETL_BACKOFF_SECONDS = 0.0
    settings.COINGECKO_COINS = 1000


@pytest.fixture
def market(tables, settings) -> Iterator[ProviderServer]:
    """A thousand coins in four pages, whose figures stand still, so that every run of them ends in the same tables."""
    with ProviderServer(generated=COINS) as server:
        point_at(server, settings)
        server.warm()
        yield server


@pytest.fixture
def workers(market) -> Iterator[crew.Crew]:
    from cryptoetl.celery import app

    app.control.purge()
    processes = crew.Crew(market)
    yield processes
    processes.stop()


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
#: What a server sends at once, and what it then sends bit by bit, for ten seconds.
DRIPS = {
    "headers": ("http", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "more headers": ("http", HEAD, b"x: x\r\n"),
    "a body without a length": ("http", HEAD + b"\r\n", b"x"),
    "the size of a chunk": ("http", HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;"),
    "a handshake": ("https", b"\x16\x03\x03\x40\x00", b"\x02"),
}


@pytest.fixture
def dripping() -> Iterator[Callable[[str], str]]:
    """dripping(name): the address of a server that drips."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(name: str) -> str:
        scheme, at_once, drop = DRIPS[name]
        server = socket.create_server(("127.0.0.1", 0))

        def drip() -> None:
            line, _ = server.accept()
            with line, suppress(OSError):
                line.recv(65_536)
                line.sendall(at_once)
                for _ in range(200):
                    line.sendall(drop)
                    line.settimeout(0.05)
                    with suppress(TimeoutError):
                        if not line.recv(65_536):
                            return

        servers.append(server)
        threads.append(threading.Thread(target=drip))
        threads[-1].start()
        return f"{scheme}://127.0.0.1:{server.getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()
    for thread in threads:
        thread.join()


@pytest.fixture
def undisturbed(market) -> list[tuple]:
    """The tables as a run leaves them that nothing happens to; they are empty again."""
    run_to_end("coingecko")
    result = crew.tables()
    empty_tables()
    market.forget_calls()
    return result


@pytest.fixture
def manage(tables: None, capsys: pytest.CaptureFixture[str]) -> Manage:
    """manage("runs", "--last", "3"): what it wrote, and its exit code."""
    return Manage(capsys)


@pytest.fixture
def ingest(tables: None) -> Callable[..., Run]:
    """ingest(slug): one run of the source, to its end, in this process; the ended run."""
    return run_to_end


def run_to_end(slug: str, *, full: bool = False, attempts: int = 20) -> Run:
    run = start_run(Source.objects.get(slug=slug), Run.Trigger.COMMAND, full=full)
    return carry_to_end(run, attempts)


def carry_to_end(run: Run, attempts: int = 20) -> Run:
    for _ in range(attempts):
        try:
            tasks.carry(run.pk, normalizing.normalize)
        except Unavailable:
            # What a worker would wait for is not what is tested here.
            Run.objects.filter(pk=run.pk).update(due_at=run.queued_at)
            Gate.objects.filter(source=run.source).update(open_until=None)
        run.refresh_from_db()
        if run.finished_at:
            return run
    raise AssertionError(f"{run} has not ended: {run.status}, {run.error}")
