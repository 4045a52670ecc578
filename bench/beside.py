"""What callers of the API notice of ingestion at full speed: p99 of /data beside it, against the idle system."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from bench.api import OURS, served
from bench.asking import WARM, ask
from bench.database import empty
from bench.providing import Provider, provider
from bench.result import Result, Size
from bench.running import run_once


def measured(size: Size) -> Iterator[Result]:
    with provider(size.records) as source:
        source.warm()
        empty()
        run_once()
        with served(OURS) as ours:
            # Prices come in by batches of seconds.
            seconds = max(size.api_seconds, 5)
            idle = ask(ours.port, "/data", seconds)
            with ingesting(source):
                before = points()
                busy = ask(ours.port, "/data", seconds)
                rate = (points() - before) / (seconds * WARM)
    yield Result("p99 of /data, 8 callers, nothing else", 1, idle.p99 / 1000)
    what = f"p99 of /data while {rate:,.0f} prices a second come in"
    yield Result(what, 1, busy.p99 / 1000, idle.p99 / busy.p99, "the idle one", 1 / 3)


def points() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM assets_price_point")
        return int(cursor.fetchone()[0])


@contextmanager
def ingesting(source: Provider) -> Iterator[None]:
    """All prices change, and are taken in by a process of its own, until the end; they have begun to come in."""
    command = [sys.executable, "-m", "bench.endless", source.address]
    with subprocess.Popen(command, env=source.environment(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                sys.exit("The ingestion ended before its first run.")
            yield
            if process.poll() is not None:
                sys.exit("The ingestion ended before it was told to.")
        finally:
            process.kill()
