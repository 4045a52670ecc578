"""How records become quotes and observed points, and in no other way: COPY, and one set-based merge of what was known.

Guards, whatever the order in which pages are merged and however often: an older observation never overwrites a newer
one; of two with one time the later page wins; a record equal to what is stored writes nothing; a price point exists
once per listing and observation. The caller's transaction carries it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
from django.db import connection

from assets import candles, pricing
from assets.copying import array_of, copy_rows, stage
from assets.hashing import hash64
from assets.matching import place
from assets.models import Source
from assets.records import AssetRecord

Result = TypeVar("Result")

STAGING = """
    observed_at timestamptz, price_usd numeric, market_cap numeric, volume_24h numeric, percent_change_24h numeric,
    rank int, circulating_supply numeric, total_supply numeric, max_supply numeric,
    page_id bigint, position int, digest bigint, listing_id bigint, asset_id bigint
"""
QUOTE = """observed_at, price_usd, market_cap, volume_24h, percent_change_24h, rank, circulating_supply, total_supply,
    max_supply, page_id, position, digest, listing_id, asset_id, source_id"""
POINT = "listing_id, observed_at, price_usd, market_cap, volume_24h, page_id"

MERGE = """
WITH newest AS (
    SELECT DISTINCT ON (listing_id) * FROM staging
    ORDER BY listing_id, observed_at DESC, page_id DESC, position DESC
), quoted AS (
    INSERT INTO assets_quote AS quote (listing_id, source_id, asset_id, price_usd, market_cap, volume_24h,
        percent_change_24h, rank, circulating_supply, total_supply, max_supply, observed_at, page_id, position, digest,
        changed_at)
    SELECT listing_id, %(source)s, asset_id, price_usd, market_cap, volume_24h,
        percent_change_24h, rank, circulating_supply, total_supply, max_supply, observed_at, page_id, position, digest,
        clock_timestamp()
    FROM newest ORDER BY listing_id
    ON CONFLICT (listing_id) DO UPDATE SET
        price_usd = excluded.price_usd, market_cap = excluded.market_cap,
        volume_24h = excluded.volume_24h, percent_change_24h = excluded.percent_change_24h, rank = excluded.rank,
        circulating_supply = excluded.circulating_supply, total_supply = excluded.total_supply,
        max_supply = excluded.max_supply, observed_at = excluded.observed_at, page_id = excluded.page_id,
        position = excluded.position, digest = excluded.digest, changed_at = excluded.changed_at,
        changed_in = excluded.changed_in
    -- Not the asset: whoever moves the listing moves its quote along, perhaps since this page looked for it.
    WHERE quote.digest <> excluded.digest
      AND (excluded.observed_at, excluded.page_id) >= (quote.observed_at, quote.page_id)
    RETURNING listing_id, asset_id, xmax = 0 AS is_new
), points AS (
    SELECT DISTINCT ON (listing_id, observed_at) * FROM staging
    WHERE price_usd IS NOT NULL ORDER BY listing_id, observed_at, page_id DESC, position DESC
), pointed AS (
    INSERT INTO assets_price_point AS point (listing_id, observed_at, price_usd, market_cap, volume_24h, page_id)
    SELECT listing_id, observed_at, price_usd, market_cap, volume_24h, page_id
    FROM points ORDER BY listing_id, observed_at
    ON CONFLICT (listing_id, observed_at) DO UPDATE SET
        price_usd = excluded.price_usd, market_cap = excluded.market_cap, volume_24h = excluded.volume_24h,
        page_id = excluded.page_id
    -- A point without a page was backfilled: an observation takes its place, whatever it says.
    WHERE (point.page_id IS NULL OR (point.price_usd, point.market_cap, point.volume_24h)
              IS DISTINCT FROM (excluded.price_usd, excluded.market_cap, excluded.volume_24h))
      AND excluded.page_id >= coalesce(point.page_id, 0)
    RETURNING listing_id, observed_at
), emptied AS (
    -- For the next pages of the same transaction; the rest of this statement still sees the rows.
    DELETE FROM staging
)
SELECT staging.page_id, count(*) FILTER (WHERE quoted.is_new),
       count(*) FILTER (WHERE quoted.is_new IS DISTINCT FROM true
                          AND (quoted.listing_id IS NOT NULL OR pointed.listing_id IS NOT NULL)), NULL
  FROM staging
  LEFT JOIN newest ON (newest.listing_id, newest.page_id, newest.position)
                    = (staging.listing_id, staging.page_id, staging.position)
  LEFT JOIN quoted ON quoted.listing_id = newest.listing_id
  LEFT JOIN points ON (points.listing_id, points.page_id, points.position)
                    = (staging.listing_id, staging.page_id, staging.position)
  LEFT JOIN pointed ON pointed.listing_id = points.listing_id AND pointed.observed_at = points.observed_at
 GROUP BY staging.page_id
