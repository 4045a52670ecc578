"""Puts listings into assets: asks `assets.identity` about a neighbourhood, and has written down what it says.

Newcomers are decided together with everything that may be the same coin as they are, under one lock, so that two
sources that meet a coin at the same time agree about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from assets import filing, newcomers
from assets.copying import array_of, array_of_numbers
from assets.evidence import Judge
from assets.identity import Decision, Listing, neighbourhood, resolve
from assets.models import Source
from assets.names import Reading
from assets.placement import Stored, write
from assets.records import AssetRecord

#: One decision about identities at a time, over all workers: the key of a transaction-level advisory lock.
IDENTITY_LOCK = 0x1DE7

FACTS = """
SELECT listing.id, listing.asset_id, asset.slug, listing.symbol, listing.name,
       source.slug, listing.source_asset_id, listing.symbol, listing.name, source.identity_rank,
       quote.price_usd, quote.market_cap, quote.circulating_supply, quote.total_supply, quote.max_supply, quote.rank,
       listing.contracts, quote.observed_at, quote.page_id
FROM assets_listing listing
JOIN assets_asset asset ON asset.id = listing.asset_id
JOIN assets_source source ON source.id = listing.source_id
LEFT JOIN assets_quote quote ON quote.listing_id = listing.id
"""


def facts_of(source: Source, record: AssetRecord, reading: Reading) -> Listing:
    """The record as identity sees it."""
    listing = Listing(
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
    return listing.read_as(reading)


class Neighbours:
    """Listings read from the database, by blocking key, each once, with where each of them is."""

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}
        self._listings: list[Listing] = []

    def fetch(self, keys: Iterable[str]) -> list[Listing]:
        """The known listings that have one of the blocking keys, `listing:<source>:<id>` is one, among all read yet."""
        named = [key.removeprefix("listing:").split(":", 1) for key in keys if key.startswith("listing:")]
        self._read(
            # Key by key, and as an array, of which the planner thinks that it is short: everything is looked up. Joined
            # with tables that it knows too little of, they would be read as a whole for each batch.
            FACTS
            + """WHERE listing.id = ANY(ARRAY(
                SELECT filed.listing_id FROM unnest(%s::bigint[]) wanted (key)
                CROSS JOIN LATERAL (SELECT listing_id FROM assets_listing_key WHERE key = wanted.key OFFSET 0) filed
                WHERE filed.listing_id <> ALL(%s::bigint[])
                UNION ALL
                SELECT listing.id FROM unnest(%s::text[], %s::text[]) named (source, source_asset_id)
                JOIN assets_source source ON source.slug = named.source
                JOIN assets_listing listing
                  ON listing.source_id = source.id AND listing.source_asset_id = named.source_asset_id
            ))""",
            [
                array_of_numbers(filing.key_of(key) for key in keys if not key.startswith("listing:")),
                array_of_numbers(place.listing_id for place in self.stored.values()),
                [source for source, _ in named],
                [source_asset_id for _, source_asset_id in named],
            ],
        )
        return self._listings

    def of_source(self, source: Source, ids: Iterable[str]) -> list[Listing]:
        return self._read(
            FACTS
            + """WHERE listing.id = ANY(ARRAY(
                SELECT id FROM assets_listing WHERE source_id = %s AND source_asset_id = ANY(%s::text[])
            ))""",
            [source.pk, array_of(ids)],
        )

    def by_id(self, listing_ids: Iterable[int]) -> list[Listing]:
        return self._read(FACTS + "WHERE listing.id = ANY(%s::bigint[])", [array_of_numbers(listing_ids)])

    def everything(self) -> list[Listing]:
        return self._read(FACTS, [])

    def around(self, seeds: Iterable[Listing], judge: Judge, former: Iterable[Listing] = ()) -> Sequence[Listing]:
        """All that has a say in what becomes of the seeds, and all that shares an asset with any of it.

        Figures move: what once led from a listing to another in its asset may lead there no more.
        """
        around = neighbourhood(seeds, self.fetch, former=former, judge=judge)
        while others := self._left_behind(around):
            around = neighbourhood((*around, *others), self.fetch, former=former, judge=judge)
        return around

    def _left_behind(self, around: Iterable[Listing]) -> list[Listing]:
        here = [self.stored[listing.key] for listing in around if listing.key in self.stored]
        return self._read(
            FACTS
            + """WHERE listing.id = ANY(ARRAY(
                SELECT other.id FROM unnest(%s::bigint[]) asset (id)
                CROSS JOIN LATERAL (SELECT id FROM assets_listing WHERE asset_id = asset.id OFFSET 0) other
                WHERE other.id <> ALL(%s::bigint[])
            ))""",
            [array_of_numbers({one.asset_id for one in here}), array_of_numbers(one.listing_id for one in here)],
        )

    def _read(self, sql: str, parameters: list[Any]) -> list[Listing]:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            found = []
            for row in cursor.fetchall():
                listing_id, asset_id, slug, symbol, name, *facts, contracts, observed_at, page_id = row
                listing = Listing(*[*facts, tuple(contracts), observed_at])
                age = None if observed_at is None else (observed_at, page_id)
                self.stored[listing.key] = Stored(listing_id, asset_id, slug, symbol, name, age)
                found.append(listing)
        self._listings += found
        return found


def lock_identities(for_long: bool = False) -> None:
    """Until the end of the transaction nobody else decides about identities.

    For long: the rule may think for longer than an idle transaction is given elsewhere.
    """
    with connection.cursor() as cursor:
        if for_long:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [IDENTITY_LOCK])


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of newcomers."""

    alone: dict[str, tuple[int, int]]
    """New listings in assets of their own, priced: source_asset_id -> (listing, asset)."""
    others: set[str]
    """The others' source_asset_ids: new listings that met another, and those that are called otherwise."""
    touched: set[int]
    """Assets to price again."""


