"""`make soak MINUTES=n`: the demo at ten times its cadence, watched: does a worker grow, do connections pile up?

A worker's memory is that of its process and of its whole pool, each page of memory that they share counted once for
each share of it. What a start takes is not growth: the first part of the time is not judged.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from dataclasses import dataclass

import psutil

from cryptoetl.local import ports, processes, servers
from cryptoetl.local.demo import INTERVAL_SECONDS, planned
from cryptoetl.local.down import stop
from cryptoetl.local.environment import folder_for, given
from cryptoetl.local.folder import Folder
from cryptoetl.local.trouble import Trouble
from cryptoetl.local.up import start

FIRST_PORT = 8200
TIMES = 10
#: The shortest time of which anything can be said, and how much of it is the start's.
LEAST = 2.0
START = 0.25
#: Growth in an hour that is still none, and connections that come and go with the moment.
GROWTH = 0.10
SWAY = 2
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """What there was after so many seconds. Memory in bytes."""

    seconds: float
    worker: int
    processes: int
    connections: int
    redis: int
    runs: int


def soak() -> int:
    """0 when nothing grew, 1 when something did. What was started is gone again."""
    minutes = asked_for(os.environ.get("MINUTES", ""))
    folder = Folder(str(folder_for(given()).path) + "-soak")
    if folder.read_state():
        raise Trouble(f"{folder.path} holds an earlier one: stop what runs in it, and remove it.")
    plan = planned(folder, ports.first_free(FIRST_PORT), max(INTERVAL_SECONDS // TIMES, 1))
    plan.extra["ETL_RATE_LIMIT_REQUESTS"] = "1000"
    try:
        start(plan)
        samples = watch(folder, minutes * 60)
    finally:
        stop(folder)
        shutil.rmtree(folder.path, ignore_errors=True)
    complaints = verdict(samples)
    print("\n".join(complaints) or "Nothing grew.", flush=True)
    return 1 if complaints else 0


def asked_for(text: str) -> float:
    try:
        minutes = float(text or 10)
    except ValueError:
        minutes = 0.0
    if not LEAST <= minutes <= 60 * 24 * 30:
        raise Trouble(f"MINUTES must be a number of minutes from {LEAST:g} (it is {text!r}).", code=2)
    return minutes


def watch(folder: Folder, seconds: float) -> list[Sample]:
    """A sample every few seconds, of which some fifty are shown."""
    print(
        f"\n{'minutes':>8}{'worker MB':>11}{'processes':>11}{'connections':>13}{'Redis MB':>10}{'runs':>8}", flush=True
    )
    samples: list[Sample] = []
    every = min(max(seconds / 400, 1.0), 30.0)
    began, shown = time.monotonic(), 0.0
    while (gone := time.monotonic() - began) < seconds:
        samples.append(one := sample(folder, gone))
        if gone >= shown or gone + every >= seconds:
            print(
                f"{gone / 60:>8.1f}{one.worker / MEGABYTE:>11.1f}{one.processes:>11}{one.connections:>13}"
                f"{one.redis / MEGABYTE:>10.2f}{one.runs:>8,}",
                flush=True,
            )
            shown += seconds / 50
        time.sleep(every)
    return samples


def sample(folder: Folder, seconds: float) -> Sample:
    import psycopg2
    import redis

    state = folder.read_state()
    memory, count = 0, 0
    for found in processes.of(folder):
        if found.program == "worker":
            try:
                memory += found.process.memory_full_info().pss
                count += 1
            except psutil.Error:
                continue
    connection = psycopg2.connect(servers.postgres(folder, state).url, connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cryptoetl'")
            connections = cursor.fetchone()[0]
            cursor.execute("SELECT count(*) FROM ingestion_run WHERE finished_at IS NOT NULL")
            runs = cursor.fetchone()[0]
    finally:
        connection.close()
    with redis.Redis.from_url(servers.redis(folder, state).url, socket_timeout=5) as client:
        used = int(client.info("memory")["used_memory"])
    return Sample(seconds, memory, count, connections, used, runs)


def verdict(samples: list[Sample]) -> list[str]:
    """What grew, a sentence each."""
    judged = [one for one in samples if one.seconds >= samples[-1].seconds * START]
    third = max(len(judged) // 3, 1)
    first, last = judged[:third], judged[-third:]
    complaints = []
    for name, what in (("worker", "The worker's memory"), ("redis", "The memory of Redis")):
        before, after = (statistics.median(getattr(one, name) for one in part) for part in (first, last))
        hours = (statistics.mean(one.seconds for one in last) - statistics.mean(one.seconds for one in first)) / 3600
        growth = (after - before) / before / hours if before and hours else 0.0
        print(f"{what}: {before / MEGABYTE:.1f} MB, then {after / MEGABYTE:.1f} MB: {growth:+.1%} an hour.")
        # Within a few minutes a hundred kilobytes more would be half as much again in an hour.
        if growth > GROWTH and after - before > MEGABYTE:
            complaints.append(f"{what} grows by {growth:.0%} an hour; {GROWTH:.0%} are the most.")
    before, after = (max(one.connections for one in part) for part in (first, last))
    print(f"Connections to PostgreSQL: at most {before}, then at most {after}.")
    if after > before + SWAY:
        complaints.append(f"The connections to PostgreSQL grew from {before} to {after}.")
    if last[-1].runs <= first[0].runs:
        complaints.append("No run ended: nothing was at work.")
    return complaints