UNION ALL SELECT NULL, NULL, NULL, coalesce(array_agg(asset_id), '{}') FROM quoted
"""

#: In terms of the words that are staged and not merged yet. A point is found by its key: + 0 keeps out the index on
#: pages, which would be gone through once for each word.
DISPUTED = """
SELECT listing.source_asset_id, staging.observed_at, staging.page_id, staging.listing_id
FROM staging JOIN assets_listing listing ON listing.id = staging.listing_id
JOIN assets_quote quote ON quote.listing_id = staging.listing_id
WHERE (quote.observed_at = staging.observed_at AND quote.page_id < staging.page_id AND quote.digest <> staging.digest)
   OR EXISTS (
       SELECT FROM assets_price_point point
       WHERE point.listing_id = staging.listing_id AND point.observed_at = staging.observed_at
         AND point.page_id + 0 < staging.page_id
         AND (point.price_usd, point.market_cap, point.volume_24h)
             IS DISTINCT FROM (staging.price_usd, staging.market_cap, staging.volume_24h)
   )
"""

#: Its quote is looked up for each that is there: a join would now and then read the whole table for a few.
KNOWN = """
SELECT listing.source_asset_id, listing.id, listing.asset_id, listing.symbol, listing.name,
       array_to_string(listing.contracts, ','),
       (SELECT digest FROM assets_quote quote WHERE quote.listing_id = listing.id)
FROM assets_listing listing
WHERE listing.source_id = %s AND listing.source_asset_id = ANY(%s::text[])
"""


@dataclass(slots=True)
class Merged:
    """What became of a page's records; every record counts once."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    listing_ids: tuple[int, ...] = ()
    """Every listing that the records are about, in order."""


class Disputed(NamedTuple):
    """A word that takes the place of an earlier page's on the same coin at the same time."""

    source_asset_id: str
    observed_at: datetime
    page_id: int
    listing_id: int


class Known(NamedTuple):
    """What is stored of a listing."""

    listing_id: int
    asset_id: int
    symbol: str
    name: str
    contracts: str
    """Joined by commas."""
    digest: int | None


class Word(NamedTuple):
    """A record that may be news."""

    page_id: int
    position: int
    record: AssetRecord
    digest: int

    @property
    def age(self) -> tuple[datetime, int, int]:
        """The greater, the newer."""
        return self.record.observed_at, self.page_id, self.position

    def quote(self, listing: Known) -> tuple[object, ...]:
        """As the columns of STAGING."""
        return *self.record[3:12], self.page_id, self.position, self.digest, listing.listing_id, listing.asset_id

    def point(self, listing: Known) -> tuple[object, ...]:
        """As the columns of POINT."""
        _, _, _, at, price, market_cap, volume, *_ = self.record
        return listing.listing_id, at, price, market_cap, volume, self.page_id


def merge(source: Source, records: Sequence[tuple[int, AssetRecord]], page_id: int) -> Merged:
    """As `merge_pages`, of one page."""
    return merge_pages(source, {page_id: records})[page_id]


def merge_pages(
    source: Source,
    pages: Mapping[int, Sequence[tuple[int, AssetRecord]]],
    disputed: list[Disputed] | None = None,
) -> dict[int, Merged]:
    """Quotes and price points hold what the (position, record) of each page say, as far as it is news.

    `disputed`, where it is wanted, is given the words of these pages that are such.
    """
    ids = {record[0] for records in pages.values() for _, record in records}
    known = known_listings(source, ids)
    words = news(pages, known, len(ids))
    merged = {page_id: Merged() for page_id in pages}
    if words:
        fresh, touched = settle_identities(source, words, known)
        add_quotes(source, [word for word in words if word.record[0] in fresh], known, merged)
        touched |= change_quotes(
            source, [word for word in words if word.record[0] not in fresh], known, merged, disputed
        )
        pricing.reprice(touched)
        candles.due(source.pk, (page_id for page_id, page in merged.items() if page.inserted or page.updated))
    for page_id, records in pages.items():
        page = merged[page_id]
        page.unchanged = len(records) - page.inserted - page.updated
        page.listing_ids = tuple(sorted({known[record[0]].listing_id for _, record in records}))
    return merged


def news(
    pages: Mapping[int, Sequence[tuple[int, AssetRecord]]], known: Mapping[str, Known], listings: int
) -> list[Word]:
    """The records that differ from what is stored; of a listing that comes more than once all, if any does."""
    encode = msgspec.json.Encoder().encode
    words = [
        Word(page_id, position, record, hash64(encode(record)))
        for page_id, records in pages.items()
        for position, record in records
    ]
    changed = [word for word in words if (before := known.get(word.record[0])) is None or before.digest != word.digest]
    if len(words) == listings or not changed:
        return changed
    ids = {word.record[0] for word in changed}
    return [word for word in words if word.record[0] in ids]


