"""Which rows a caller means: the filters of /data and /assets, each a parameter and its SQL.

Texts are searched in the small table of listings, not in the large one; what a caller sends is always a bound value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import connection

from assets import searching
from assets.models import Asset, Source
from assets.pagination import CURSOR, PAGING, ordering
from assets.parameters import Asked, Parameter, choice, flag, moment, named, number, row_number, several, short, text
from assets.tables import ASSETS, DATA, Condition, Table, source_slug

COUNT = choice(
    "count",
    "How `total` is found: counted, estimated from PostgreSQL's statistics, or not at all (null).",
    ("exact", "estimated", "none"),
    "exact",
)
SYMBOL = text("symbol", "Part of the symbol, whatever its case.", example="btc")
SEARCH = text("search", "Part of the name or of the symbol, whatever its case.", example="bitcoin")
SYMBOLS = several("symbols", "These symbols, whatever their case.", lambda part: short(part).upper(), example="BTC,ETH")
AS_OF = moment("as_of", "As it was at this time, as far as history knows: see the description of the address.")


def fields(table: Table, example: str) -> Parameter:
    names = list(table.columns)
    return several("fields", "Only these fields of a row.", named(names), example=example, enum=names)


DATA_PARAMETERS: tuple[Parameter, ...] = (
    SYMBOL,
    SEARCH,
    text("source", "The source's slug.", example="coingecko"),
    text("asset_id", "The asset; a source's own id for it as `source:id` does as well.", example="bitcoin"),
    several("ids", "The rows of these numbers (`id`).", row_number, example="1,2,3"),
    SYMBOLS,
    number("min_price", "Price in US dollars, at least.", example="0.5"),
    number("max_price", "Price in US dollars, at most.", example="100"),
    number("min_market_cap", "Market cap in US dollars, at least.", example="1000000"),
    moment("updated_since", "Observed by its source (`updated_at`) at this time or later."),
    flag("stale", "Whether its source has been silent about it for longer than three of its intervals."),
    flag("delisted", "Whether it was missing from three whole sweeps of its source."),
    fields(DATA, "symbol,price_usd"),
    AS_OF,
    ordering(list(DATA.fields), "rank"),
    *PAGING,
    CURSOR,
    COUNT,
)
ASSET_PARAMETERS: tuple[Parameter, ...] = (
    SYMBOL,
    SEARCH,
    text("source", "Only assets that this source lists.", example="coinpaprika"),
    several("ids", "These assets (`asset_id`).", short, example="bitcoin,ethereum"),
    SYMBOLS,
    choice("agreement", "What the sources' prices say of each other.", Asset.Agreement.values),
    fields(ASSETS, "asset_id,price_usd"),
    AS_OF,
    ordering(list(ASSETS.fields), "rank"),
    *PAGING,
    CURSOR,
    COUNT,
)


#: Texts are looked for in the listings first, all at once: PostgreSQL would else ask for each row of the large table.
LISTED = "q.listing_id IN (WITH listed AS MATERIALIZED (SELECT id FROM assets_listing WHERE {}) SELECT id FROM listed)"


#: By their keys, which are few: else PostgreSQL may look for them along the whole list, in its order.
OF_ASSET = "q.listing_id = ANY(ARRAY(SELECT id FROM assets_listing WHERE asset_id = %s))"


def row_with(part: str, text: str) -> Condition:
    """The rows of listings whose text holds the part."""
    found = searching.listings_with(part, text)
    if found is None:
        return Condition(searching.holding(part, text), searching.containing(part), "l")
    return Condition("q.listing_id = ANY(%s)", [listing for listing, _ in found])


def asset_with(part: str, text: str) -> Condition:
    """The assets whose own text, which is one of their listings', holds the part."""
    found = searching.listings_with(part, text)
    text = text.replace("l.", "a.")
    if found is None:
        return Condition(searching.holding(part, text), searching.containing(part))
    ids = ",".join(str(asset) for asset in {asset for _, asset in found})
    return Condition(f"a.id = ANY('{{{ids}}}') AND {text} ILIKE %s", searching.containing(part))


