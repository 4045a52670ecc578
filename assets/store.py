"""The only writer of listings, quotes and price points: COPY into a staging table, one set-based merge.

Guards, whatever the order in which pages are merged and however often: an older observation never overwrites a newer
one; of two with one time the later page wins; a record equal to what is stored writes nothing; a price point exists
once per listing and observation. The caller's transaction carries it all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from django.db import connection

from assets import pricing
from assets.matching import place
from assets.models import Source
from assets.records import AssetRecord, latest_by_listing

STAGING = """CREATE TEMP TABLE IF NOT EXISTS staging (
    observed_at timestamptz, price_usd numeric, market_cap numeric, volume_24h numeric, percent_change_24h numeric,
    rank int, circulating_supply numeric, total_supply numeric, max_supply numeric,
    position int, digest bigint, listing_id bigint, asset_id bigint
) ON COMMIT DELETE ROWS"""

MERGE = """
WITH newest AS (
    SELECT DISTINCT ON (listing_id) * FROM staging ORDER BY listing_id, observed_at DESC, position DESC
), quoted AS (
    INSERT INTO assets_quote AS quote (listing_id, source_id, asset_id, price_usd, market_cap, volume_24h,
        percent_change_24h, rank, circulating_supply, total_supply, max_supply, observed_at, page_id, position, digest,
        changed_at)
    SELECT listing_id, %(source)s, asset_id, price_usd, market_cap, volume_24h,
        percent_change_24h, rank, circulating_supply, total_supply, max_supply, observed_at, %(page)s, position, digest,
        clock_timestamp()
    FROM newest ORDER BY listing_id
    ON CONFLICT (listing_id) DO UPDATE SET
        asset_id = excluded.asset_id, price_usd = excluded.price_usd, market_cap = excluded.market_cap,
        volume_24h = excluded.volume_24h, percent_change_24h = excluded.percent_change_24h, rank = excluded.rank,
        circulating_supply = excluded.circulating_supply, total_supply = excluded.total_supply,
        max_supply = excluded.max_supply, observed_at = excluded.observed_at, page_id = excluded.page_id,
        position = excluded.position, digest = excluded.digest, changed_at = excluded.changed_at
    WHERE quote.digest <> excluded.digest
      AND (excluded.observed_at, excluded.page_id) >= (quote.observed_at, quote.page_id)
    RETURNING listing_id, asset_id, xmax = 0 AS is_new
), points AS (
    SELECT DISTINCT ON (listing_id, observed_at) * FROM staging
    WHERE price_usd IS NOT NULL ORDER BY listing_id, observed_at, position DESC
), pointed AS (
    INSERT INTO assets_price_point AS point (listing_id, observed_at, price_usd, market_cap, volume_24h, page_id)
    SELECT listing_id, observed_at, price_usd, market_cap, volume_24h, %(page)s
    FROM points ORDER BY listing_id, observed_at
    ON CONFLICT (listing_id, observed_at) DO UPDATE SET
        price_usd = excluded.price_usd, market_cap = excluded.market_cap, volume_24h = excluded.volume_24h,
        page_id = excluded.page_id
    WHERE (point.price_usd, point.market_cap, point.volume_24h)
              IS DISTINCT FROM (excluded.price_usd, excluded.market_cap, excluded.volume_24h)
      AND excluded.page_id >= coalesce(point.page_id, 0)
    RETURNING listing_id, observed_at
), emptied AS (
    -- For the next page of the same transaction; the rest of this statement still sees the rows.
    DELETE FROM staging
)
SELECT
    (SELECT count(*) FROM quoted WHERE is_new),
    (SELECT count(*) FROM staging
       LEFT JOIN newest USING (listing_id, position)
       LEFT JOIN quoted ON quoted.listing_id = staging.listing_id AND newest.listing_id IS NOT NULL
       LEFT JOIN points ON points.listing_id = staging.listing_id AND points.position = staging.position
       LEFT JOIN pointed ON pointed.listing_id = points.listing_id AND pointed.observed_at = points.observed_at
      WHERE quoted.is_new IS DISTINCT FROM true AND (quoted.listing_id IS NOT NULL OR pointed.listing_id IS NOT NULL)),
    (SELECT coalesce(array_agg(DISTINCT asset_id), '{}') FROM quoted)
