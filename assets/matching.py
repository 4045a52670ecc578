"""Puts listings into assets: asks `assets.identity` about a neighbourhood and writes down what it says, set-based.

Newcomers are decided together with everything that may be the same coin as they are, under one lock, so that two
sources that meet a coin at the same time agree about it. An asset's slug is its anchor listing's id, so a listing that
moves takes nobody's id with it, and `source:id` always leads to the asset that holds that listing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg2.extras import Json, execute_values

from assets import filing, newcomers
from assets.identity import Decision, Listing, Resolution, asset_id, neighbourhood, resolve
from assets.models import Event, Source
from assets.models import Listing as ListingRow
from assets.records import AssetRecord

#: One decision about identities at a time, over all workers: the key of a transaction-level advisory lock.
IDENTITY_LOCK = 0x1DE7

FACTS = """
SELECT listing.id, listing.asset_id, asset.slug, listing.symbol, listing.name,
       source.slug, listing.source_asset_id, listing.symbol, listing.name, source.identity_rank,
       quote.price_usd, quote.market_cap, quote.circulating_supply, quote.total_supply, quote.max_supply, quote.rank,
       listing.contracts, quote.observed_at
FROM assets_listing listing
JOIN assets_asset asset ON asset.id = listing.asset_id
JOIN assets_source source ON source.id = listing.source_id
LEFT JOIN assets_quote quote ON quote.listing_id = listing.id
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a listing is now."""

    listing_id: int
    asset_id: int
    slug: str
    symbol: str
    name: str


@dataclass(slots=True)
class Placement:
    """What a resolution asks to be written: for each group its asset, None where one is to be made."""

    groups: list[tuple[list[Listing], str]]
    asset_ids: list[int | None]


def facts_of(source: Source, record: AssetRecord) -> Listing:
    """The record as identity sees it."""
    return Listing(
        source.slug,
        record.source_asset_id,
        record.symbol,
        record.name,
        source.identity_rank,
        record.price_usd,
        record.market_cap,
        record.circulating_supply,
        record.total_supply,
        record.max_supply,
        record.rank,
        record.contracts,
        record.observed_at,
    )


class Neighbours:
    """Listings read from the database, by blocking key, with where each of them is."""

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}

    def fetch(self, keys: Iterable[str]) -> list[Listing]:
        """The known listings that have one of the blocking keys; `listing:<source>:<id>` is one."""
        named = [key.removeprefix("listing:").split(":", 1) for key in keys if key.startswith("listing:")]
        return self._read(
            FACTS
            + """WHERE listing.id IN (
                SELECT listing_id FROM assets_listing_key WHERE key = ANY(%s)
                UNION ALL
                SELECT listing.id FROM unnest(%s::text[], %s::text[]) named (source, source_asset_id)
                JOIN assets_source source ON source.slug = named.source
                JOIN assets_listing listing
                  ON listing.source_id = source.id AND listing.source_asset_id = named.source_asset_id
            )""",
            [
                [filing.key_of(key) for key in keys if not key.startswith("listing:")],
                [source for source, _ in named],
                [source_asset_id for _, source_asset_id in named],
            ],
        )

    def of_source(self, source: Source, ids: Iterable[str]) -> list[Listing]:
        return self._read(
            FACTS + "WHERE listing.source_id = %s AND listing.source_asset_id = ANY(%s)", [source.pk, list(ids)]
        )

    def by_id(self, listing_ids: Iterable[int]) -> list[Listing]:
        return self._read(FACTS + "WHERE listing.id = ANY(%s)", [list(listing_ids)])

    def everything(self) -> list[Listing]:
        return self._read(FACTS, [])

    def _read(self, sql: str, parameters: list[Any]) -> list[Listing]:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            found = []
            for row in cursor.fetchall():
                *facts, contracts, observed_at = row[5:]
                listing = Listing(*[*facts, tuple(contracts), observed_at])
                self.stored[listing.key] = Stored(*row[:5])
                found.append(listing)
        return found


def lock_identities() -> None:
    """Until the end of the transaction nobody else decides about identities."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IDENTITY_LOCK])


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of newcomers."""

    alone: dict[str, tuple[int, int]]
    """New listings in assets of their own, priced: source_asset_id -> (listing, asset)."""
    others: set[str]
    """The others' source_asset_ids: new listings that met another, and renamed ones."""
    touched: set[int]
    """Assets to price again."""


