"""Keeps the candles of an hour and of a day equal to what the price points make, in whatever order these come.

Who writes points says so with a row for each page (`due`), in the same transaction. `roll_up` takes such rows, makes
anew the hours that their points lie in, from all points of these hours, and the days from their hours. So a point that
is late, out of order or corrected mends its own bucket, doing it twice changes nothing, and a process that dies leaves
the rows where they were. Until then `assets.history` makes those buckets from the points, so an answer is always exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper

#: Whoever rolls up holds it to the end of his transaction: of two at a time one could write what he read too early.
LOCK = 7631
#: Pages in one transaction.
PAGES_AT_ONCE = 100

COLUMNS = ("open", "high", "low", "close", "count", "backfilled", "last_at")
#: COLUMNS of the points of a bucket.
OF_POINTS = """
(array_agg(price_usd ORDER BY observed_at))[1] AS open, max(price_usd) AS high, min(price_usd) AS low,
(array_agg(price_usd ORDER BY observed_at DESC))[1] AS close, count(*) AS count,
count(*) FILTER (WHERE page_id IS NULL) AS backfilled, max(observed_at) AS last_at"""
#: COLUMNS of the hours of a day.
OF_HOURS = """
(array_agg(open ORDER BY start))[1], max(high), min(low), (array_agg(close ORDER BY start DESC))[1], sum(count),
sum(backfilled), max(last_at)"""

_KEPT, _NEW = (", ".join(f"{row}.{column}" for column in COLUMNS) for row in ("candle", "excluded"))
UPSERT = f"""
ON CONFLICT (listing_id, start) DO UPDATE SET ({", ".join(COLUMNS)}) = ({_NEW})
WHERE ({_KEPT}) IS DISTINCT FROM ({_NEW})"""

#: What the index on pages does not know yet is read from end to end by whoever looks for a page.
SUMMARIZE = """
SELECT brin_summarize_new_values(inhrelid) FROM pg_inherits
WHERE inhparent = 'assets_price_point_page'::regclass AND EXISTS (SELECT FROM assets_candle_due)
"""
TAKE = """
DELETE FROM assets_candle_due WHERE id IN (SELECT id FROM assets_candle_due ORDER BY id LIMIT %s) RETURNING page_id
"""
TOUCHED_BY_PAGES = """
SELECT DISTINCT listing_id, date_bin('1 hour', observed_at, 'epoch') AS start
FROM assets_price_point WHERE page_id = ANY(%s)"""
TOUCHED_BY_LISTING = """
SELECT DISTINCT listing_id, date_bin('1 hour', observed_at, 'epoch') AS start
FROM assets_price_point WHERE listing_id = %s AND observed_at >= %s AND observed_at < %s"""
HOURS = f"""
INSERT INTO assets_candle_hour AS candle (listing_id, start, {", ".join(COLUMNS)})
SELECT touched.listing_id, touched.start, made.*
FROM (touched_hours) touched
CROSS JOIN LATERAL (
    SELECT {OF_POINTS} FROM assets_price_point point
    WHERE point.listing_id = touched.listing_id
      AND point.observed_at >= touched.start AND point.observed_at < touched.start + interval '1 hour'
) made
ORDER BY touched.listing_id, touched.start {UPSERT}
RETURNING candle.listing_id, date_bin('1 day', candle.start, 'epoch')
"""
#: Points only ever become more, but by retention: a day that would hold fewer has lost some of its hours, and stays.
DAYS = f"""
INSERT INTO assets_candle_day AS candle (listing_id, start, {", ".join(COLUMNS)})
SELECT touched.listing_id, touched.start, made.*
FROM unnest(%s::bigint[], %s::timestamptz[]) AS touched (listing_id, start)
CROSS JOIN LATERAL (
    SELECT {OF_HOURS} FROM assets_candle_hour hour
    WHERE hour.listing_id = touched.listing_id
      AND hour.start >= touched.start AND hour.start < touched.start + interval '1 day'
) made
ORDER BY touched.listing_id, touched.start {UPSERT} AND excluded.count >= candle.count
"""


def due(source_id: int, page_ids: Iterable[int]) -> None:
    """The points of these pages are to go into the candles. Part of the transaction that writes the points."""
    ids = list(page_ids)
    if not ids:
        return
    with connection.cursor() as cursor:
        # Not ON CONFLICT DO NOTHING: a row that is there may be gone by the time that this transaction ends.
        cursor.execute(
            "INSERT INTO assets_candle_due (source_id, page_id) SELECT %s, unnest(%s::bigint[])", [source_id, ids]
        )


def roll_up(pages: int = PAGES_AT_ONCE) -> int:
    """The points of so many pages that were due are in the candles; how many pages. 0 also while another is at it."""
    summarize_points()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(TAKE, [pages])
        page_ids = [row[0] for row in cursor.fetchall()]
        if page_ids:
            # Of points that it knows nothing of yet the planner thinks that a page's lie anywhere, and would read all.
            cursor.execute("SET LOCAL enable_seqscan = off")
            make(cursor, TOUCHED_BY_PAGES, [page_ids])
            cursor.execute("SET LOCAL enable_seqscan TO DEFAULT")
    return len(page_ids)


def summarize_points() -> None:
    """The points of a page are quickly found. PostgreSQL sees to that by itself, but minutes after a large load."""
    # It makes what follows quick, no more: whatever is in its way, autovacuum mostly, is left in peace. One that is
    # waited for longer than `deadlock_timeout` would be cancelled.
    with suppress(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'")
        cursor.execute(SUMMARIZE)
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")


def catch_up(seconds: float = 60.0) -> int:
    """Nothing is due any more, or the time is up; how many pages were."""
    deadline, done = monotonic() + seconds, 0
    while pages := roll_up():
        done += pages
        if monotonic() > deadline:
            break
    return done


def roll_up_listing(listing_id: int, begin: datetime, end: datetime) -> None:
    """The candles of one listing hold its points of that time. Part of the transaction that writes the points."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        make(cursor, TOUCHED_BY_LISTING, [listing_id, begin, end])


def make(cursor: CursorWrapper, touched: str, values: Sequence[Any]) -> None:
    """The hours that the statement names, and their days, are made anew."""
    cursor.execute(HOURS.replace("touched_hours", touched), values)
    if days := set(cursor.fetchall()):
        listing_ids, starts = zip(*days, strict=True)
        cursor.execute(DAYS, [list(listing_ids), list(starts)])
