"""Reads the lists: a page is found on the narrow table, joined for its own rows alone, and comes as JSON text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import connection

from assets import filters, prepared, seeking, tally
from assets.pagination import After, Place
from assets.parameters import Asked
from assets.seeking import DEEP
from assets.tables import DATA, DELISTED, Condition, Table, stale

#: When the next run is due, as far as the last whole sweeps tell: until then nothing changes by itself.
DUE = """(SELECT min(coalesce(last_sweep_at, to_timestamp(0)) + interval_seconds * interval '1 second')
    FROM assets_source WHERE enabled)"""
#: Every transaction before this one is over: what it wrote is seen, or never will be.
HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text"


def epoch(time: str) -> str:
    """SQL: seconds since 1970. They come with each row, and reading a time takes ten times as long as a number."""
    return f"extract(epoch FROM {time})::float8"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the statement that finds a page tells beside its rows, in the same snapshot."""

    total: str = "NULL::bigint"

    @property
    def sql(self) -> str:
        return f"{self.total}, {epoch(DUE)}, {HORIZON}"


@dataclass(slots=True)
class Rows:
    """A page of a list."""

    text: str
    """Its rows as JSON, with commas between."""
    count: int
    more: bool
    last: After | None
    modified: datetime | None
    total: int | None = None
    """How many there are in all, where the tally knows it."""
    due: datetime | None = None
    """When the next run is."""
    horizon: str = "0"

    @property
    def json(self) -> orjson.Fragment:
        return orjson.Fragment(f"[{self.text}]")


def data_page(
    place: Place, found: Sequence[Condition], facts: Facts, table: Table = DATA, names: Sequence[str] | None = None
) -> Rows:
    """Rows of /data, with the columns of these names."""
    where, values, needs = filters.where(found)
    deep = place.offset > DEEP
    ending = tally.from_the_end(table, found, place.offset) if deep else 0
    page, bound = seeking.page_of(table, place, where, values, needs, keys_alone=deep, total=ending)
    rows, _ = fetch(
        f"""
        WITH page AS ({page})
        SELECT row_to_json(shown)::text AS text, key, sort_value::text, {epoch(table.modified)} AS modified,
               false AS due
        FROM {f"page JOIN {table.source} ON q.listing_id = key" if deep else "page q"} {table.all_joined}
        CROSS JOIN LATERAL (SELECT {table.shown(names)}) shown
        ORDER BY {seeking.page_order(place, "page" if deep else "q")}""",
        bound,
        place,
        facts,
        steady=not found,
    )
    return rows


def fetch(
    sql: str, bound: Sequence[Any], place: Place, facts: Facts, steady: bool = False
) -> tuple[Rows, list[tuple[int, int]]]:
    """The page that this SQL (text, key, sort_value, modified, due) finds in its order; (key, position) of the due.

    It comes as one row: PostgreSQL puts the texts together much faster than Python. `steady`: one plan is good for all
    values.
    """
    size = place.size
    sql = f"""
        SELECT string_agg(text, ',') FILTER (WHERE n <= {size}), count(*), max(modified) FILTER (WHERE n <= {size}),
               (array_agg(sort_value))[least(count(*), {size})], (array_agg(key))[least(count(*), {size})],
               array_agg(ARRAY[key, n - 1]) FILTER (WHERE due AND n <= {size}), {facts.sql}
        FROM (SELECT *, row_number() OVER () AS n FROM ({sql}) found) numbered"""
    with connection.cursor() as cursor:
        # Filters may be rare or common, and want plans of their own; where a walk stands is all the same.
        if steady or not bound:
            prepared.execute(cursor, sql, bound)
        else:
            cursor.execute(sql, bound)
        text, count, modified, value, key, due, total, next_run, horizon_now = cursor.fetchone()
    horizon = place.after.horizon if place.after else horizon_now
    rows = Rows(
        text or "",
        min(count, size),
        count > size,
        After(value, key, horizon) if count else None,
        None if modified is None else datetime.fromtimestamp(modified, UTC),
        total,
        None if next_run is None else datetime.fromtimestamp(next_run, UTC),
        horizon_now,
    )
    return rows, due or []


def facts_of(table: Table, asked: Asked, found: Sequence[Condition]) -> Facts:
    known = tally.total_sql(table, found) if asked["count"] == "exact" else None
    return Facts(known) if known else Facts()


def total(table: Table, asked: Asked, found: Sequence[Condition], place: Place, rows: Rows) -> int | None:
    """How many rows the filter finds, as `count` wants it: the one place that counts the rows of a list."""
    if asked["count"] == "none":
        return None
    if rows.total is not None:
        return rows.total
    if not place.walking and not rows.more and (rows.count or not place.offset):
        return place.offset + rows.count
    where, values, needs = filters.where(found)
    with connection.cursor() as cursor:
        if asked["count"] == "estimated" and table.tallied:
            if not found:
                cursor.execute(
                    "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table.source.split()[0]]
                )
                (rows_there,) = cursor.fetchone()
            else:
                cursor.execute(
                    f"EXPLAIN (FORMAT JSON) SELECT FROM {table.source} {table.joined(needs)} WHERE {where}", values
                )
                (plan,) = cursor.fetchone()
                rows_there = (orjson.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"]
            # A table that was never analyzed has no statistics: -1.
            if rows_there >= 0:
                return int(rows_there)
        cursor.execute(f"SELECT count(*) FROM {table.source} {table.joined(needs)} WHERE {where}", values)
        return int(cursor.fetchone()[0])


def data_row(listing_id: int) -> tuple[str, int, int, datetime] | None:
    """(JSON, page_id, position, time of change) of one row of /data."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT (SELECT row_to_json(shown)::text FROM (SELECT {DATA.shown()}) shown),
                       q.page_id, q.position, {DATA.modified}
                FROM {DATA.source} {DATA.all_joined} WHERE q.listing_id = %s""",
            [listing_id],
        )
        return cursor.fetchone()


SUMMARY = f"""
WITH per_source AS (
    SELECT q.source_id, count(*) AS rows, count(DISTINCT q.asset_id) AS assets,
           count(*) FILTER (WHERE {stale()}) AS stale,
           count(*) FILTER (WHERE q.price_usd IS NULL) AS without_price,
           max(q.observed_at) AS newest, min(q.observed_at) AS oldest, max(q.changed_at) AS changed,
           sum(q.market_cap) AS total_market_cap
    FROM assets_quote q JOIN assets_source s ON s.id = q.source_id GROUP BY q.source_id
)
SELECT source.slug, source.title, source.enabled, coalesce(rows, 0), coalesce(assets, 0), coalesce(stale, 0),
       coalesce(delisted, 0), coalesce(without_price, 0), newest, oldest, changed, total_market_cap,
       source.last_sweep_at
FROM assets_source source LEFT JOIN per_source ON per_source.source_id = source.id
LEFT JOIN ({DELISTED}) gone ON gone.source_id = source.id
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
