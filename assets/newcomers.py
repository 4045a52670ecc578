"""Listings that meet nobody: each is an asset of its own, priced by its only quote, written by COPY.

Most of a first load are such. No rule is asked about them, because it would compare them with nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from django.db import connection

from assets import filing, pricing
from assets.clock import database_clock
from assets.copying import array_of, copy_rows
from assets.identity import called
from assets.models import Source
from assets.placement import LISTING, numbers
from assets.records import AssetRecord

ASSET = f"id, slug, {', '.join(pricing.COLUMNS)}"


def add(source: Source, newcomers: Sequence[tuple[AssetRecord, Collection[int]]]) -> dict[str, tuple[int, int]]:
    """Each (record, keys) is a listing in an asset of its own: source_asset_id -> (listing, asset).

    Part of a transaction that holds the lock of identities.
    """
    if not newcomers:
        return {}
    # As it is now: whoever switches it off, or edits its schedule, waits for the lock and then looks what there is.
    source.refresh_from_db(fields=("enabled", "interval_seconds"))
    interval = timedelta(seconds=source.interval_seconds)
    with connection.cursor() as cursor:
        now = database_clock()
        asset_ids = numbers(cursor, "assets_asset", len(newcomers))
        listing_ids = numbers(cursor, "assets_listing", len(newcomers))
        assets, listings = [], []
        for (record, _), asset_id, listing_id in zip(newcomers, asset_ids, listing_ids, strict=True):
            id_, symbol, name = record[:3]
            contracts = array_of(record.contracts) if record.contracts else "{}"
            slug = called(source.identity_rank, source.slug, id_)
            assets.append((asset_id, slug, *pricing.of_one(source, interval, record, now), symbol, name))
            listings.append((listing_id, source.pk, id_, asset_id, symbol, name, contracts, "anchor"))
        copy_rows(cursor, f"assets_asset ({ASSET})", assets)
        copy_rows(cursor, f"assets_listing ({LISTING})", listings)
    filing.file(zip(listing_ids, (keys for _, keys in newcomers), strict=True))
    return {
        record.source_asset_id: (listing_id, asset_id)
        for (record, _), listing_id, asset_id in zip(newcomers, listing_ids, asset_ids, strict=True)
    }
