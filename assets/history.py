"""Reads an asset's history: the points as its sources observed them, or open, high, low and close of each interval.

Candles are derived from our own points and say so. They follow one source's series: a price that jumps between two
sources is no movement of the market. What is missing is reported as a gap, never filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from assets.consensus import INTERVALS_FRESH
from assets.errors import Invalid
from assets.parameters import Asked, Parameter, choice, moment, text
from assets.tables import iso, source_label, source_name, source_slug

INTERVALS = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
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


def window(asked: Asked) -> Window:
    """Raises Invalid when it ends before it begins, or holds more candles than an answer may."""
    interval = asked["interval"]
    try:
        end = asked["to"] or datetime.now(UTC)
        begin = asked["from"] or end - USUAL[interval]
    except OverflowError:
        raise Invalid({"to": "lies before all history"}) from None
    if begin >= end:
        raise Invalid({"from": "must lie before `to`"})
    if interval != "raw" and (end - begin) / INTERVALS[interval] > AT_MOST:
        raise Invalid(
            {"interval": f"would make more than {AT_MOST:,} candles of this time: ask for less, or for longer ones"}
        )
    return Window(interval, begin, end, asked["source"] and source_slug(asked["source"]))


def series_of(asset_id: int) -> list[Series]:
    """The asset's listings, the best-ranked source's first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT l.id, s.slug, s.interval_seconds FROM assets_listing l JOIN assets_source s ON s.id = l.source_id
               WHERE l.asset_id = %s ORDER BY s.identity_rank, s.slug, l.source_asset_id""",
            [asset_id],
        )
        return [Series(listing, slug, timedelta(seconds=every)) for listing, slug, every in cursor.fetchall()]


POINTS = f"""
SELECT row_to_json(shown)::text, found.observed_at, found.listing_id
FROM (SELECT observed_at, listing_id, price_usd, market_cap, volume_24h FROM assets_price_point
      WHERE listing_id = ANY(%s) AND observed_at >= %s AND observed_at < %s
      ORDER BY observed_at, listing_id LIMIT {AT_MOST + 1}) found
JOIN assets_listing l ON l.id = found.listing_id
JOIN assets_source s ON s.id = l.source_id
CROSS JOIN LATERAL (SELECT {iso("found.observed_at")} AS observed_at, {source_name("s")} AS source, l.source_asset_id,
                           found.price_usd, found.market_cap, found.volume_24h) shown
ORDER BY found.observed_at, found.listing_id
"""
CANDLES = """
SELECT date_bin(%s::interval, observed_at, 'epoch') AS start,
       (array_agg(price_usd ORDER BY observed_at))[1] AS open, max(price_usd) AS high, min(price_usd) AS low,
       (array_agg(price_usd ORDER BY observed_at DESC))[1] AS close, count(*) AS count
FROM assets_price_point
WHERE listing_id = %s AND observed_at >= %s AND observed_at < %s
GROUP BY start ORDER BY start
"""


def points(series: Sequence[Series], asked: Window) -> tuple[list[str], datetime | None, list[dict[str, Any]]]:
    """(points as JSON, where the next page begins, gaps longer than three of a source's intervals)."""
    every = {one.listing_id: one for one in series}
    with connection.cursor() as cursor:
        cursor.execute(POINTS, [list(every), asked.begin, asked.end])
        found = cursor.fetchall()
    beyond = None
    if len(found) > AT_MOST:
        # The next page begins with a whole moment, so that no two pages share one.
        beyond = found[-1][1]
        found = [row for row in found if row[1] < beyond]
    gaps, before = [], dict[int, datetime]()
    for _, at, listing_id in found:
        last = before.get(listing_id)
        if last is not None and at - last > INTERVALS_FRESH * every[listing_id].every:
            gaps.append({"from": last, "to": at, "source": source_label(every[listing_id].source)})
        before[listing_id] = at
    return [row[0] for row in found], beyond, gaps


def candles(
    series: Sequence[Series], asked: Window, now: datetime
) -> tuple[Series | None, list[dict[str, Any]], list[dict[str, Any]]]:
    """(whose points, candles, gaps): of the first of the series that has a point in the window."""
    length = INTERVALS[asked.interval]
    for one in series:
        with connection.cursor() as cursor:
            cursor.execute(CANDLES, [asked.interval, one.listing_id, asked.begin, asked.end])
            found = cursor.fetchall()
        if not found:
            continue
        made, gaps = [], []
        for position, (start, opening, high, low, close, count) in enumerate(found):
            end = start + length
            made.append(
                {
                    "start": start,
                    "end": end,
                    "open": opening,
                    "high": high,
                    "low": low,
                    "close": close,
                    "count": count,
                    "closed": end <= now and start >= asked.begin and end <= asked.end,
                }
            )
            if position and found[position - 1][0] + length < start:
                gaps.append({"from": found[position - 1][0] + length, "to": start, "source": source_label(one.source)})
        return one, made, gaps
    return None, [], []