"""

KNOWN = """
SELECT listing.source_asset_id, listing.id, listing.asset_id, listing.symbol, listing.name, listing.contracts,
       quote.digest
FROM assets_listing listing LEFT JOIN assets_quote quote ON quote.listing_id = listing.id
WHERE listing.source_id = %s AND listing.source_asset_id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the records; every record counts once."""

    inserted: int
    updated: int
    unchanged: int
    listing_ids: tuple[int, ...]
    """Every listing that the records are about, in order."""


@dataclass(slots=True)
class Known:
    """What is stored of a listing."""

    listing_id: int
    asset_id: int
    symbol: str
    name: str
    contracts: tuple[str, ...]
    digest: int | None


def merge(source: Source, records: Sequence[tuple[int, AssetRecord]], page_id: int) -> Merged:
    """Quotes and price points hold what (position in the page, record) say, as far as it is news."""
    known = known_listings(source, {record.source_asset_id for _, record in records})
    changed: list[tuple[int, AssetRecord, str, int]] = []
    for position, record in records:
        line = figures(record)
        digest = digest_of(record, line)
        before = known.get(record.source_asset_id)
        if before is None or before.digest != digest:
            changed.append((position, record, line, digest))
    if not changed:
        return Merged(0, 0, len(records), tuple(sorted({listing.listing_id for listing in known.values()})))

    touched = settle_identities(source, [record for _, record, _, _ in changed], known)
    lines = io.StringIO()
    for position, record, line, digest in changed:
        listing = known[record.source_asset_id]
        lines.write(f"{line}\t{position}\t{digest}\t{listing.listing_id}\t{listing.asset_id}\n")
    lines.seek(0)
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        cursor.copy_expert("COPY staging FROM STDIN", lines)
        cursor.execute(MERGE, {"source": source.pk, "page": page_id})
        inserted, updated, asset_ids = cursor.fetchone()
    pricing.reprice({*asset_ids, *touched})
    return Merged(
        inserted,
        updated,
        len(records) - inserted - updated,
        tuple(sorted({listing.listing_id for listing in known.values()})),
    )


def known_listings(source: Source, ids: Iterable[str]) -> dict[str, Known]:
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, [source.pk, list(ids)])
        return {
            source_asset_id: Known(listing_id, asset_id, symbol, name, tuple(contracts), digest)
            for source_asset_id, listing_id, asset_id, symbol, name, contracts, digest in cursor.fetchall()
        }


def settle_identities(source: Source, records: Iterable[AssetRecord], known: dict[str, Known]) -> set[int]:
    """Afterwards every record has a listing in its right asset: new ones are placed, renamed ones placed again.

    Returns the assets to price again.
    """
    newcomers = []
    for record in latest_by_listing(records).values():
        listing = known.get(record.source_asset_id)
        if listing is None or (listing.symbol, listing.name, listing.contracts) != (
            record.symbol,
            record.name,
            record.contracts,
        ):
            newcomers.append(record)
    if not newcomers:
        return set()
    touched = place(source, newcomers)
    known.update(known_listings(source, {*known, *(record.source_asset_id for record in newcomers)}))
    return touched


def figures(record: AssetRecord) -> str:
    """The record's figures as a line of COPY, without its place."""
    return "\t".join(
        [
            record.observed_at.isoformat(),
            *(
                "\\N" if value is None else str(value)
                for value in (
                    record.price_usd,
                    record.market_cap,
                    record.volume_24h,
                    record.percent_change_24h,
                    record.rank,
                    record.circulating_supply,
                    record.total_supply,
                    record.max_supply,
                )
            ),
        ]
    )


def digest_of(record: AssetRecord, line: str) -> int:
    """64 bits over everything that a record says."""
    text = f"{line}\t{record.symbol}\t{record.name}\t{','.join(record.contracts)}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def ensure_partitions(moments: Iterable[datetime]) -> None:
    """The month of every moment has its partition of price points. Its own short transaction, safe to repeat."""
    months = sorted({moment.strftime("%Y-%m-01") for moment in moments})
    if months:
        with connection.cursor() as cursor:
            cursor.execute("SELECT assets_price_point_partition(month) FROM unnest(%s::date[]) AS month", [months])