def place(source: Source, records: Sequence[AssetRecord], stored: Container[str]) -> Placed:
    """Every record, one per listing, has its listing, under its present name, in the right asset.

    `stored`: the source_asset_ids of those that have a listing. Part of the caller's transaction.
    """
    filed = [(record, facts := facts_of(source, record), filing.keys_of(facts)) for record in records]
    lock_identities()
    taken = filing.taken({key for _, _, keys in filed for key in keys})
    alone = [
        (record, keys)
        for record, _, keys in filed
        if record.source_asset_id not in stored and not any(key in taken for key in keys)
    ]
    added = newcomers.add(source, alone)
    seeds = [facts for record, facts, _ in filed if record.source_asset_id not in added]
    if not seeds:
        return Placed(added, set(), set())
    ids = {seed.source_asset_id for seed in seeds}
    neighbours = Neighbours()
    former = neighbours.of_source(source, ids)
    decisions = decided()
    around = neighbourhood(seeds, neighbours.fetch, former=former, decisions=decisions)
    touched = write(around, seeds, resolve(around, decisions=decisions), neighbours.stored)
    before = {listing.source_asset_id: filing.keys_of(listing) for listing in former}
    numbers = dict(
        ListingRow.objects.filter(source=source, source_asset_id__in=ids).values_list("source_asset_id", "pk")
    )
    filing.file_again(
        [
            (numbers[record.source_asset_id], before.get(record.source_asset_id, ()), keys)
            for record, _, keys in filed
            if record.source_asset_id in ids
        ]
    )
    return Placed(added, ids, touched)


def place_again(listing_ids: Iterable[int], decisions: Sequence[Decision] | None = None) -> set[int]:
    """The listings and all that depends on them are where today's rule and decisions put them.

    Returns the assets to price again.
    """
    lock_identities()
    neighbours = Neighbours()
    seeds = neighbours.by_id(listing_ids)
    decisions = decided() if decisions is None else decisions
    around = neighbourhood(seeds, neighbours.fetch, decisions=decisions)
    return write(around, [], resolve(around, decisions=decisions), neighbours.stored)


def decided() -> list[Decision]:
    """Every person's decision."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT source_a.slug || ':' || a.source_asset_id, source_b.slug || ':' || b.source_asset_id,
                      decision.same
               FROM assets_decision decision
               JOIN assets_listing a ON a.id = decision.a_id JOIN assets_source source_a ON source_a.id = a.source_id
               JOIN assets_listing b ON b.id = decision.b_id JOIN assets_source source_b ON source_b.id = b.source_id"""
        )
        return [Decision(*row) for row in cursor.fetchall()]


def planned(around: Iterable[Listing], resolution: Resolution, stored: dict[str, Stored]) -> Placement:
    """Which asset each group gets: the one that has its slug, else one of its members' that no other group has."""
    by_key = {listing.key: listing for listing in around}
    groups = [[by_key[key] for key in group] for group in resolution.groups]
    named = [(group, asset_id(group)) for group in groups]
    chosen: list[int | None] = []
    for group, slug in named:
        here = [stored[listing.key] for listing in group if listing.key in stored]
        chosen.append(next((place.asset_id for place in here if place.slug == slug), None))
    taken = {asset for asset in chosen if asset is not None}
    for index, (group, _) in enumerate(named):
        if chosen[index] is None:
            free = sorted({stored[listing.key].asset_id for listing in group if listing.key in stored} - taken)
            if free:
                chosen[index] = free[0]
                taken.add(free[0])
    return Placement(named, chosen)


