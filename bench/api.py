"""How fast the API answers, against apps that do nothing else, and whether the number of rows is felt."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from random import randrange
from statistics import median
from threading import Event, Thread
from time import monotonic, perf_counter, sleep
from typing import Any

import psutil
import psycopg2
from django.db import connection

from bench.asking import ask
from bench.filling import fill
from bench.result import Result, Size
from bench.rivals import COLUMNS, JOINS
from cryptoetl.local.ports import server_port

OURS = ["-m", "gunicorn", "cryptoetl.wsgi"]
BARE = ["-m", "gunicorn", "bench.rivals:application"]
GUNICORN = "--worker-class gthread --workers 1 --threads 8 --keep-alive 75 --no-control-socket --log-level error"
ROUNDS = 5
FAST = ["-m", "uvicorn", "--factory", "bench.rivals:fast", "--log-level", "error"]


def measured(size: Size) -> Iterator[Result]:
    few, rows, many = size.api_rows
    fill(few)
    with served(OURS) as ours:
        small = latency(ours.port, "/data")
    fill(rows)
    yield from against_others(rows, size.api_seconds)
    yield from exports(rows)
    with served(OURS) as ours:
        yield from walked(ours.port, rows)
    fill(many)
    with served(OURS) as ours:
        yield from depths(ours.port, few, many, small)
    yield from in_the_database(many)


def against_others(rows: int, seconds: float) -> Iterator[Result]:
    """One worker on one core each, 8 connections, pages of 50."""
    slug = "coin-7"
    paths = ("/data", "/assets", f"/assets/{slug}")
    # In turns, so that all three have the same share of whatever else the machine does.
    rounds: dict[str, list[float]] = defaultdict(list)
    with served(BARE) as bare, served(FAST) as fast, served(OURS) as ours:
        for _ in range(ROUNDS):
            rounds["fast"].append(ask(fast.port, "/data", seconds / ROUNDS).per_second)
            for path in paths:
                rounds[f"bare {path}"].append(ask(bare.port, path, seconds / ROUNDS).per_second)
                rounds[f"ours {path}"].append(ask(ours.port, path, seconds / ROUNDS).per_second)
    middle = {name: median(found) for name, found in rounds.items()}
    rival = middle["fast"]
    floor, own = ({path: middle[f"{who} {path}"] for path in paths} for who in ("bare", "ours"))
    count = f"{rows:,} rows"
    yield Result(f"bare WSGI app, /data of {count}", 1, 1 / floor["/data"])
    yield Result("/data", 1, 1 / own["/data"], own["/data"] / floor["/data"], "the bare app", 0.65)
    yield Result("FastAPI, SQLAlchemy async, /data", 1, 1 / rival)
    yield Result("/data", 1, 1 / own["/data"], own["/data"] / rival, "FastAPI", 2.5)
    for path, name in zip(paths[1:], ("/assets", "/assets/{asset_id}"), strict=True):
        yield Result(f"bare WSGI app, {name}", 1, 1 / floor[path])
        yield Result(name, 1, 1 / own[path], own[path] / floor[path], "the bare app", 0.5)


def depths(port: int, few: int, many: int, small: float) -> Iterator[Result]:
    """What a page costs at the beginning of a long list and deep in it: p50 of one caller."""
    first = latency(port, "/data")
    yield Result(f"first page of {many:,} rows", 1, first, small / first, f"that of {few:,}", 1 / 1.3)
    deep = latency(port, at_depth(port, many * 9 // 10))
    begin = latency(port, "/data?cursor=&ordering=rank&count=none")
    yield Result("cursor at 90 % depth", 1, deep, begin / deep, "the first page", 1 / 1.3)
    number = latency(port, f"/data?page={many * 9 // 10 // 50}", 5)
    yield Result("page by number at 90 % depth", 1, number, 0.5 / number, "half a second", 1)


def at_depth(port: int, row: int) -> str:
    """The address of a walk by rank that has come so far."""
    return walk_behind(get(port, f"/data?ordering=rank&count=none&limit=1&offset={row}")["data"][0], "rank")


def walk_behind(row: dict[str, Any], ordering: str) -> str:
    """The address of a walk in this order that has come to this row: its cursor is made of it."""
    from types import SimpleNamespace

    from assets.pagination import After, scope, seal

    last = After(str(row[ordering.removeprefix("-")]), row["id"], "0")
    of = scope(SimpleNamespace(sent=[("ordering", ordering)]), ordering, "data")  # type: ignore[arg-type]
    return f"/data?ordering={ordering}&count=none&cursor={seal(last, of)}"


def walked(port: int, rows: int) -> Iterator[Result]:
    """A walk through everything while every row is written again, and what it gives afterwards."""
    over = Event()
    writer = Thread(target=rewrite, args=(rows, over))
    writer.start()
    seen: Counter[int] = Counter()
    began = perf_counter()
    address, page = "/data?cursor=&page_size=100&count=none&fields=id", {}
    while address:
        page = get(port, address)
        seen.update(row["id"] for row in page["data"])
        address = page["next"] and page["next"].partition(f":{port}")[2]
    took = perf_counter() - began
    over.set()
    writer.join()
    once = sum(times == 1 for times in seen.values())
    yield Result("walk during upserts: rows seen exactly once", rows, took, once / rows, "all", 1)


def rewrite(rows: int, over: Event) -> None:
    """Upserts of a thousand rows each, again and again."""
    with psycopg2.connect(os.environ["DATABASE_URL"]) as one, one.cursor() as cursor:
        one.autocommit = True
        while not over.is_set():
            first = randrange(rows)
            cursor.execute(
                """UPDATE assets_quote SET rank = 1 + (rank * 31) %% %s, changed_at = now(), changed_in = DEFAULT
                   WHERE listing_id BETWEEN %s AND %s""",
                [rows, first, first + 1000],
            )


def in_the_database(many: int) -> Iterator[Result]:
    """Milliseconds of PostgreSQL alone."""
    from assets.filters import DATA_FILTERS
    from assets.pagination import Place
    from assets.selectors import Facts, data_page
    from assets.tables import DATA
    from assets.tally import total_sql

    took = best(lambda: query(f"SELECT {total_sql(DATA, [])}"))
    yield Result(f"total of {many:,} rows", 1, took, 0.001 / took, "a millisecond", 1)

    def search() -> None:
        found = [DATA_FILTERS["search"]("zzqqxxjj", DATA)]
        data_page(Place("rank", False, 50), found, Facts())

    took = best(search)
    yield Result("search without a hit", 1, took, 0.005 / took, "5 ms", 1)


def exports(rows: int) -> Iterator[Result]:
    reference = timed_export_by_cursor()
    yield Result("server-side cursor and csv.writer", rows, reference)
    with served(OURS) as ours:
        process = psutil.Process(ours.pid)
        for kind, target in (("csv", 10), ("ndjson", 2.5), ("parquet", None)):
            before = resident(process)
            seconds, first, most = download(ours.port, f"/data?format={kind}", lambda: resident(process))
            ratio = reference / seconds
            what = f"{kind}: first byte after {first * 1000:.0f} ms, {max(most - before, 0) / 1e6:.0f} MB more memory"
            yield Result(what, rows, seconds, ratio, "the cursor", target)


def timed_export_by_cursor() -> float:
    """The same rows, as one writes it first: native values out of a server-side cursor, times in ISO 8601."""
    began = perf_counter()
    with psycopg2.connect(os.environ["DATABASE_URL"]) as one, one.cursor("export") as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS.values())} FROM assets_quote q {JOINS} ORDER BY q.listing_id")
        target = io.StringIO()
        writer = csv.writer(target)
        for row in cursor:
            writer.writerow([value.isoformat() if isinstance(value, datetime) else value for value in row])
            if target.tell() > 1 << 16:
                target.seek(0)
                target.truncate()
    return perf_counter() - began


def download(port: int, path: str, memory: Callable[[], int]) -> tuple[float, float, int]:
    """(seconds to the end, to the first byte, the most memory on the way)."""
    began = perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        answer.read(1)
        first, most, chunks = perf_counter() - began, 0, 0
        while answer.read(1 << 20):
            chunks += 1
            if chunks % 16 == 1:
                most = max(most, memory())
    return perf_counter() - began, first, most


def resident(process: psutil.Process) -> int:
    return sum(one.memory_info().rss for one in [process, *process.children()])


def latency(port: int, path: str, times: int = 200) -> float:
    """p50 in seconds of one caller who asks again and again."""
    for _ in range(max(times // 10, 2)):
        get(port, path)
    if times >= 50:
        return ask(port, path, 1, connections=1).p50 / 1000
    return median(timed(lambda: get(port, path)) for _ in range(times))


def get(port: int, path: str) -> Any:
    import json

    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return json.load(answer)


def timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def best(work: Callable[[], object], times: int = 20) -> float:
    return median(timed(work) for _ in range(times))


def query(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()


class Server:
    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid


@contextmanager
def served(program: list[str]) -> Iterator[Server]:
    """The app in a process of its own, on the first core."""
    port = server_port()
    where = ["--port", str(port)] if "uvicorn" in program else ["--bind", f"127.0.0.1:{port}", *GUNICORN.split()]
    command = [sys.executable, *program, *where]
    if hasattr(os, "sched_setaffinity"):
        command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command]
    with subprocess.Popen(command) as process:
        try:
            deadline = monotonic() + 30
            while True:
                try:
                    get(port, "/data")
                    break
                except OSError:
                    if monotonic() > deadline or process.poll() is not None:
                        sys.exit(f"{' '.join(command)} does not answer.")
                    sleep(0.1)
            yield Server(port, process.pid)
        finally:
            process.terminate()