class _Newcomer(NamedTuple):
    id: str
    record: AssetRecord
    page_id: int
    reading: Reading
    keys: set[int]


def place(source: Source, words: Iterable[tuple[AssetRecord, int]], stored: Mapping[str, int]) -> Placed:
    """Every (record, page), one per listing, has its listing, under its present name, in the right asset.

    Under the lock it is looked what each is called by now: an older word gives no older name back.
    `stored`: source_asset_id -> asset of all listings that the caller's transaction is about.
    """
    read = [_read(source, record, page_id) for record, page_id in words]
    lock_identities()
    taken = filing.taken(set().union(*(one.keys for one in read)))
    alone = [one for one in read if one.id not in stored and taken.isdisjoint(one.keys)]
    added = newcomers.add(source, [(one.record, one.keys) for one in alone])
    others = [one for one in read if one.id not in added]
    if not others:
        return Placed(added, set(), set())
    ids = {one.id for one in others}
    neighbours = Neighbours()
    former = {listing.source_asset_id: listing for listing in neighbours.of_source(source, ids)}
    ages = {id_: neighbours.stored[listing.key].age for id_, listing in former.items()}
    others = [
        one for one in others if (age := ages.get(one.id)) is None or age <= (one.record.observed_at, one.page_id)
    ]
    if not others:
        return Placed(added, ids, set())
    seeds = [facts_of(source, one.record, one.reading) for one in others]
    judge = Judge(decided())
    around = neighbours.around(seeds, judge, [former[one.id] for one in others if one.id in former])
    touched = write(around, seeds, resolve(around, judge=judge), neighbours.stored, stored.values())
    before = {one.id: filing.keys_of(former[one.id]) for one in others if one.id in former}
    filed = [(neighbours.stored[f"{source.slug}:{one.id}"].listing_id, one) for one in others]
    filing.file([(number, one.keys) for number, one in filed if one.id not in before])
    filing.file_again([(number, before[one.id], one.keys) for number, one in filed if one.id in before])
    return Placed(added, ids, touched)


def _read(source: Source, record: AssetRecord, page_id: int) -> _Newcomer:
    id_, symbol, name, *_, contracts = record
    reading = Reading(id_, symbol, name)
    return _Newcomer(id_, record, page_id, reading, filing.keys_of_texts(f"{source.slug}:{id_}", reading, contracts))


def place_again(listing_ids: Iterable[int]) -> set[int]:
    """The listings and all that depends on them are where today's rule and decisions put them.

    Returns the assets to price again.
    """
    lock_identities()
    neighbours = Neighbours()
    seeds = neighbours.by_id(listing_ids)
    judge = Judge(decided())
    around = neighbours.around(seeds, judge)
    return write(around, [], resolve(around, judge=judge), neighbours.stored)


#: Each listing is looked up: where the table has just been filled the planner may pair all listings with all.
_NAMED = """(SELECT source.slug || ':' || listing.source_asset_id FROM assets_listing listing
    JOIN assets_source source ON source.id = listing.source_id WHERE listing.id = decision.{side}_id)"""
DECIDED = f"SELECT {_NAMED.format(side='a')}, {_NAMED.format(side='b')}, decision.same FROM assets_decision decision"


def decided() -> list[Decision]:
    """Every person's decision."""
    with connection.cursor() as cursor:
        cursor.execute(DECIDED)
        return [Decision(*row) for row in cursor.fetchall()]
