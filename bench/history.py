"""Price points by the million: writing, rolling up, a month of candles of one asset among them, dropping them.

The points lie on the disk as sweeps leave them: all coins of one moment side by side, an asset's own far apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from django.db import connection
from django.test import Client

from assets import candles
from assets.copying import copy_rows
from assets.models import Source
from assets.store import POINT, ensure_partitions
from bench.database import empty
from bench.result import Result, Size
from bench.running import timed
from ingestion import retention

EVERY = timedelta(minutes=5)
#: Some 35 days.
SWEEPS = 10_000
SWEEPS_AT_ONCE = 288
ASKED = 20
ASSET = "csv:bench-7"

LISTINGS = (
    """INSERT INTO assets_asset (slug, symbol, name) SELECT 'csv:bench-' || n, 'B' || n, 'Bench ' || n
       FROM generate_series(1, %(listings)s) n""",
    """INSERT INTO assets_listing (source_id, source_asset_id, asset_id, symbol, name)
       SELECT %(source)s, substr(slug, 5), id, symbol, name FROM assets_asset ORDER BY id""",
)
#: Figures as long as real ones; each sweep is a page.
POINTS = """
SELECT listing.id, %(begin)s + sweep * %(every)s, 60000 + (sweep * 7919 + listing.id * 31) %% 1000000 / 100.0,
       1200000000000 + sweep * 1000003 + listing.id, 30000000000 + sweep * 1009, sweep + 1
FROM generate_series(%(first)s::bigint, %(last)s - 1) sweep, assets_listing listing ORDER BY sweep, listing.id"""
DUE = "INSERT INTO assets_candle_due (source_id, page_id) SELECT %s, generate_series(1, %s)"


def measured(size: Size) -> Iterator[Result]:
    empty()
    listings = size.history_points // SWEEPS
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    begin = end - SWEEPS * EVERY
    ensure_partitions(begin + timedelta(days=day) for day in range(37))
    written, seconds = fill(listings, begin)
    points = listings * SWEEPS
    yield Result(f"COPY of price points among {points:,}", written, seconds, drawn=False)
    bytes_a_point, indexes = (part / points for part in on_disk())
    yield Result(
        f"price points: {bytes_a_point:.0f} bytes each on disk, {indexes:.0f} of them indexes",
        points,
        timed(lambda: execute("VACUUM ANALYZE")),
        drawn=False,
    )
    execute(DUE, [Source.objects.get(slug="csv").pk, SWEEPS])
    yield Result("rolled up into hours and days", points, timed(lambda: candles.catch_up(seconds=3600)), drawn=False)
    execute("VACUUM ANALYZE")
    yield from asked_for(end, points)
    names = retention.old_partitions(end - timedelta(days=3))
    dropped = timed(lambda: retention.drop_months(names))
    gone = points - count()
    yield Result(
        f"{len(names)} months dropped in {dropped:.2f} s", gone, dropped, 1 / dropped, "a second", 1, drawn=False
    )


def fill(listings: int, begin: datetime) -> tuple[int, float]:
    """The tables are full; (points, seconds) of those that went in last, by COPY as ingestion does it."""
    values: dict[str, Any] = {"listings": listings, "source": Source.objects.get(slug="csv").pk}
    for statement in LISTINGS:
        execute(statement, values)
    values |= {"begin": begin, "every": EVERY}
    last = SWEEPS - SWEEPS_AT_ONCE
    for first in range(0, last, SWEEPS_AT_ONCE):
        span = {"first": first, "last": min(first + SWEEPS_AT_ONCE, last)}
        execute(f"INSERT INTO assets_price_point ({POINT}) {POINTS}", values | span)
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute(POINTS, values | {"first": last, "last": SWEEPS})
        rows = cursor.fetchall()
        seconds = timed(lambda: copy_rows(cursor, f"assets_price_point ({POINT})", rows))
    return len(rows), seconds


def asked_for(end: datetime, points: int) -> Iterator[Result]:
    """30 days of hours by the API's own address, warm: the middle of some requests."""
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    client = Client()
    query = {"interval": "1h", "from": (end - timedelta(days=30)).isoformat(), "to": end.isoformat()}
    answer = client.get(f"/assets/{ASSET}/history", query).json()
    hours = len(answer["data"])
    assert hours == 30 * 24, f"{hours} candles in place of {30 * 24}"
    for more in ("", ", a page due"):
        seconds = median(timed(lambda: client.get(f"/assets/{ASSET}/history", query)) for _ in range(ASKED))
        what = f"30 days of hours of one asset among {points:,} points{more}: {seconds * 1000:.1f} ms"
        yield Result(what, hours, seconds, 0.01 / seconds, "the rate that 10 ms are", None if more else 1, drawn=False)
        # As it is for some seconds after a sweep.
        execute("INSERT INTO assets_candle_due (source_id, page_id) SELECT id, %s FROM assets_source", [SWEEPS])


def on_disk() -> tuple[int, int]:
    """(bytes, those of indexes) of the price points."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT sum(pg_total_relation_size(inhrelid)), sum(pg_indexes_size(inhrelid)) FROM pg_inherits
               WHERE inhparent = 'assets_price_point'::regclass"""
        )
        whole, indexes = cursor.fetchone()
    return int(whole), int(indexes)


def count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM assets_price_point")
        return cursor.fetchone()[0]


def execute(sql: str, values: Any = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
