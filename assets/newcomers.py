"""Listings that meet nobody: each is an asset of its own, priced by its only quote, written by COPY.

Most of a first load are such. No rule is asked about them, because it would compare them with nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from django.db import connection

from assets import filing, pricing
from assets.copying import cell, copy_lines
from assets.models import Source
from assets.records import AssetRecord

ASSET = f"id, slug, {', '.join(pricing.COLUMNS)}"
LISTING = "id, source_id, source_asset_id, asset_id, symbol, name, contracts, method"


def add(source: Source, newcomers: Sequence[tuple[AssetRecord, Collection[int]]]) -> dict[str, tuple[int, int]]:
    """Each (record, keys) is a listing in an asset of its own: source_asset_id -> (listing, asset)."""
    if not newcomers:
        return {}
    interval = timedelta(seconds=source.interval_seconds)
    prefix = "" if source.identity_rank == 1 else f"{cell(source.slug)}:"
    placed: dict[str, tuple[int, int]] = {}
    assets, listings, keys = [], [], []
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0]
        asset_ids = numbers(cursor, "assets_asset", len(newcomers))
        listing_ids = numbers(cursor, "assets_listing", len(newcomers))
        for (record, filed), asset_id, listing_id in zip(newcomers, asset_ids, listing_ids, strict=True):
            id_, symbol, name = cell(record.source_asset_id), cell(record.symbol), cell(record.name)
            price = pricing.of_one(source, interval, record, now)
            assets.append(f"{asset_id}\t{prefix}{id_}\t{price}\t{symbol}\t{name}\n")
            contracts = cell("{" + ",".join(map(quoted, record.contracts)) + "}") if record.contracts else "{}"
            listings.append(f"{listing_id}\t{source.pk}\t{id_}\t{asset_id}\t{symbol}\t{name}\t{contracts}\tanchor\n")
            keys.append((listing_id, filed))
            placed[record.source_asset_id] = listing_id, asset_id
        copy_lines(cursor, f"assets_asset ({ASSET})", assets)
        copy_lines(cursor, f"assets_listing ({LISTING})", listings)
    filing.file(keys)
    return placed


def numbers(cursor: Any, table: str, count: int) -> list[int]:
    """So many ids of a table that nothing has."""
    cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
    cursor.execute("SELECT nextval(%s::regclass) FROM generate_series(1, %s)", [*cursor.fetchone(), count])
    return [row[0] for row in cursor.fetchall()]


def quoted(text: str) -> str:
    """An element of an array as PostgreSQL writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
