"""Writes down what a resolution says: assets, listings, candidates and events are as it has them, set-based.

An asset's slug is its anchor listing's id, so a listing that moves takes nobody's id with it, and `source:id` always
leads to the asset that holds that listing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from assets.copying import array_of, array_of_numbers, copy_rows, json_of, stage
from assets.identity import Listing, Resolution, asset_id
from assets.models import Event, Source


class Stored(NamedTuple):
    """Where a listing is now."""

    listing_id: int
    asset_id: int
    slug: str
    symbol: str
    name: str
    age: tuple[datetime, int] | None = None
    """(time, page) of the word that is its quote."""


@dataclass(slots=True)
class Placement:
    """What a resolution asks to be written: for each group its asset, None where one is to be made."""

    groups: list[tuple[list[Listing], str]]
    asset_ids: list[int | None]


def planned(around: Iterable[Listing], resolution: Resolution, stored: Mapping[str, Stored]) -> Placement:
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
    around: Sequence[Listing],
    seeds: Sequence[Listing],
    resolution: Resolution,
    stored: dict[str, Stored],
    priced: Iterable[int] = (),
) -> set[int]:
    """Assets, listings, candidates and events are as the resolution has them; the assets to price again.

    `stored` afterwards holds every listing that is new, where it is now. `priced`: the assets that the caller's
    transaction may price besides.
    """
    placement = planned(around, resolution, stored)
    touched: set[int] = set()
    with connection.cursor() as cursor:
        lock_assets(cursor, placement, stored, {listing.key for listing in seeds}, priced)
        assets = write_assets(cursor, placement, {place.asset_id: place.slug for place in stored.values()})
        new, renamed, moved, explained, events = [], [], [], [], []
        fresh = {listing.key for listing in seeds}
        for (group, slug), asset in zip(placement.groups, assets, strict=True):
            for listing in group:
                place = stored.get(listing.key)
                why = resolution.reasons.get(listing.key)
                evidence = (why.method, round(why.confidence, 3), json_of(why.reasons)) if why else ("", 1, "[]")
                if place is None:
                    new.append((listing, slug, asset, evidence))
                    continue
                if place.asset_id != asset:
                    moved.append((place.listing_id, asset, *evidence))
                    touched |= {place.asset_id, asset}
                    detail = f"from {place.slug} to {slug}"
                    events.append(Event(listing_id=place.listing_id, kind=Event.Kind.MOVED, detail=detail))
                else:
                    explained.append((place.listing_id, *evidence))
                if listing.key in fresh:
                    renamed.append((place.listing_id, listing.symbol, listing.name, array_of(listing.contracts)))
                    touched.add(asset)
        write_listings(cursor, new, stored)
        if renamed:
            stage(cursor, "renaming", "id bigint, symbol text, name text, contracts text[]", renamed)
            cursor.execute(RENAME)
        if explained:
            stage(cursor, "explaining", "id bigint, method text, confidence numeric, reasons jsonb", explained)
            cursor.execute(EXPLAIN)
        if moved:
            stage(cursor, "moving", "id bigint, asset_id bigint, method text, confidence numeric, reasons jsonb", moved)
            cursor.execute(MOVE)
            cursor.execute(MOVE_QUOTES)
            cursor.execute(EMPTY, [array_of_numbers({place.asset_id for place in stored.values()})])
            cursor.execute("DELETE FROM moving")
        write_candidates(cursor, around, resolution, stored)
    Event.objects.bulk_create(events)
    return touched


def lock_assets(
    cursor: Any,
    placement: Placement,
    stored: Mapping[str, Stored],
    fresh: Container[str],
    priced: Iterable[int],
) -> None:
    """Every asset that the transaction will write is its own, and its quotes, in the order in which others take them.

    Nothing is taken where no asset gets another name and no listing moves: pricing takes what it needs.
    """
    wanted: set[int | None] = set(priced)
    early = False
    for (group, slug), asset in zip(placement.groups, placement.asset_ids, strict=True):
        for listing in group:
            place = stored.get(listing.key)
            if place is None or listing.key in fresh:
                wanted.add(asset)
            if place is not None and (place.asset_id != asset or place.slug != slug):
                early = True
                wanted |= {place.asset_id, asset}
    if early:
        ids = array_of_numbers(asset for asset in wanted if asset is not None)
        cursor.execute(LOCK_QUOTES, [ids])
        cursor.execute(LOCK_ASSETS, [ids])


def write_assets(cursor: Any, placement: Placement, before: Mapping[int, str]) -> list[int]:
    """Every group has its asset, called by its slug; their ids. `before`: what assets are called now."""
    to_make, recalled = [], []
    for (group, slug), asset in zip(placement.groups, placement.asset_ids, strict=True):
        if asset is None:
            to_make.append((slug, group[0]))
        elif before[asset] != slug:
            recalled.append((asset, slug))
    if recalled:
        ids = array_of_numbers(id_ for id_, _ in recalled)
        cursor.execute(RECALL, [ids, array_of(slug for _, slug in recalled)])
        cursor.execute(RECALLED, [ids])
    made = numbers(cursor, "assets_asset", len(to_make))
    copy_rows(
        cursor,
        "assets_asset (id, slug, symbol, name, rank)",
        [
            (id_, slug, anchor.symbol, anchor.name, anchor.rank)
            for id_, (slug, anchor) in zip(made, to_make, strict=True)
        ],
    )
    unused = iter(made)
    return [next(unused) if asset is None else asset for asset in placement.asset_ids]


def write_listings(
    cursor: Any,
    new: Sequence[tuple[Listing, str, int, tuple[object, ...]]],
    stored: dict[str, Stored],
) -> None:
    """Each new (listing, slug of its asset, asset, evidence) is there, and in `stored`."""
    sources = dict(Source.objects.values_list("slug", "pk"))
    new = sorted(new, key=lambda one: one[0].key)
    rows = []
    for id_, (listing, slug, asset, evidence) in zip(numbers(cursor, "assets_listing", len(new)), new, strict=True):
        stored[listing.key] = Stored(id_, asset, slug, listing.symbol, listing.name)
        contracts = array_of(listing.contracts)
        source = sources[listing.source]
        rows.append((id_, source, listing.source_asset_id, asset, listing.symbol, listing.name, contracts, *evidence))
    copy_rows(cursor, f"assets_listing ({LISTING}, confidence, reasons)", rows)


def write_candidates(
    cursor: Any, around: Iterable[Listing], resolution: Resolution, stored: Mapping[str, Stored]
) -> None:
    """The pairs in doubt among these listings are those of the resolution."""
    pairs = {
        tuple(sorted((stored[pair.a].listing_id, stored[pair.b].listing_id))): pair for pair in resolution.doubtful
    }
    stage(
        cursor,
        "doubting",
        "a_id bigint, b_id bigint, score numeric, reasons jsonb",
        [(*ids, round(pair.score, 3), json_of(pair.reasons)) for ids, pair in pairs.items()],
    )
    cursor.execute(NOT_IN_DOUBT, {"ids": array_of_numbers(stored[listing.key].listing_id for listing in around)})
    if pairs:
        cursor.execute(IN_DOUBT)


def numbers(cursor: Any, table: str, count: int) -> list[int]:
    """So many ids of a table that nothing has."""
    if not count:
        return []
    cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
    cursor.execute("SELECT nextval(%s::regclass) FROM generate_series(1, %s)", [*cursor.fetchone(), count])
    return [row[0] for row in cursor.fetchall()]


LISTING = "id, source_id, source_asset_id, asset_id, symbol, name, contracts, method"
#: Each asset's quotes are looked up, though the planner may know nothing of the table.
LOCK_QUOTES = """
SELECT FROM assets_quote WHERE listing_id = ANY(ARRAY(
    SELECT quote.listing_id FROM unnest(%s::bigint[]) asset (id)
    CROSS JOIN LATERAL (SELECT listing_id FROM assets_quote WHERE asset_id = asset.id OFFSET 0) quote
)) ORDER BY listing_id FOR NO KEY UPDATE
"""
LOCK_ASSETS = "SELECT FROM assets_asset WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE"
RECALL = """
UPDATE assets_asset asset SET slug = new.slug, changed_at = clock_timestamp()
FROM unnest(%s::bigint[], %s::text[]) new (id, slug) WHERE asset.id = new.id
"""
#: Their rows show the asset's name: whoever asks what has changed must see them again.
RECALLED = "UPDATE assets_quote SET changed_in = DEFAULT WHERE asset_id = ANY(%s::bigint[])"
RENAME = """
WITH new AS (DELETE FROM renaming RETURNING *)
UPDATE assets_listing listing SET symbol = new.symbol, name = new.name, contracts = new.contracts
FROM new WHERE listing.id = new.id
"""
EXPLAIN = """
WITH new AS (DELETE FROM explaining RETURNING *)
UPDATE assets_listing listing SET method = new.method, confidence = new.confidence, reasons = new.reasons
FROM new WHERE listing.id = new.id
AND (listing.method, listing.confidence, listing.reasons) IS DISTINCT FROM (new.method, new.confidence, new.reasons)
"""
MOVE = """
UPDATE assets_listing listing SET
    asset_id = new.asset_id, method = new.method, confidence = new.confidence, reasons = new.reasons
