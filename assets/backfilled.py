"""Writes what a source says of its own past as price points, beside what we observed and never over it.

A point without a page is a backfilled one. Where there is, or comes, an observation of the same moment, it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from assets import candles

POINTS = """
INSERT INTO assets_price_point AS point (listing_id, observed_at, price_usd, market_cap, volume_24h)
SELECT %s, * FROM unnest(%s::timestamptz[], %s::numeric[], %s::numeric[], %s::numeric[]) ORDER BY 2
ON CONFLICT (listing_id, observed_at) DO UPDATE SET
    price_usd = excluded.price_usd, market_cap = excluded.market_cap, volume_24h = excluded.volume_24h
WHERE point.page_id IS NULL AND (point.price_usd, point.market_cap, point.volume_24h)
      IS DISTINCT FROM (excluded.price_usd, excluded.market_cap, excluded.volume_24h)
"""


def add(listing_id: int, points: Iterable[tuple[datetime, Decimal, Decimal | None, Decimal | None]]) -> int:
    """The points (time, price, market cap, volume) are there, and in the candles; how many were written.

    Part of the caller's transaction; their months have their partitions.
    """
    by_moment = {point[0]: point for point in points}
    if not by_moment:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(POINTS, [listing_id, *map(list, zip(*by_moment.values(), strict=True))])
        written = cursor.rowcount
    if written:
        candles.roll_up_listing(listing_id, min(by_moment), max(by_moment) + timedelta(microseconds=1))
    return written
