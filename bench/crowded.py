"""A first load into tables that hold a great deal already, against the same into empty ones."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from assets.models import Source
from assets.store import ensure_partitions
from bench.database import empty
from bench.providing import provider
from bench.result import Result, Size
from bench.running import run_once, timed

FILL = (
    """INSERT INTO assets_asset (slug, symbol, name, rank, price_usd, quotes_count, agreement)
       SELECT 'csv:there-' || n, 'T' || n, 'There ' || n, n, n, 1, 'single' FROM generate_series(1, %(listings)s) n""",
    """INSERT INTO assets_listing (source_id, source_asset_id, asset_id, symbol, name)
       SELECT %(source)s, substr(slug, 5), id, symbol, name FROM assets_asset""",
    """INSERT INTO assets_listing_key (key, listing_id)
       SELECT hashtextextended(name || kind, 0), id FROM assets_listing, unnest('{a,b,c}'::text[]) kind""",
    """INSERT INTO assets_quote
           (listing_id, source_id, asset_id, price_usd, rank, observed_at, page_id, position, digest)
       SELECT id, %(source)s, asset_id, 1, 1, now(), 0, 0, id FROM assets_listing""",
    """INSERT INTO assets_price_point (listing_id, observed_at, price_usd, page_id)
       SELECT id, date_trunc('month', now()) + step * interval '1 minute', 1, 0
       FROM assets_listing, generate_series(1, %(each)s) step""",
    "VACUUM ANALYZE",
)


def measured(size: Size) -> Iterator[Result]:
    count = size.records
    with provider(count) as source:
        source.warm()
        empty()
        alone = timed(run_once)
        empty()
        fill(size)
        crowded = timed(run_once)
    there = f"{size.listings_there:,} listings and {size.points_there:,} price points"
    yield Result("first load into empty tables", count, alone)
    yield Result(f"with {there} there", count, crowded, alone / crowded, "the same into empty tables", 0.5)


def fill(size: Size) -> None:
    from datetime import UTC, datetime

    ensure_partitions([datetime.now(UTC)])
    names = {
        "listings": size.listings_there,
        "each": size.points_there // size.listings_there,
        "source": Source.objects.get(slug="csv").pk,
    }
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, names if "%(" in statement else None)
        cursor.execute("CHECKPOINT")
