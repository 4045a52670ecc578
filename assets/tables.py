"""What the lists of the API are made of: the columns of /data and /assets, and how to order by each.

PostgreSQL makes the JSON, so that a number never passes a binary float and no row is built in Python. A page is found
on the narrow table first; the joins are for the rows of the page alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from assets.consensus import INTERVALS_FRESH

#: In a demo every row's source says so.
DEMO_LABEL = " (demo)"


def iso(expression: str) -> str:
    """SQL: the time as ISO 8601 UTC with Z, null when it is null. (psycopg2 sees to it that DateStyle is ISO.)"""
    return f"replace(timezone('UTC', {expression})::text, ' ', 'T') || 'Z'"


def literal(time: datetime) -> str:
    """SQL: this time."""
    return f"timestamptz '{time.isoformat()}'"


def source_name(alias: str) -> str:
    """SQL: the source's slug as rows show it."""
    return f"{alias}.slug || '{DEMO_LABEL}'" if settings.DEMO else f"{alias}.slug"


def source_label(slug: str) -> str:
    """The slug as rows show it."""
    return slug + DEMO_LABEL if settings.DEMO else slug


def source_slug(name: str) -> str:
    """The slug that a caller means, who may have taken it from a row of a demo."""
    return name.removesuffix(DEMO_LABEL) if settings.DEMO else name


def stale_at(quote: str = "q", source: str = "s") -> str:
    """SQL: when it goes stale, if no newer word comes."""
    return f"{quote}.observed_at + {INTERVALS_FRESH} * {source}.interval_seconds * interval '1 second'"


def stale(now: str = "now()") -> str:
    """SQL: the source has been silent about it for longer than three of its intervals."""
    return f"(q.observed_at < {now} - {INTERVALS_FRESH} * s.interval_seconds * interval '1 second')"


def last_seen(listing: str = "l", source: str = "s") -> str:
    """SQL: the latest whole sweep that held it (see `Listing.last_seen_at`)."""
    return f"coalesce({listing}.last_seen_at, greatest({source}.last_sweep_at, {listing}.first_seen_at))"


#: SQL: how many listings of each source are delisted.
DELISTED = "SELECT source_id, count(*) AS delisted FROM assets_listing WHERE delisted_at IS NOT NULL GROUP BY source_id"


def delisted_then(time: datetime, listing: str = "l") -> str:
    """SQL: it was delisted at that time. One that came back since has no `delisted_at`, but its events; one delisted
    before there were events has no other trace than `delisted_at`."""
    then = literal(time)
    return f"""coalesce((
        SELECT (array_agg(event.kind ORDER BY event.at DESC, event.id DESC))[1] FROM assets_event event
        WHERE event.listing_id = {listing}.id AND event.kind IN ('delisted', 'relisted') AND event.at <= {then}
    ) = 'delisted', {listing}.delisted_at <= {then}, false)"""


@dataclass(frozen=True, slots=True)
class Field:
    """A column that rows are ordered by."""

    sql: str
    type: str
    nullable: bool = False
    needs: str = ""
    """The aliases that must be joined for it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter: SQL with one place for its value."""

    sql: str
    value: Any
    needs: str = ""
    tally: str = ""
    """The column of `assets_tally` that it is about, if that has one."""


@dataclass(frozen=True, slots=True)
class Table:
    """A list of the API: where its rows are, what they show, what they are ordered by."""

    source: str
    """The table and its alias."""
    key: str
    """Unique, never null: the last word of every ordering."""
    joins: Mapping[str, str]
    fields: Mapping[str, Field]
    columns: Mapping[str, str]
    """What a row shows: each name and its SQL, in the order of the contract."""
    modified: str = ""
    """SQL: when anything that a row shows last changed."""
    tallied: str = ""
    """The column of `assets_tally` that knows how many rows there are; "" when nobody counts them."""

    @property
    def alias(self) -> str:
        return self.key.partition(".")[0]

    def joined(self, needs: str) -> str:
        return " ".join(sql for alias, sql in self.joins.items() if alias in needs)

    @property
    def all_joined(self) -> str:
        return " ".join(self.joins.values())

    def shown(self, names: Sequence[str] | None = None) -> str:
        """SQL: the columns of a row, or those of these names, in the table's order."""
        return ", ".join(f"{sql} AS {name}" for name, sql in self.columns.items() if names is None or name in names)


DATA_JOINS = {
    "s": "JOIN assets_source s ON s.id = q.source_id",
    "l": "JOIN assets_listing l ON l.id = q.listing_id",
    "a": "JOIN assets_asset a ON a.id = q.asset_id",
}


#: SQL of the quotes as they were at a time: each listing's last word until then. What history doesn't keep is null.
QUOTES_THEN = """(
    SELECT listing.id AS listing_id, listing.source_id, listing.asset_id, point.price_usd, point.market_cap,
           point.volume_24h, NULL::numeric AS percent_change_24h, NULL::int AS rank, point.observed_at,
           point.observed_at AS changed_at
    FROM assets_listing listing CROSS JOIN LATERAL (
        SELECT * FROM assets_price_point point
        WHERE point.listing_id = listing.id AND point.observed_at <= {time}
        ORDER BY point.observed_at DESC LIMIT 1
    ) point
)"""


