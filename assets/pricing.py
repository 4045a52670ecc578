"""Keeps every asset's consensus columns equal to what `assets.consensus` makes of its quotes, set-based.

Assets are locked in the order of their ids before their quotes are read, so that two sources that change one asset at a
time see each other's quotes and never wait for each other in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction

from assets.consensus import INTERVALS_FRESH, Consensus, SourceQuote, consensus
from assets.copying import array_of_numbers, json_of, stage
from assets.models import Source
from assets.records import AssetRecord
from assets.tables import stale_at


def quotes_sql(quotes: str = "assets_quote", delisted: str = "listing.delisted_at IS NOT NULL") -> str:
    """SQL of what `priced` reads: the quotes of some assets, as they are or (see `assets.unified`) were."""
    return f"""
SELECT quote.asset_id, source.slug, source.identity_rank, source.interval_seconds, quote.observed_at, quote.price_usd,
       quote.market_cap, quote.volume_24h, quote.percent_change_24h, quote.rank, {delisted},
       source.enabled, listing.symbol, listing.name
FROM unnest(%s::bigint[]) AS wanted (id)
JOIN {quotes} quote ON quote.asset_id = wanted.id
JOIN assets_listing listing ON listing.id = quote.listing_id
JOIN assets_source source ON source.id = quote.source_id
ORDER BY quote.asset_id, source.identity_rank, listing.source_asset_id
"""


QUOTES = quotes_sql()

#: Columns of an asset that say what its sources agree on, and their types.
TYPES = {
    "price_usd": "numeric",
    "price_min": "numeric",
    "price_max": "numeric",
    "market_cap": "numeric",
    "volume_24h": "numeric",
    "percent_change_24h": "numeric",
    "spread_bps": "numeric",
    "rank": "int",
    "agreement": "text",
    "sources_used": "jsonb",
    "left_out": "jsonb",
    "quotes_count": "int",
    "observed_at": "timestamptz",
    "fresh_until": "timestamptz",
    "symbol": "text",
    "name": "text",
}
COLUMNS = tuple(TYPES)

_OLD, _NEW = (", ".join(f"{row}.{column}" for column in COLUMNS) for row in ("asset", "new"))

_STALE_AT = stale_at("quote", "source")
#: COLUMNS of an asset whose only quote is the row `new`.
_SINGLE = """
    new.price_usd, new.price_usd, new.price_usd, new.market_cap, new.volume_24h, new.percent_change_24h, 0, new.rank,
    'single', jsonb_build_array(new.slug), '[]'::jsonb, 1, new.observed_at, new.fresh_until, new.symbol, new.name
