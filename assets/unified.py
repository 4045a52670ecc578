"""Reads one row per real-world asset: what its sources agree on, and each source's own word beside it.

The consensus is stored when quotes change, and again when one goes stale. Should nobody be there to do that (a stopped
worker), it is worked out here, so that an old price is never served as what the sources say now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from assets import filters, pagination
from assets.pagination import Place
from assets.pricing import COLUMNS, TYPES, priced
from assets.selectors import Rows, fetch
from assets.tables import ASSETS, DATA_COLUMNS, DATA_MODIFIED, DEMO_LABEL, Condition, iso

SOURCES_USED, LEFT_OUT = "a.sources_used", "a.left_out"
if settings.DEMO:
    SOURCES_USED = f"""coalesce((SELECT json_agg(used.slug || '{DEMO_LABEL}')
        FROM jsonb_array_elements_text(a.sources_used) AS used (slug)), '[]')"""
    LEFT_OUT = f"""coalesce((SELECT json_agg(
            jsonb_set(quote.entry, '{{source}}', to_jsonb((quote.entry ->> 'source') || '{DEMO_LABEL}')))
        FROM jsonb_array_elements(a.left_out) AS quote (entry)), '[]')"""

COLUMNS_SHOWN = f"""
a.slug AS asset_id, nullif(a.symbol, '') AS symbol, nullif(a.name, '') AS name, a.rank,
a.price_usd, a.market_cap, a.volume_24h, a.percent_change_24h, a.spread_bps, {iso("a.observed_at")} AS updated_at,
(SELECT row_to_json(consensus) FROM (SELECT a.price_usd, a.price_min, a.price_max, a.spread_bps, a.agreement,
    {SOURCES_USED} AS sources_used, {LEFT_OUT} AS left_out,
    {iso("a.observed_at")} AS observed_at) consensus) AS consensus,
quoted.quotes"""
QUOTED = f"""
LEFT JOIN LATERAL (
    SELECT coalesce(json_agg((SELECT row_to_json(shown) FROM (SELECT {DATA_COLUMNS}) shown)
                             ORDER BY s.identity_rank, s.slug, l.source_asset_id), '[]') AS quotes,
           max({DATA_MODIFIED}) AS modified
    FROM assets_quote q
    JOIN assets_source s ON s.id = q.source_id
    JOIN assets_listing l ON l.id = q.listing_id
    WHERE q.asset_id = a.id
) quoted ON true"""
#: What put each listing into the asset: shown of one asset, not of a list.
IDENTITY = f"""
(SELECT coalesce(json_agg(row_to_json(evidence) ORDER BY evidence.source, evidence.source_asset_id), '[]')
 FROM (SELECT l.id, s.slug AS source, l.source_asset_id, nullif(l.method, '') AS method, l.confidence, l.reasons,
              l.contracts, {iso("l.first_seen_at")} AS first_seen_at
       FROM assets_listing l JOIN assets_source s ON s.id = l.source_id
       WHERE l.asset_id = a.id) evidence) AS identity"""

#: The asset's row as the table has it, and as it would be with these figures.
NOW_STORED = "assets_asset a ON a.id = page.key"
TYPED = [f"new.{column}::{kind}" for column, kind in TYPES.items() if column != "fresh_until"]
RECKONED = f"""(
    SELECT asset.id, asset.slug, asset.changed_at, NULL::timestamptz AS fresh_until,
           {", ".join(TYPED)}
    FROM (VALUES %s) new (id, {", ".join(COLUMNS)}) JOIN assets_asset asset USING (id)
) a ON a.id = page.key"""


def rows_sql(keys: str, asset: str, order: str, extra: str = "") -> str:
    """SQL of assets as (JSON, key, sort value, time of change, whether a quote went stale since the consensus)."""
    return f"""
        WITH page AS ({keys})
        SELECT (SELECT row_to_json(shown)::text FROM (SELECT {COLUMNS_SHOWN}{extra}) shown),
               page.key, page.sort_value::text, greatest(a.changed_at, quoted.modified), a.fresh_until <= now()
        FROM page JOIN {asset} {QUOTED} ORDER BY {order}"""


def assets_page(place: Place, found: Sequence[Condition]) -> Rows:
    """Rows of /assets."""
    where, values, needs = filters.where(found)
    keys, bound = pagination.page_of(ASSETS, place, where, values, needs)
    return fetch_current(rows_sql(keys, NOW_STORED, pagination.page_order(place)), bound, place)


def fetch_current(sql: str, bound: Sequence[Any], place: Place, extra: str = "") -> Rows:
    """The page, with every consensus as it is now."""
    rows, due = fetch(sql, bound, place)
    if due:
        again = reckoned([key for key, _ in due], extra)
        for key, position in due:
            if key in again:
                rows.texts[position] = again[key]
    return rows


def reckoned(asset_ids: Sequence[int], extra: str) -> dict[int, str]:
    """The rows of these assets with the consensus of their quotes now, by key."""
    figures = priced(asset_ids, datetime.now(UTC))
    if not figures:
        return {}
    with connection.cursor() as cursor:
        marks = "(" + ", ".join(["%s"] * (len(COLUMNS) + 1)) + ")"
        values = b", ".join(cursor.cursor.mogrify(marks, row) for row in figures).decode()
        keys = "SELECT unnest(%s::bigint[]) AS key, 0 AS sort_value, 0 AS phase"
        asset = RECKONED.replace("%s", values.replace("%", "%%"))
        cursor.execute(rows_sql(keys, asset, "page.key", extra), [[row[0] for row in figures]])
        return {row[1]: row[0] for row in cursor.fetchall()}


def asset(asset_id: int) -> tuple[orjson.Fragment, datetime | None] | None:
    """(JSON, time of change) of one asset, with the evidence of its identity."""
    keys = "SELECT id AS key, 0 AS sort_value, 0 AS phase FROM assets_asset WHERE id = %s"
    one = Place("id", False, 1)
    rows = fetch_current(rows_sql(keys, NOW_STORED, "page.key", "," + IDENTITY), [asset_id], one, "," + IDENTITY)
    return (orjson.Fragment(rows.texts[0]), rows.modified) if rows.texts else None
