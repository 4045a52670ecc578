"""A long CSV: the worker's memory, and whether it is as fast at the end as at the start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import psutil

from bench.database import empty
from bench.result import Result, Size


def measured(size: Size) -> Iterator[Result]:
    from ingestion.models import Run

    empty()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coins.csv"
        write(path, size.csv_rows)
        command = [sys.executable, "-m", "bench.worker", "csv"]
        environment = {**os.environ, "CSV_SOURCE_PATH": str(path)}
        began = monotonic()
        most, passed = 0, []
        with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            worker = psutil.Process(process.pid)
            while process.poll() is None:
                most = max(most, memory(worker))
                done = Run.objects.order_by("-pk").values_list("processed", flat=True).first() or 0
                if done and (not passed or passed[-1][1] != done):
                    passed.append((monotonic(), done))
                sleep(0.05)
        if process.returncode:
            sys.exit("The CSV failed.")
        seconds = monotonic() - began
    yield Result(f"CSV: the worker held {most / 1e6:.0f} MB at most", size.csv_rows, seconds)
    start, end = rate(passed[: len(passed) // 5 + 2]), rate(passed[-(len(passed) // 5 + 2) :])
    yield Result("CSV: the last fifth", size.csv_rows, seconds, end / start, "the rate of the first fifth", 0.9)


def write(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("symbol,name,price_usd,market_cap,volume_24h,rank,last_updated\n")
        for number in range(1, rows + 1):
            file.write(
                f"S{number},Coin number {number},{number}.25,{number}000,{number}0,{number},2026-11-01T00:00:00Z\n"
            )


def memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def rate(passed: list[tuple[float, int]]) -> float:
    """Rows a second between the first and the last of these moments."""
    (began, first), (ended, last) = passed[0], passed[-1]
    return (last - first) / (ended - began)
