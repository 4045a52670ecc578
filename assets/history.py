"""Reads an asset's history: the points as its sources observed them, or open, high, low and close of each interval.

Candles are derived from our own points and say so. They follow one source's series: a price that jumps between two
sources is no movement of the market. What is missing is reported as a gap, never filled in. Hours and days are kept
ready (`assets.candles`); those that new points are not in yet, and the ends of a window that begins or ends within one,
are made from the points, so that an answer is exact at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import connection

from assets.candles import COLUMNS, OF_POINTS
from assets.clock import database_clock
from assets.consensus import INTERVALS_FRESH
from assets.errors import Invalid
from assets.export import HARMLESS, copy
from assets.models import Source
from assets.parameters import Asked, Parameter, choice, moment, text
from assets.tables import iso, source_label, source_name, source_slug

INTERVALS = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
#: Where candles are kept ready.
KEPT = {"1h": "assets_candle_hour", "1d": "assets_candle_day"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What is shown when the caller doesn't say since when.
USUAL = {"raw": timedelta(days=1), "5m": timedelta(days=1), "1h": timedelta(days=30), "1d": timedelta(days=365)}
AT_MOST = 10_000

PARAMETERS: tuple[Parameter, ...] = (
    choice("interval", "Points as observed, or candles of this length (UTC).", ("raw", *INTERVALS), "raw"),
    moment("from", "From this time on, inclusive. (default: a day before `to`; 30 days for 1h, 365 days for 1d)"),
    moment("to", "Up to this time, exclusive. (default: now)"),
    text(
        "source", "One source's points; candles follow the best-ranked one unless told otherwise.", example="coingecko"
    ),
)


@dataclass(frozen=True, slots=True)
class Window:
    """What the caller asked for."""

    interval: str
    begin: datetime
    end: datetime
    source: str | None


@dataclass(frozen=True, slots=True)
class Series:
    """One listing of the asset: the source whose points they are."""

    listing_id: int
    source: str
    every: timedelta
    due: Sequence[int] = ()
    """Pages of the source whose points are not in the candles yet."""


def window(asked: Asked) -> Window:
    """Raises Invalid when it ends before it begins, or holds more candles than an answer may."""
    interval = asked["interval"]
    try:
        end = asked["to"] or datetime.now(UTC)
        # What the caller left open begins with a whole candle.
        begin = asked["from"] or floor(end - USUAL[interval], INTERVALS.get(interval, timedelta(microseconds=1)))
    except OverflowError:
        raise Invalid({"to": "lies before all history"}) from None
    if begin >= end:
        raise Invalid({"from": "must lie before `to`"})
    if interval != "raw" and (end - begin) / INTERVALS[interval] > AT_MOST:
        raise Invalid(
            {"interval": f"would make more than {AT_MOST:,} candles of this time: ask for less, or for longer ones"}
        )
    return Window(interval, begin, end, asked["source"] and source_slug(asked["source"]))


def series_of(asset_id: int, source: str | None) -> list[Series]:
    """The asset's listings, the best-ranked source's first; of that source alone where one is named.

    Raises Invalid for one that there isn't.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT l.id, s.slug, s.interval_seconds * interval '1 second',
                      ARRAY(SELECT page_id FROM assets_candle_due due WHERE due.source_id = s.id)
               FROM assets_listing l JOIN assets_source s ON s.id = l.source_id
               WHERE l.asset_id = %s AND coalesce(s.slug = %s, true)
               ORDER BY s.identity_rank, s.slug, l.source_asset_id""",
            [asset_id, source],
        )
        found = [Series(*row) for row in cursor.fetchall()]
    if not found and source is not None:
        known = Source.objects.order_by("slug").values_list("slug", flat=True)
        if source not in known:
            raise Invalid({"source": "must be one of " + ", ".join(known)})
    return found


#: Points of a window as they are shown: `origin` tells what we observed from what a source said of its past.
SHOWN = f"""
SELECT {iso("found.observed_at")} AS observed_at, {source_name("s")} AS source, shown_id AS source_asset_id,
       found.price_usd, found.market_cap, found.volume_24h,
       CASE WHEN found.page_id IS NULL THEN 'backfilled' ELSE 'observed' END AS origin"""
IN_WINDOW = "listing_id = ANY(%s) AND observed_at >= %s AND observed_at < %s"
OF_LISTING = "JOIN assets_listing l ON l.id = found.listing_id JOIN assets_source s ON s.id = l.source_id"
POINTS = f"""
SELECT row_to_json(shown)::text, found.observed_at, found.listing_id
FROM (SELECT * FROM assets_price_point WHERE {IN_WINDOW}
      ORDER BY observed_at, listing_id LIMIT {AT_MOST + 1}) found
{OF_LISTING}
CROSS JOIN LATERAL ({SHOWN.replace("shown_id", "l.source_asset_id")}) shown
ORDER BY found.observed_at, found.listing_id
"""
#: Of each listing the first point of a window, or else the end of what can be known of it, in the columns of POINTS.
FOLLOWING = """
SELECT NULL, coalesce(following.observed_at, least(%(end)s, now())), wanted.id
FROM unnest(%(ids)s::bigint[]) wanted (id)
LEFT JOIN LATERAL (
    SELECT observed_at FROM assets_price_point
    WHERE listing_id = wanted.id AND observed_at >= %(begin)s AND observed_at < %(end)s ORDER BY observed_at LIMIT 1
) following ON true
"""
#: Candles of so many spans, each of which lies within one bucket.
OF_SPANS = f"""
SELECT date_bin(%(length)s, span.begin, 'epoch') AS start, made.*
FROM spans span
CROSS JOIN LATERAL (
    SELECT {OF_POINTS} FROM assets_price_point
    WHERE listing_id = %(listing)s AND observed_at >= span.begin AND observed_at < span.finish
) made
WHERE made.count > 0"""
CANDLES = f"""
SELECT date_bin(%(length)s, observed_at, 'epoch') AS start, {OF_POINTS}
FROM assets_price_point
WHERE listing_id = %(listing)s AND observed_at >= %(begin)s AND observed_at < %(end)s
GROUP BY start ORDER BY start
"""
#: As CANDLES: kept ones from %(first)s to %(last)s, but for those that pages are due for; these, and the ends of the
#: window, from the points.
KEPT_CANDLES = f"""
WITH late AS MATERIALIZED (
    SELECT DISTINCT date_bin(%(length)s, observed_at, 'epoch') AS start FROM assets_price_point
    WHERE %(any_due)s AND listing_id = %(listing)s AND observed_at >= %(first)s AND observed_at < %(last)s
      AND page_id = ANY(%(due)s)
), spans AS (
    SELECT start AS begin, start + %(length)s AS finish FROM late
    UNION ALL SELECT * FROM unnest(%(begins)s::timestamptz[], %(finishes)s::timestamptz[])
)
SELECT start, {", ".join(COLUMNS)} FROM kept_table
WHERE listing_id = %(listing)s AND start >= %(first)s AND start < %(last)s AND start NOT IN (SELECT start FROM late)
UNION ALL {OF_SPANS}
ORDER BY start
"""
CANDLE_SHOWN = f"""
FROM ({{candles}}) candle CROSS JOIN LATERAL (
    SELECT {iso("candle.start")} AS start, {iso("candle.start + %(length)s")} AS "end",
           candle.open, candle.high, candle.low, candle.close, candle.count, candle.backfilled,
           {iso("candle.last_at")} AS last_at,
           (candle.start >= %(begin)s AND candle.start + %(length)s <= least(%(end)s, now())) AS closed
) shown ORDER BY candle.start"""

#: A month of hours as one text: 720 rows of it take as long to be read as to be found.
IN_ONE_ROW = """
SELECT string_agg(text, ',' ORDER BY start), array_agg(start ORDER BY start), now()
FROM (SELECT row_to_json(shown)::text AS text, extract(epoch FROM candle.start)::bigint AS start {shown}) candles
"""


def points(series: Sequence[Series], asked: Window) -> tuple[str, datetime | None, list[dict[str, Any]]]:
    """(points as JSON, commas between them, where the next page begins, gaps longer than three of a source's
    intervals, those at the ends of the window up to now too)."""
    every = {one.listing_id: one for one in series}
    with connection.cursor() as cursor:
        cursor.execute(POINTS, [list(every), asked.begin, asked.end])
        found = cursor.fetchall()
        beyond = None
        if len(found) > AT_MOST:
            # The next page begins with a whole moment, so that no two pages share one.
            beyond = found[-1][1]
            found = [row for row in found if row[1] < beyond]
        # A gap between two pages is named whole on the first: the second does not know where it began.
        cursor.execute(FOLLOWING, {"ids": list(every), "begin": beyond or asked.end, "end": asked.end})
        following = cursor.fetchall()
    gaps, before = [], dict.fromkeys(every, asked.begin)
    for _, at, listing_id in (*found, *following):
        one = every[listing_id]
        if at - before[listing_id] > INTERVALS_FRESH * one.every:
            gaps.append({"from": before[listing_id], "to": at, "source": source_label(one.source)})
        before[listing_id] = at
    return ",".join(row[0] for row in found), beyond, gaps


def copy_of_points(kind: str, series: Sequence[Series], asked: Window) -> tuple[str, list[Any]]:
    """(COPY of all points of the window as they are shown, its values)."""
    own = "l.source_asset_id"
    shown = SHOWN.replace("shown_id", HARMLESS.format(own) if kind == "csv" else own)
    rows = f"""{shown} FROM assets_price_point found {OF_LISTING} WHERE {IN_WINDOW}
               ORDER BY found.observed_at, found.listing_id"""
    return copy(kind, rows), [[one.listing_id for one in series], asked.begin, asked.end]


def candles(series: Sequence[Series], asked: Window) -> tuple[Series | None, str, list[dict[str, Any]]]:
    """(whose points, candles as JSON, commas between them, gaps): of the first that has a point in the window."""
    for one in series:
        sql, values = candles_of(one, asked)
        with connection.cursor() as cursor:
            cursor.execute(IN_ONE_ROW.format(shown=CANDLE_SHOWN.format(candles=sql)), values)
            found, starts, now = cursor.fetchone()
        if found is not None:
            return one, found, gaps_between(starts, one, asked, now)
    return None, "", nothing_in(asked, database_clock())


def copy_of_candles(kind: str, one: Series, asked: Window) -> tuple[str, dict[str, Any]]:
    """(COPY of the candles as they are shown, its values)."""
    sql, values = candles_of(one, asked)
    values["label"] = source_label(one.source)
    shown = CANDLE_SHOWN.format(candles=sql)
    if kind == "csv":
        # COPY would write t and f.
        shown = shown.replace(") AS closed", ")::text AS closed")
    return copy(kind, f"SELECT shown.*, %(label)s AS source {shown}"), values


def candles_of(one: Series, asked: Window) -> tuple[str, dict[str, Any]]:
    """SQL of (start, *COLUMNS) of every bucket that has a point within the window, in order, and its values."""
    length = INTERVALS[asked.interval]
    values: dict[str, Any] = {"length": length, "listing": one.listing_id, "begin": asked.begin, "end": asked.end}
    if asked.interval not in KEPT:
        return CANDLES, values
    first, last, ends = whole(asked, length)
    begins, finishes = [begin for begin, _ in ends], [finish for _, finish in ends]
    values |= {"first": first, "last": last, "begins": begins, "finishes": finishes}
    values |= {"due": list(one.due), "any_due": bool(one.due)}
    return KEPT_CANDLES.replace("kept_table", KEPT[asked.interval]), values


def floor(moment: datetime, length: timedelta) -> datetime:
    """The beginning of the bucket that holds it."""
    return moment - (moment - EPOCH) % length


def whole(asked: Window, length: timedelta) -> tuple[datetime, datetime, list[tuple[datetime, datetime]]]:
    """(first, last, ends): whole buckets lie from `first` to `last`; `ends` are what the window has beside them."""
    first, last = floor(asked.begin, length), floor(asked.end, length)
    if first < asked.begin and first == last:
        return last, last, [(asked.begin, asked.end)]
    ends = []
    if first < asked.begin:
        first += length
        ends.append((asked.begin, first))
    if last < asked.end:
        ends.append((last, asked.end))
    return first, last, ends


def gaps_between(starts: Sequence[int], one: Series, asked: Window, now: datetime) -> list[dict[str, Any]]:
    """Where buckets of the window have no point: before the first, between two, and after the last up to now.

    `starts` are those that have one, in seconds since 1970.
    """
    length = INTERVALS[asked.interval]
    seconds = int(length.total_seconds())
    between = [(start + seconds, following) for start, following in pairwise(starts) if following > start + seconds]
    last = after_epoch(starts[-1] + seconds)
    gaps = [
        (asked.begin, after_epoch(starts[0])),
        *((after_epoch(left), after_epoch(right)) for left, right in between),
        (last, so_far(asked, now)),
    ]
    return [{"from": left, "to": right, "source": source_label(one.source)} for left, right in gaps if left < right]


def so_far(asked: Window, now: datetime) -> datetime:
    """The end of the window, or of the last bucket in it that is over."""
    return min(asked.end, floor(now, INTERVALS[asked.interval]))


def nothing_in(asked: Window, now: datetime) -> list[dict[str, Any]]:
    """The gap of a window in which no source, or not the one asked for, has a point."""
    end, whose = so_far(asked, now), asked.source and source_label(asked.source)
    return [{"from": asked.begin, "to": end, "source": whose}] if asked.begin < end else []


def after_epoch(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