"""
#: Most assets have one quote, and most of these are fresh: what `assets.consensus` says of one is said here set-based.
#: A test holds the two to each other.
REPRICE_SINGLE = f"""
WITH alone AS (
    SELECT quote.asset_id, quote.price_usd, quote.market_cap, quote.volume_24h, quote.percent_change_24h, quote.rank,
           quote.observed_at, {_STALE_AT} AS fresh_until, source.slug, listing.symbol, listing.name
    FROM unnest(%(ids)s::bigint[]) AS wanted (id)
    JOIN assets_quote quote ON quote.asset_id = wanted.id
    JOIN assets_listing listing ON listing.id = quote.listing_id
    JOIN assets_source source ON source.id = quote.source_id
    WHERE quote.price_usd IS NOT NULL AND source.enabled
      AND listing.delisted_at IS NULL
      AND {_STALE_AT} > %(now)s
      AND NOT EXISTS (
          SELECT FROM assets_quote other
          WHERE other.asset_id = quote.asset_id AND other.listing_id <> quote.listing_id
      )
), priced AS (
    UPDATE assets_asset AS asset SET ({", ".join(COLUMNS)}, changed_at) = ({_SINGLE}, clock_timestamp())
    FROM alone new WHERE asset.id = new.asset_id AND ({_OLD}) IS DISTINCT FROM ({_SINGLE})
)
SELECT asset_id FROM alone
"""

REPRICING = ", ".join(["id bigint", *(f"{column} {kind}" for column, kind in TYPES.items())])
REPRICE = f"""
WITH new AS (DELETE FROM repricing RETURNING *)
UPDATE assets_asset AS asset SET ({", ".join(COLUMNS)}, changed_at) = ({_NEW}, clock_timestamp())
FROM new WHERE asset.id = new.id AND ({_OLD}) IS DISTINCT FROM ({_NEW})
"""
#: What the source still lists and has been silent about since the consensus was last worked out. When the source says
#: nothing at all, that is the source's trouble, and no event of each of its coins.
WENT_STALE = f"""
INSERT INTO assets_event (listing_id, kind, detail)
SELECT quote.listing_id, 'stale', 'last word of ' || to_char(quote.observed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
FROM assets_asset asset
JOIN assets_quote quote ON quote.asset_id = asset.id
JOIN assets_source source ON source.id = quote.source_id
JOIN assets_listing listing ON listing.id = quote.listing_id
WHERE asset.id = ANY(%s) AND {_STALE_AT} BETWEEN asset.fresh_until AND clock_timestamp()
  AND source.enabled AND listing.missed_sweeps = 0
  AND source.last_sweep_at + {INTERVALS_FRESH} * source.interval_seconds * interval '1 second' > clock_timestamp()
ORDER BY quote.listing_id
"""
DUE = """
SELECT id FROM assets_asset WHERE fresh_until <= clock_timestamp() ORDER BY id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""


def reprice(asset_ids: Iterable[int], now: datetime | None = None) -> None:
    """The consensus of these assets is that of their quotes at `now`. Part of the caller's transaction."""
    ids = sorted(asset_ids)
    if not ids:
        return
    with connection.cursor() as cursor:
        array = array_of_numbers(ids)
        cursor.execute(
            "SELECT id FROM assets_asset WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE", [array]
        )
        if now is None:
            # PostgreSQL's clock: one worker's that is wrong would take fresh quotes for stale.
            cursor.execute("SELECT clock_timestamp()")
            now = cursor.fetchone()[0]
        cursor.execute(REPRICE_SINGLE, {"ids": array, "now": now})
        rest = sorted({*ids} - {row[0] for row in cursor.fetchall()})
        if rest:
            stage(cursor, "repricing", REPRICING, priced(rest, now))
            cursor.execute(REPRICE)


def priced(ids: Iterable[int], now: datetime, quotes_of: str = QUOTES) -> list[tuple[object, ...]]:
    """(id, *COLUMNS) of each of these assets that has a quote: its consensus at `now`. Reads only."""
    ids = list(ids)
    with connection.cursor() as cursor:
        cursor.execute(quotes_of, [array_of_numbers(ids)])
        quotes: dict[int, list[SourceQuote]] = defaultdict(list)
        called: dict[int, tuple[str, str]] = {}
        for asset_id, slug, identity_rank, interval, *rest, symbol, name in cursor.fetchall():
            quotes[asset_id].append(SourceQuote(slug, identity_rank, timedelta(seconds=interval), *rest))
            # Symbol and name are those of the best-ranked source.
            called.setdefault(asset_id, (symbol, name))
    rows: list[tuple[object, ...]] = []
    for asset_id in ids:
        if asset_id not in quotes:
            continue
        agreed = consensus(quotes[asset_id], now)
        rows.append((asset_id, *columns(agreed, len(quotes[asset_id])), *called[asset_id]))
    return rows


def of_one(source: Source, interval: timedelta, record: AssetRecord, now: datetime) -> tuple[object, ...]:
    """COLUMNS without symbol and name of an asset with this quote alone: as in REPRICE_SINGLE."""
    _, _, _, at, price, market_cap, volume, change, rank, *_ = record
    stale_at = at + INTERVALS_FRESH * interval
    if price is None or not source.enabled or stale_at <= now:
        quote = SourceQuote(source.slug, source.identity_rank, interval, *record[3:9], False, source.enabled)
        return columns(consensus([quote], now), 1)
    used = f'["{source.slug}"]'
    return price, price, price, market_cap, volume, change, 0, rank, "single", used, "[]", 1, at, stale_at


def columns(agreed: Consensus, quotes: int) -> tuple[object, ...]:
    """The consensus of so many quotes as COLUMNS has it, without symbol and name."""
    return (
        agreed.price_usd,
        agreed.price_min,
        agreed.price_max,
        agreed.market_cap,
        agreed.volume_24h,
        agreed.percent_change_24h,
        agreed.spread_bps,
        agreed.rank,
        agreed.agreement,
        json_of(agreed.sources_used),
        json_of([{"source": source, "reason": reason} for source, reason in agreed.left_out]),
        quotes,
        agreed.observed_at,
        agreed.fresh_until,
    )


def reprice_due(limit: int = 5000) -> int:
    """Assets in whose consensus a quote has gone stale are priced again; the number of them. Commits by itself."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DUE, [limit])
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(WENT_STALE, [ids])
        reprice(ids)
    return len(ids)
