"""What the lists of the API are made of: the columns of /data and /assets, and how to order by each.

PostgreSQL makes the JSON, so that a number never passes a binary float and no row is built in Python. A page is found
on the narrow table first; the joins are for the rows of the page alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from assets.consensus import INTERVALS_FRESH

#: In a demo every row's source says so.
DEMO_LABEL = " (demo)"


def iso(expression: str) -> str:
    """SQL: the time as ISO 8601 UTC with Z, null when it is null. (psycopg2 sees to it that DateStyle is ISO.)"""
    return f"replace(timezone('UTC', {expression})::text, ' ', 'T') || 'Z'"


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


def stale(quote: str = "q", source: str = "s") -> str:
    """SQL: the source has been silent about it for longer than three of its intervals."""
    return f"({quote}.observed_at < now() - {INTERVALS_FRESH} * {source}.interval_seconds * interval '1 second')"


def last_seen(listing: str = "l", source: str = "s") -> str:
    """SQL: the latest whole sweep that held it (see `Listing.last_seen_at`)."""
    return f"coalesce({listing}.last_seen_at, greatest({source}.last_sweep_at, {listing}.first_seen_at))"


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


@dataclass(frozen=True, slots=True)
class Table:
    """A list of the API: where its rows are, what they are ordered by."""

    source: str
    """The table and its alias."""
    key: str
    """Unique, never null: the last word of every ordering."""
    joins: Mapping[str, str]
    fields: Mapping[str, Field]

    def joined(self, needs: str) -> str:
        return " ".join(sql for alias, sql in self.joins.items() if alias in needs)


DATA_JOINS = {
    "s": "JOIN assets_source s ON s.id = q.source_id",
    "l": "JOIN assets_listing l ON l.id = q.listing_id",
    "a": "JOIN assets_asset a ON a.id = q.asset_id",
}
DATA = Table(
    source="assets_quote q",
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
        "last_seen_at": Field(last_seen(), "timestamptz", needs="ls"),
        "is_stale": Field(stale(), "boolean", needs="s"),
        "delisted": Field("(l.delisted_at IS NOT NULL)", "boolean", needs="l"),
    },
)
#: The columns of a row of /data, in the order of the contract.
DATA_COLUMNS = f"""
q.listing_id AS id, a.slug AS asset_id, nullif(l.symbol, '') AS symbol, nullif(l.name, '') AS name,
q.price_usd, q.market_cap, q.volume_24h, q.percent_change_24h, q.rank,
{source_name("s")} AS source, l.source_asset_id,
{iso("q.observed_at")} AS updated_at, {iso(last_seen())} AS last_seen_at, {stale()} AS is_stale,
l.delisted_at IS NOT NULL AS delisted"""
#: When anything that a row of /data shows last changed: what was written, or the passing of its freshness.
DATA_MODIFIED = f"""greatest(q.changed_at, s.last_sweep_at, l.last_seen_at, l.delisted_at, a.changed_at,
    CASE WHEN {stale()} THEN {stale_at()} END)"""

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
)