Make = Callable[[Any, Table], Condition]
DATA_FILTERS: Mapping[str, Make] = {
    "symbol": lambda part, table: row_with(part, searching.SYMBOL),
    "search": lambda part, table: row_with(part, searching.ANY),
    "source": lambda slug, table: Condition("q.source_id = %s", source_key(slug), tally="source_id"),
    "asset_id": lambda asset_id, table: Condition(OF_ASSET, (resolve(asset_id) or (0, ""))[0]),
    "ids": lambda ids, table: Condition("q.listing_id = ANY(%s)", list(ids)),
    "symbols": lambda symbols, table: Condition(LISTED.format("upper(symbol) = ANY(%s)"), list(symbols)),
    "min_price": lambda price, table: Condition("q.price_usd >= %s", price),
    "max_price": lambda price, table: Condition("q.price_usd <= %s", price),
    "min_market_cap": lambda cap, table: Condition("q.market_cap >= %s", cap),
    "updated_since": lambda time, table: Condition("q.observed_at >= %s", time),
    "stale": lambda wanted, table: Condition(f"{table.fields['is_stale'].sql} = %s", wanted, "s"),
    "delisted": lambda wanted, table: Condition(f"{table.fields['delisted'].sql} = %s", wanted, "l"),
}
ASSET_FILTERS: Mapping[str, Make] = {
    "symbol": lambda part, table: asset_with(part, searching.SYMBOL),
    "search": lambda part, table: asset_with(part, searching.ANY),
    "source": lambda slug, table: Condition(
        "a.id IN (SELECT asset_id FROM assets_listing WHERE source_id = %s)", source_key(slug)
    ),
    "ids": lambda ids, table: Condition("a.slug = ANY(%s)", list(ids)),
    "symbols": lambda symbols, table: Condition("a.symbol = ANY(%s)", list(symbols)),
    "agreement": lambda agreement, table: Condition("a.agreement = %s", agreement),
}


def conditions(asked: Asked, filters: Mapping[str, Make], table: Table) -> list[Condition]:
    return [make(asked[name], table) for name, make in filters.items() if asked.get(name) is not None]


def where(found: Sequence[Condition]) -> tuple[str, list[Any], str]:
    """(SQL, values, aliases that it needs)."""
    return (
        " AND ".join(condition.sql for condition in found) or "true",
        [condition.value for condition in found],
        "".join(condition.needs for condition in found),
    )


def source_key(name: str) -> int:
    """The source's key, 0 for none. Looked up first, for by its value the planner knows how many rows it has."""
    return Source.objects.filter(slug=source_slug(name)).values_list("pk", flat=True).first() or 0


RESOLVE = """
SELECT id, slug FROM (
    SELECT 1 AS nth, asset.id, asset.slug FROM assets_source source
    JOIN assets_listing listing ON listing.source_id = source.id AND listing.source_asset_id = %(own)s
    JOIN assets_asset asset ON asset.id = listing.asset_id
    WHERE source.slug = %(source)s
    UNION ALL
    SELECT 2, asset.id, asset.slug FROM assets_source source
    JOIN assets_listing listing ON listing.source_id = source.id AND listing.source_asset_id = %(id)s
    JOIN assets_asset asset ON asset.id = listing.asset_id
    WHERE source.identity_rank = 1
) found ORDER BY nth LIMIT 1
"""


def resolve(asset_id: str) -> tuple[int, str] | None:
    """(key, present id) of the asset: by its id, by `source:id`, or by an id that it had before."""
    source, _, own = asset_id.partition(":")
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, slug FROM assets_asset WHERE slug = %s", [asset_id])
        if found := cursor.fetchone():
            return found
        cursor.execute(RESOLVE, {"id": asset_id, "source": source_slug(source), "own": own})
        return cursor.fetchone()
