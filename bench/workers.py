"""Two workers on two sources, against one worker on both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

from bench.database import empty
from bench.providing import Provider, provider
from bench.result import Result, Size

SOURCES = ("coingecko", "coinpaprika")


def measured(size: Size) -> Iterator[Result]:
    count = size.records // 2
    with provider(count) as source:
        source.warm()
        first, changed = {}, {}
        for workers in (1, 2):
            empty()
            first[workers] = carry(source, workers)
            source.change_prices()
            source.warm()
            changed[workers] = carry(source, workers)
    both = 2 * count
    for what, seconds, target in (("all prices changed", changed, 1.6), ("first load", first, None)):
        yield Result(f"one worker, two sources: {what}", both, seconds[1])
        ratio = seconds[1] / seconds[2]
        yield Result(f"two workers, two sources: {what}", both, seconds[2], ratio, "one worker", target)


def carry(source: Provider, workers: int) -> float:
    """Seconds that so many processes, once they are there, take for every source once."""
    shares = [SOURCES] if workers == 1 else [[slug] for slug in SOURCES]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.worker", *share],
            env=source.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for share in shares
    ]
    for process in processes:
        process.stdout.readline()  # type: ignore[union-attr]  # it has started
    began = perf_counter()
    for process in processes:
        process.stdin.close()  # type: ignore[union-attr]  # it may begin
    if sum(process.wait() for process in processes):
        sys.exit("A worker failed.")
    return perf_counter() - began
