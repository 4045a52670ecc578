"""Reads one row per real-world asset: what its sources agree on, and each source's own word beside it.

The consensus is stored when quotes change, and again when one goes stale. Should nobody be there to do that (a stopped
worker), it is worked out here, so that an old price is never served as what the sources say now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
from django.db import connection

from assets import filters, seeking, tally
from assets.clock import database_clock
from assets.pagination import Place
from assets.pricing import COLUMNS, TYPES, priced, quotes_sql
from assets.seeking import DEEP
from assets.selectors import Facts, Rows, epoch, fetch
from assets.tables import ASSETS, DATA, QUOTES_THEN, Condition, Table, data_table, delisted_then, iso, literal


def quoted(data: Table) -> str:
    """SQL: every source's own word on the asset `a`, out of these rows of /data."""
    return f"""
LEFT JOIN LATERAL (
    SELECT coalesce(json_agg(row_to_json(shown) ORDER BY s.identity_rank, s.slug, l.source_asset_id), '[]') AS quotes,
           max({data.modified}) AS modified
    FROM {data.source}
    JOIN assets_source s ON s.id = q.source_id
    JOIN assets_listing l ON l.id = q.listing_id
    CROSS JOIN LATERAL (SELECT {data.shown()}) shown
    WHERE q.asset_id = a.id
) quoted ON true"""


#: What put each listing into the asset: shown of one asset, not of a list.
IDENTITY = f"""
(SELECT coalesce(json_agg(row_to_json(evidence) ORDER BY evidence.source, evidence.source_asset_id), '[]')
 FROM (SELECT l.id, s.slug AS source, l.source_asset_id, nullif(l.method, '') AS method, l.confidence, l.reasons,
              l.contracts, {iso("l.first_seen_at")} AS first_seen_at
       FROM assets_listing l JOIN assets_source s ON s.id = l.source_id
       WHERE l.asset_id = a.id) evidence) AS identity"""

#: The asset's row as the table has it, and as it would be with these figures: what it is called depends on no time.
NOW_STORED = "assets_asset a ON a.id = page.key"
TYPED = [f"new.{name}::{kind}" for name, kind in TYPES.items() if name not in ("fresh_until", "symbol", "name")]
RECKONED = f"""(
    SELECT asset.id, asset.slug, asset.symbol, asset.name, asset.changed_at, NULL::timestamptz AS fresh_until,
           {", ".join(TYPED)}
    FROM (VALUES %s) new (id, {", ".join(COLUMNS)}) JOIN assets_asset asset USING (id)
) a ON a.id = page.key"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller wants to see of an asset: which columns, and of when."""

    names: Sequence[str] | None = None
    as_of: datetime | None = None
    with_identity: bool = False

    @property
    def columns(self) -> str:
        return ASSETS.shown(self.names) + ("," + IDENTITY if self.with_identity else "")

    def sql(self, keys: str, asset: str, order: str) -> str:
        """SQL of assets, as `selectors.fetch` takes them; due is one of which a quote went stale since."""
        data = DATA if self.as_of is None else data_table(self.as_of)
        return f"""
        WITH page AS ({keys})
        SELECT row_to_json(shown)::text AS text, page.key, page.sort_value::text,
               {epoch("greatest(a.changed_at, quoted.modified)")} AS modified, a.fresh_until < now() AS due
        FROM page JOIN {asset} {quoted(data)} CROSS JOIN LATERAL (SELECT {self.columns}) shown ORDER BY {order}"""


#: What an asset of another time can be ordered by.
KEPT = ("id", "asset_id", "symbol", "name", "rank")


def existed(as_of: datetime) -> Condition:
    """Some source had said something about it by then."""
    quotes = QUOTES_THEN.format(time=literal(as_of))
    return Condition(f"EXISTS (SELECT FROM {quotes} q WHERE q.asset_id = a.id) = %s", True)


def assets_page(place: Place, found: Sequence[Condition], wanted: Wanted, facts: Facts) -> Rows:
    """Rows of /assets."""
    where, values, needs = filters.where(found)
    ending = tally.from_the_end(ASSETS, found, place.offset) if place.offset > DEEP else 0
    keys, bound = seeking.page_of(ASSETS, place, where, values, needs, keys_alone=True, total=ending)
    if wanted.as_of is not None:
        return page_then(keys, bound, place, wanted, facts)
    return fetch_current(keys, bound, seeking.page_order(place), place, wanted, facts)


def page_then(keys: str, bound: Sequence[Any], place: Place, wanted: Wanted, facts: Facts) -> Rows:
    """The page with every consensus reckoned from the quotes of then."""
    sql = f"""WITH page AS ({keys}) SELECT 'null' AS text, page.key, page.sort_value::text, NULL::float8 AS modified,
              true AS due FROM page ORDER BY {seeking.page_order(place)}"""
    rows, due = fetch(sql, bound, place, facts)
    replace(rows, due, wanted)
    return rows


def fetch_current(
    keys: str, bound: Sequence[Any], order: str, place: Place, wanted: Wanted, facts: Facts, steady: bool = False
) -> Rows:
    """The page, with every consensus as it is now."""
    rows, due = fetch(wanted.sql(keys, NOW_STORED, order), bound, place, facts, steady)
    replace(rows, due, wanted)
    return rows


def replace(rows: Rows, due: Sequence[tuple[int, int]], wanted: Wanted) -> None:
    """Those of the page that are due are reckoned again."""
    if not due:
        return
    texts = [bytes(row).decode() for row in msgspec.json.decode(f"[{rows.text}]", type=list[msgspec.Raw])]
    again = reckoned([key for key, _ in due], wanted)
    for key, position in due:
        if key in again:
            texts[position], modified = again[key]
            rows.modified = max(rows.modified or modified, modified)
    rows.text = ",".join(texts)


def reckoned(asset_ids: Sequence[int], wanted: Wanted) -> dict[int, tuple[str, datetime]]:
    """(row, time of change) of these assets with the consensus of their quotes, by key: as it is now, or was at the
    time wanted.
    """
    if wanted.as_of is None:
        figures = priced(asset_ids, database_clock())
    else:
        quotes = quotes_sql(QUOTES_THEN.format(time=literal(wanted.as_of)), delisted_then(wanted.as_of, "listing"))
        figures = priced(asset_ids, wanted.as_of, quotes)
    if not figures:
        return {}
    with connection.cursor() as cursor:
        marks = "(" + ", ".join(["%s"] * (len(COLUMNS) + 1)) + ")"
        values = b", ".join(cursor.cursor.mogrify(marks, row) for row in figures).decode()
        keys = "SELECT unnest(%s::bigint[]) AS key, 0 AS sort_value, 0 AS phase"
        asset = RECKONED.replace("%s", values.replace("%", "%%"))
        cursor.execute(wanted.sql(keys, asset, "page.key"), [[row[0] for row in figures]])
        return {row[1]: (row[0], datetime.fromtimestamp(row[3], UTC)) for row in cursor.fetchall()}


def asset(asset_id: str, wanted: Wanted) -> tuple[orjson.Fragment, Rows] | None:
    """(JSON, its page) of the asset with that present id."""
    keys = "SELECT id AS key, 0 AS sort_value, 0 AS phase FROM assets_asset WHERE slug = %s"
    rows = fetch_current(keys, [asset_id], "page.key", Place("id", False, 1), wanted, Facts(), steady=True)
    return (orjson.Fragment(rows.text), rows) if rows.count else None