def data_table(as_of: datetime | None = None) -> Table:
    """/data as it is now, or as it was then as far as the price points know (see `assets.past`)."""
    now = "now()" if as_of is None else literal(as_of)
    silent = stale(now)
    gone = "l.delisted_at IS NOT NULL" if as_of is None else delisted_then(as_of)
    # Which sweeps had held it by then is not kept.
    seen = last_seen() if as_of is None else "NULL::timestamptz"
    return Table(
        source="assets_quote q" if as_of is None else QUOTES_THEN.format(time=now) + " q",
        key="q.listing_id",
        joins=DATA_JOINS,
        fields={
            "id": Field("q.listing_id", "bigint"),
            "asset_id": Field("a.slug", "text", needs="a"),
            "symbol": Field("nullif(l.symbol, '')", "text", True, "l"),
            "name": Field("nullif(l.name, '')", "text", True, "l"),
            "price_usd": Field("q.price_usd", "numeric", True),
            "market_cap": Field("q.market_cap", "numeric", True),
            "volume_24h": Field("q.volume_24h", "numeric", True),
            "percent_change_24h": Field("q.percent_change_24h", "numeric", True),
            "rank": Field("q.rank", "int", True),
            "source": Field("s.slug", "text", needs="s"),
            "source_asset_id": Field("l.source_asset_id", "text", needs="l"),
            "updated_at": Field("q.observed_at", "timestamptz"),
            "last_seen_at": Field(seen, "timestamptz", as_of is not None, "ls"),
            "is_stale": Field(silent, "boolean", needs="s"),
            "delisted": Field(f"({gone})", "boolean", needs="l"),
        },
        columns={
            "id": "q.listing_id",
            "asset_id": "a.slug",
            "symbol": "nullif(l.symbol, '')",
            "name": "nullif(l.name, '')",
            **{name: f"q.{name}" for name in ("price_usd", "market_cap", "volume_24h", "percent_change_24h", "rank")},
            "source": source_name("s"),
            "source_asset_id": "l.source_asset_id",
            "updated_at": iso("q.observed_at"),
            "last_seen_at": iso(seen),
            "is_stale": silent,
            "delisted": gone,
        },
        # What was written, or the passing of its freshness.
        modified=f"""greatest(q.changed_at, s.last_sweep_at, l.last_seen_at, l.delisted_at, a.changed_at,
            CASE WHEN {silent} THEN {stale_at()} END)""",
        tallied="quotes" if as_of is None else "",
    )


DATA = data_table()
#: The order in which rows were written, which no caller names: how a walk is resumed (see `assets.changes`).
WRITTEN = Field("q.changed_in", "xid8")

SOURCES_USED, LEFT_OUT = "a.sources_used", "a.left_out"
if settings.DEMO:
    SOURCES_USED = f"""coalesce((SELECT json_agg(used.slug || '{DEMO_LABEL}')
        FROM jsonb_array_elements_text(a.sources_used) AS used (slug)), '[]')"""
    LEFT_OUT = f"""coalesce((SELECT json_agg(
            jsonb_set(quote.entry, '{{source}}', to_jsonb((quote.entry ->> 'source') || '{DEMO_LABEL}')))
        FROM jsonb_array_elements(a.left_out) AS quote (entry)), '[]')"""
CONSENSUS = f"""(SELECT row_to_json(consensus) FROM (SELECT a.price_usd, a.price_min, a.price_max, a.spread_bps,
    a.agreement, {SOURCES_USED} AS sources_used, {LEFT_OUT} AS left_out, {iso("a.observed_at")} AS observed_at)
    consensus)"""

ASSETS = Table(
    source="assets_asset a",
    key="a.id",
    joins={},
    fields={
        "asset_id": Field("a.slug", "text"),
        "symbol": Field("nullif(a.symbol, '')", "text", True),
        "name": Field("nullif(a.name, '')", "text", True),
        "rank": Field("a.rank", "int", True),
        "price_usd": Field("a.price_usd", "numeric", True),
        "market_cap": Field("a.market_cap", "numeric", True),
        "volume_24h": Field("a.volume_24h", "numeric", True),
        "percent_change_24h": Field("a.percent_change_24h", "numeric", True),
        "spread_bps": Field("a.spread_bps", "numeric", True),
        "updated_at": Field("a.observed_at", "timestamptz", True),
        "id": Field("a.id", "bigint"),
    },
    columns={
        "asset_id": "a.slug",
        "symbol": "nullif(a.symbol, '')",
        "name": "nullif(a.name, '')",
        **{name: f"a.{name}" for name in ("rank", "price_usd", "market_cap", "volume_24h")},
        **{name: f"a.{name}" for name in ("percent_change_24h", "spread_bps")},
        "updated_at": iso("a.observed_at"),
        "consensus": CONSENSUS,
        "quotes": "quoted.quotes",
    },
    tallied="assets",
)