def write(
    around: Sequence[Listing], seeds: Sequence[Listing], resolution: Resolution, stored: dict[str, Stored]
) -> set[int]:
    """Assets, listings, keys, candidates and events are as the resolution has them; the assets to price again."""
    placement = planned(around, resolution, stored)
    before = {place.asset_id: place.slug for place in stored.values()}
    fresh = {listing.key for listing in seeds}
    stale_slugs, to_make, touched = [], [], set()
    for index, (group, slug) in enumerate(placement.groups):
        asset = placement.asset_ids[index]
        if asset is None:
            to_make.append((index, slug, group[0]))
        elif before[asset] != slug:
            stale_slugs.append((asset, slug))
    with connection.cursor() as wrapped:
        cursor = wrapped.cursor
        if stale_slugs:
            execute_values(
                cursor,
                "UPDATE assets_asset asset SET slug = new.slug, changed_at = clock_timestamp()"
                " FROM (VALUES %s) new (id, slug) WHERE asset.id = new.id",
                stale_slugs,
            )
        if to_make:
            made = execute_values(
                cursor,
                "INSERT INTO assets_asset (slug, symbol, name, rank) VALUES %s RETURNING slug, id",
                [(slug, anchor.symbol, anchor.name, anchor.rank) for _, slug, anchor in to_make],
                page_size=10_000,
                fetch=True,
            )
            ids = dict(made)
            for index, slug, _ in to_make:
                placement.asset_ids[index] = ids[slug]

        new_listings, renamed, moved, explained = [], [], [], []
        for index, (group, _) in enumerate(placement.groups):
            asset = placement.asset_ids[index]
            for listing in group:
                place = stored.get(listing.key)
                why = resolution.reasons.get(listing.key)
                evidence = (why.method, round(why.confidence, 3), Json(list(why.reasons))) if why else ("", 1, Json([]))
                if place is None:
                    new_listings.append(
                        (
                            listing.source,
                            listing.source_asset_id,
                            asset,
                            listing.symbol,
                            listing.name,
                            list(listing.contracts),
                            *evidence,
                        )
                    )
                    continue
                if place.asset_id != asset:
                    moved.append((place.listing_id, asset, *evidence))
                    touched |= {place.asset_id, asset}
                else:
                    explained.append((place.listing_id, *evidence))
                if listing.key in fresh:
                    renamed.append((place.listing_id, listing.symbol, listing.name, list(listing.contracts)))
                    touched.add(asset)
        if new_listings:
            execute_values(cursor, INSERT_LISTINGS, new_listings, page_size=10_000)
        if renamed:
            execute_values(cursor, RENAME, renamed, page_size=10_000)
        if explained:
            execute_values(cursor, EXPLAIN, explained, page_size=10_000)
        if moved:
            execute_values(cursor, MOVE, moved, page_size=10_000)
            cursor.execute(
                "UPDATE assets_quote quote SET asset_id = listing.asset_id, changed_in = DEFAULT"
                " FROM assets_listing listing"
                " WHERE quote.listing_id = listing.id AND listing.id = ANY(%s)",
                [[row[0] for row in moved]],
            )
            cursor.execute(EMPTY, [list(before)])
    write_candidates(around, resolution)
    Event.objects.bulk_create(
        [Event(listing_id=row[0], kind=Event.Kind.MOVED, detail=f"now asset {row[1]}") for row in moved]
    )
    return {asset for asset in touched if asset is not None}


INSERT_LISTINGS = """
INSERT INTO assets_listing (source_id, source_asset_id, asset_id, symbol, name, contracts, method, confidence, reasons)
SELECT source.id, new.source_asset_id, new.asset_id, new.symbol, new.name, new.contracts::text[],
       new.method, new.confidence, new.reasons::jsonb
FROM (VALUES %s) new (source, source_asset_id, asset_id, symbol, name, contracts, method, confidence, reasons)
JOIN assets_source source ON source.slug = new.source
ORDER BY source.id, new.source_asset_id
"""
RENAME = """
UPDATE assets_listing listing SET symbol = new.symbol, name = new.name, contracts = new.contracts::text[]
FROM (VALUES %s) new (id, symbol, name, contracts) WHERE listing.id = new.id
"""
MOVE = """
UPDATE assets_listing listing SET
    asset_id = new.asset_id, method = new.method, confidence = new.confidence, reasons = new.reasons::jsonb
FROM (VALUES %s) new (id, asset_id, method, confidence, reasons) WHERE listing.id = new.id
"""
EXPLAIN = """
UPDATE assets_listing listing SET method = new.method, confidence = new.confidence, reasons = new.reasons::jsonb
FROM (VALUES %s) new (id, method, confidence, reasons) WHERE listing.id = new.id
AND (listing.method, listing.confidence, listing.reasons)
    IS DISTINCT FROM (new.method, new.confidence, new.reasons::jsonb)
"""
EMPTY = """
DELETE FROM assets_asset asset WHERE id = ANY(%s)
AND NOT EXISTS (SELECT FROM assets_listing listing WHERE listing.asset_id = asset.id)
"""


def write_candidates(around: Sequence[Listing], resolution: Resolution) -> None:
    """The pairs in doubt among these listings are those of the resolution."""
    ids: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT source.slug || ':' || listing.source_asset_id, listing.id
               FROM (SELECT unnest(%s::text[]) AS slug, unnest(%s::text[]) AS source_asset_id) wanted
               JOIN assets_source source ON source.slug = wanted.slug
               JOIN assets_listing listing
                 ON listing.source_id = source.id AND listing.source_asset_id = wanted.source_asset_id""",
            [[listing.source for listing in around], [listing.source_asset_id for listing in around]],
        )
        ids = dict(cursor.fetchall())
        cursor.execute("DELETE FROM assets_candidate WHERE a_id = ANY(%s) AND b_id = ANY(%s)", [list(ids.values())] * 2)
        if resolution.doubtful:
            execute_values(
                cursor.cursor,
                "INSERT INTO assets_candidate (a_id, b_id, score, reasons) VALUES %s ON CONFLICT (a_id, b_id) DO UPDATE"
                " SET score = excluded.score, reasons = excluded.reasons",
                [
                    (*sorted((ids[pair.a], ids[pair.b])), round(pair.score, 3), Json(list(pair.reasons)))
                    for pair in {frozenset((pair.a, pair.b)): pair for pair in resolution.doubtful}.values()
                ],
                page_size=10_000,
            )