def add_quotes(source: Source, words: Sequence[Word], known: Mapping[str, Known], merged: Mapping[int, Merged]) -> None:
    """The first quotes and points of listings that were not there before: nothing can stand against them."""
    newest: dict[str, Word] = {}
    points: dict[tuple[str, datetime], Word] = {}
    for word in sorted(words, key=lambda word: word.age):
        newest[word.record[0]] = word
        if word.record.price_usd is not None:
            points[word.record[0], word.record.observed_at] = word
    for word in newest.values():
        merged[word.page_id].inserted += 1
    for word in points.values():
        if newest[word.record[0]] is not word:
            merged[word.page_id].updated += 1
    with connection.cursor() as cursor:
        quotes = [(*word.quote(known[id_]), source.pk) for id_, word in newest.items()]
        copy_rows(cursor, f"assets_quote ({QUOTE})", quotes)
        copy_rows(
            cursor, f"assets_price_point ({POINT})", [word.point(known[id_]) for (id_, _), word in points.items()]
        )


def change_quotes(
    source: Source,
    words: Sequence[Word],
    known: Mapping[str, Known],
    merged: Mapping[int, Merged],
    disputed: list[Disputed] | None,
) -> set[int]:
    """Quotes and points hold what is newer than they are. Returns the assets to price again."""
    if not words:
        return set()
    with connection.cursor() as cursor:
        stage(cursor, "staging", STAGING, [word.quote(known[word.record[0]]) for word in words])
        if disputed is not None:
            cursor.execute(DISPUTED)
            disputed += (Disputed(*row) for row in cursor.fetchall())
        cursor.execute(MERGE, {"source": source.pk})
        *counts, (_, _, _, asset_ids) = cursor.fetchall()
    for page_id, inserted, updated, _ in counts:
        merged[page_id].inserted += inserted
        merged[page_id].updated += updated
    return set(asset_ids)


def known_listings(source: Source, ids: Iterable[str]) -> dict[str, Known]:
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, [source.pk, array_of(ids)])
        return {row[0]: Known(*row[1:]) for row in cursor.fetchall()}


def settle_identities(source: Source, words: Iterable[Word], known: dict[str, Known]) -> tuple[set[str], set[int]]:
    """Afterwards every record has a listing in its right asset: new ones are placed, renamed ones placed again.

    Returns the ids of listings that have no quote yet, and the assets to price again.
    """
    newcomers = []
    for word in latest_by_listing(words).values():
        record = word.record
        listing = known.get(record.source_asset_id)
        if listing is None or listing[2:5] != (record.symbol, record.name, ",".join(record.contracts)):
            newcomers.append((record, word.page_id))
    if not newcomers:
        return set(), set()
    placed = place(source, newcomers, {id_: listing.asset_id for id_, listing in known.items()})
    for id_, (listing_id, asset_id) in placed.alone.items():
        known[id_] = Known(listing_id, asset_id, "", "", "", None)
    if placed.alone.keys() != {record.source_asset_id for record, _ in newcomers}:
        # One that meets others may take them with it: where every listing is now is read again.
        known.update(known_listings(source, placed.others | known.keys() - placed.alone.keys()))
    # As they are now, under the lock: another may have brought them in since they were looked for.
    fresh = placed.alone.keys() | {id_ for id_ in placed.others if known[id_].digest is None}
    return fresh, placed.touched | {known[id_].asset_id for id_ in placed.others}


def latest_by_listing(words: Iterable[Word]) -> dict[str, Word]:
    """The newest word on each source_asset_id; of two with one time, the later page's."""
    latest: dict[str, Word] = {}
    for word in words:
        before = latest.setdefault(word.record[0], word)
        if before is not word and word.age > before.age:
            latest[word.record[0]] = word
    return latest


class NoPartition(Exception):
    """Months (`YYYY-MM-01`) whose price points have no partition yet; it is made outside the transaction."""

    def __init__(self, months: Sequence[str]) -> None:
        super().__init__(", ".join(months))
        self.months = months


def need_partitions(moments: Iterable[datetime]) -> None:
    """Raises NoPartition unless the month of every moment has its partition of price points.

    One that is there stays until the end of the transaction.
    """
    with connection.cursor() as cursor:
        # What is not read is locked all the same, before the look: retention drops no month from now on.
        cursor.execute(
            """SELECT month::text FROM unnest(%s::date[]) month
               WHERE to_regclass('assets_price_point_' || to_char(month, 'YYYY_MM')) IS NULL
               AND NOT EXISTS (SELECT FROM assets_price_point WHERE false)""",
            [_months(moments)],
        )
        if missing := [row[0] for row in cursor.fetchall()]:
            raise NoPartition(missing)


def ensure_partitions(moments: Iterable[datetime]) -> None:
    """The month of every moment has its partition of price points. Its own short transaction, safe to repeat."""
    make_partitions(_months(moments))


def with_partitions(write: Callable[[], Result]) -> Result:
    """What `write` returns, a transaction of its own, once it finds every partition that it needs."""
    while True:
        try:
            return write()
        except NoPartition as missing:
            make_partitions(missing.months)


def make_partitions(months: Sequence[str]) -> None:
    """As `ensure_partitions`, of months as `YYYY-MM-01`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT assets_price_point_partition(month) FROM unnest(%s::date[]) AS month", [list(months)])


def _months(moments: Iterable[datetime]) -> list[str]:
    return [f"{year:04}-{month:02}-01" for year, month in sorted({(moment.year, moment.month) for moment in moments})]
