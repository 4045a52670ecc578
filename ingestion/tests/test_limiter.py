"""Eight processes at one gate, before a server that writes down when each call arrived."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from assets.models import Source
from ingestion import broker, gate
from ingestion.errors import Unavailable
from ingestion.models import CallMonth, Gate
from ingestion.registry import configured
from ingestion.tests.crew import Crew, wait_for

pytestmark = pytest.mark.faults

PROCESSES = 8
KNOCKS = 10_000
LIMIT = 50
#: In place of a minute. The gate's own is a second longer, as a call's way takes longer at one time than at another.
WINDOW = 2.0


class Recorder(ThreadingHTTPServer):
    """Answers {} with the status it is told, once it is let."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.arrivals: list[float] = []
        self.status = 200
        self.open = threading.Event()
        self.open.set()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_GET(self) -> None:
        self.server.arrivals.append(time.monotonic())
        self.server.open.wait(30)
        self.send_response(self.server.status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def recorder(tables, settings) -> Iterator[Recorder]:
    server = Recorder()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.COINGECKO_BASE_URL = f"http://127.0.0.1:{server.server_port}"
    settings.ETL_RATE_LIMIT_REQUESTS = LIMIT
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def crew(provider, recorder, settings) -> Iterator[Crew]:
    crew = Crew(provider)
    crew.environment["COINGECKO_BASE_URL"] = f"http://127.0.0.1:{recorder.server_port}"
    crew.environment["ETL_RATE_LIMIT_REQUESTS"] = str(LIMIT)
    settings.COINGECKO_BASE_URL = crew.environment["COINGECKO_BASE_URL"]
    settings.ETL_RATE_LIMIT_REQUESTS = LIMIT
    yield crew
    crew.stop()
    with broker.redis_client(crew.environment["REDIS_URL"]) as client:
        for key in client.scan_iter("knocks:*"):
            client.delete(key)


def knock(crew: Crew, folder: Path, times: int, window: float) -> subprocess.Popen[bytes]:
    """Eight processes knock so many times each. Their clocks are an hour apart."""
    clocks = [folder / str(number) for number in range(PROCESSES)]
    for number, clock in enumerate(clocks):
        clock.write_text(str((number - PROCESSES // 2) * 3600))
    return crew.under(clocks[0], "ingestion.tests.knocking", str(times), str(window), *map(str, clocks))


def became(crew: Crew) -> list[dict[str, int]]:
    """What became of the knocks of each process."""
    with broker.redis_client(crew.environment["REDIS_URL"]) as client:
        return [
            {name.decode(): int(count) for name, count in client.hgetall(key).items()}
            for key in client.scan_iter("knocks:*")
        ]


@pytest.mark.slow
def test_ten_thousand_knocks_of_eight_processes_overspend_neither_the_window_nor_the_ledger(crew, recorder, tmp_path):
    knocking = knock(crew, tmp_path, KNOCKS // PROCESSES, WINDOW + 1)
    assert knocking.wait(120) == 0, crew.log[-2000:]
    counts = became(crew)
    assert sum(sum(count.values()) for count in counts) == KNOCKS
    arrivals = sorted(recorder.arrivals)
    assert len(arrivals) == sum(count.get("called", 0) for count in counts)
    assert CallMonth.objects.get(source__slug="coingecko").calls == len(arrivals)
    over = [
        later - sooner for sooner, later in zip(arrivals, arrivals[LIMIT:], strict=False) if later - sooner < WINDOW
    ]
    assert over == []
    # And it is no more than held: what may be called is called.
    windows = (arrivals[-1] - arrivals[0]) / (WINDOW + 1)
    assert windows > 2
    assert len(arrivals) >= LIMIT * int(windows)


def test_an_open_circuit_is_probed_with_one_call_while_eight_processes_want_to_call(crew, recorder, tmp_path):
    source = Source.objects.get(slug="coingecko")
    http = configured("coingecko").http(source)
    recorder.status = 503
    for _ in range(gate.OPENS_AFTER):
        with pytest.raises(Unavailable):
            http.get("/ping")
    with pytest.raises(gate.CircuitOpen):
        http.get("/ping")
    assert len(recorder.arrivals) == gate.OPENS_AFTER

    recorder.arrivals.clear()
    recorder.status = 200
    recorder.open.clear()
    knock(crew, tmp_path, 1_000_000, 61)
    refused = "CircuitOpen"
    wait_for(lambda: len([c for c in became(crew) if c.get(refused)]) == PROCESSES, "all are refused", 60)
    assert recorder.arrivals == []

    # Its time is over: one finds out, and the others wait for what it finds.
    Gate.objects.filter(source=source).update(open_until=gate.database_clock() - timedelta(seconds=1))
    wait_for(lambda: recorder.arrivals, "one call is made", 10)
    before = sum(count[refused] for count in became(crew))
    wait_for(lambda: sum(count[refused] for count in became(crew)) > before + 200, "the others want to call", 30)
    assert len(recorder.arrivals) == 1

    recorder.open.set()
    wait_for(lambda: len(recorder.arrivals) > PROCESSES, "the circuit is closed for all", 30)
    closed = Gate.objects.get(source=source)
    assert (closed.failures, closed.open_until, closed.probing_until) == (0, None, None)
