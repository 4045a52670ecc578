"""Reads the lists: a page is found on the narrow table, joined for its own rows alone, and comes as JSON text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from assets import filters, pagination
from assets.pagination import After, Place
from assets.parameters import Asked
from assets.tables import DATA, DATA_COLUMNS, DATA_JOINS, DATA_MODIFIED, Condition, Table, stale

ALL_DATA_JOINS = " ".join(DATA_JOINS.values())


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list."""

    texts: list[str]
    """Each row as JSON."""
    more: bool
    last: After | None
    modified: datetime | None

    @property
    def json(self) -> orjson.Fragment:
        return orjson.Fragment("[" + ",".join(self.texts) + "]")


def data_page(place: Place, found: Sequence[Condition]) -> Rows:
    """Rows of /data."""
    where, values, needs = filters.where(found)
    keys, bound = pagination.page_of(DATA, place, where, values, needs)
    rows, _ = fetch(
        f"""
        WITH page AS ({keys})
        SELECT (SELECT row_to_json(shown)::text FROM (SELECT {DATA_COLUMNS}) shown),
               page.key, page.sort_value::text, {DATA_MODIFIED}, false
        FROM page JOIN assets_quote q ON q.listing_id = page.key {ALL_DATA_JOINS}
        ORDER BY {pagination.page_order(place)}""",
        bound,
        place,
    )
    return rows


def fetch(sql: str, bound: Sequence[Any], place: Place) -> tuple[Rows, list[tuple[int, int]]]:
    """The page that this SQL (JSON, key, sort value, time of change, due) finds; (key, position) of what is due."""
    with connection.cursor() as cursor:
        cursor.execute(sql, bound)
        found = cursor.fetchall()
    more = len(found) > place.size
    shown = found[: place.size]
    rows = Rows(
        texts=[row[0] for row in shown],
        more=more,
        last=After(shown[-1][2], shown[-1][1]) if shown else None,
        modified=max((row[3] for row in shown), default=None),
    )
    return rows, [(row[1], position) for position, row in enumerate(shown) if row[4]]


def total(table: Table, asked: Asked, found: Sequence[Condition]) -> int | None:
    """How many rows the filter finds, as `count` wants it: the one place that counts the rows of a list."""
    if asked["count"] == "none":
        return None
    where, values, needs = filters.where(found)
    with connection.cursor() as cursor:
        if asked["count"] == "estimated":
            if not found:
                cursor.execute(
                    "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table.source.split()[0]]
                )
                (rows,) = cursor.fetchone()
            else:
                cursor.execute(
                    f"EXPLAIN (FORMAT JSON) SELECT FROM {table.source} {table.joined(needs)} WHERE {where}", values
                )
                (plan,) = cursor.fetchone()
                rows = (orjson.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"]
            # A table that was never analyzed has no statistics: -1.
            if rows >= 0:
                return int(rows)
        cursor.execute(f"SELECT count(*) FROM {table.source} {table.joined(needs)} WHERE {where}", values)
        return int(cursor.fetchone()[0])


def data_row(listing_id: int) -> tuple[str, int, int, datetime] | None:
    """(JSON, page_id, position, time of change) of one row of /data."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT (SELECT row_to_json(shown)::text FROM (SELECT {DATA_COLUMNS}) shown),
                       q.page_id, q.position, {DATA_MODIFIED}
                FROM assets_quote q {ALL_DATA_JOINS} WHERE q.listing_id = %s""",
            [listing_id],
        )
        return cursor.fetchone()


SUMMARY = f"""
WITH per_source AS (
    SELECT q.source_id, count(*) AS rows, count(DISTINCT q.asset_id) AS assets,
           count(*) FILTER (WHERE {stale()}) AS stale,
           count(*) FILTER (WHERE l.delisted_at IS NOT NULL) AS delisted,
           count(*) FILTER (WHERE q.price_usd IS NULL) AS without_price,
           max(q.observed_at) AS newest, min(q.observed_at) AS oldest, max(q.changed_at) AS changed,
           sum(q.market_cap) AS total_market_cap
    FROM assets_quote q JOIN assets_source s ON s.id = q.source_id JOIN assets_listing l ON l.id = q.listing_id
    GROUP BY q.source_id
)
SELECT source.slug, source.title, source.enabled, coalesce(rows, 0), coalesce(assets, 0), coalesce(stale, 0),
       coalesce(delisted, 0), coalesce(without_price, 0), newest, oldest, changed, total_market_cap,
       source.last_sweep_at
FROM assets_source source LEFT JOIN per_source ON per_source.source_id = source.id
ORDER BY source.identity_rank, source.slug
"""
SUMMARY_ASSETS = """
SELECT count(*), sum(market_cap), count(*) FILTER (WHERE price_usd IS NOT NULL),
       count(*) FILTER (WHERE agreement = 'disagree'), count(*) FILTER (WHERE quotes_count > 1), max(changed_at)
FROM assets_asset
"""


def summary() -> tuple[dict[str, Any], datetime | None]:
    """What /data/summary shows, and when it last changed. Market caps of one coin count once in the total."""
    with connection.cursor() as cursor:
        cursor.execute(SUMMARY)
        sources = cursor.fetchall()
        cursor.execute(SUMMARY_ASSETS)
        assets, cap, priced, disagreeing, shared, changed = cursor.fetchone()
    content = {
        "rows": sum(row[3] for row in sources),
        "assets": assets,
        "assets_priced": priced,
        "assets_in_several_sources": shared,
        "assets_disagreeing": disagreeing,
        "stale": sum(row[5] for row in sources),
        "delisted": sum(row[6] for row in sources),
        "newest_update": max((row[8] for row in sources if row[8]), default=None),
        "oldest_update": min((row[9] for row in sources if row[9]), default=None),
        "total_market_cap": cap,
        "sources": {
            row[0]: {
                "title": row[1],
                "enabled": row[2],
                "rows": row[3],
                "assets": row[4],
                "stale": row[5],
                "delisted": row[6],
                "without_price": row[7],
                "newest_update": row[8],
                "oldest_update": row[9],
                "total_market_cap": row[11],
                "last_sweep_at": row[12],
            }
            for row in sources
        },
    }
    return content, max((time for time in (changed, *(row[10] for row in sources)) if time), default=None)


def is_ambiguous(symbol: str) -> bool:
    """Whether several assets have exactly this symbol."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM assets_asset WHERE symbol = %s LIMIT 2) found", [symbol.upper()]
        )
        return bool(cursor.fetchone()[0] > 1)