FROM moving new WHERE listing.id = new.id
"""
MOVE_QUOTES = """
UPDATE assets_quote quote SET asset_id = new.asset_id, changed_in = DEFAULT FROM moving new
WHERE quote.listing_id = new.id
"""
EMPTY = """
DELETE FROM assets_asset asset WHERE id = ANY(%s::bigint[])
AND NOT EXISTS (SELECT FROM assets_listing listing WHERE listing.asset_id = asset.id)
"""
#: One that stays in doubt keeps its row: a person may be looking at it.
NOT_IN_DOUBT = """
DELETE FROM assets_candidate candidate WHERE a_id = ANY(%(ids)s::bigint[]) AND b_id = ANY(%(ids)s::bigint[])
AND NOT EXISTS (SELECT FROM doubting WHERE (doubting.a_id, doubting.b_id) = (candidate.a_id, candidate.b_id))
"""
IN_DOUBT = """
WITH pair AS (DELETE FROM doubting RETURNING *)
INSERT INTO assets_candidate AS candidate (a_id, b_id, score, reasons) SELECT * FROM pair
ON CONFLICT (a_id, b_id) DO UPDATE SET score = excluded.score, reasons = excluded.reasons
WHERE (candidate.score, candidate.reasons) IS DISTINCT FROM (excluded.score, excluded.reasons)
"""
