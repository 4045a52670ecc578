"""One row of a CSV as an AssetRecord, by the meaning that was found for its file.

The id is the file's own id of the coin; without one the last part of the coin's address, or `btc-bitcoin` made of
symbol and name, or what there is of the two. 0 is unknown for a price, a market cap, a supply and a rank: lists write
it for what they don't know, and round small prices to it. A row without a time is observed when its file was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from assets.records import MAX_TEXT, AssetRecord
from ingestion.errors import Malformed
from ingestion.source import PageFacts
from ingestion.sources import coinmarketcap_cells, figures
from ingestion.sources.csv_meaning import COIN_URL, Meaning
from ingestion.sources.csv_pairs import DOLLARS, pair_of
from ingestion.sources.dates import read_time
from ingestion.sources.json_items import AHEAD, GENESIS, sane_text, sane_time

#: The figures of a record, in its order: they are handed over by place, which is faster than by name.
FIGURES = tuple(name for name in AssetRecord._fields if name != "contracts")[4:]

#: What is written for "unknown" and is no coin's symbol or name, as NULL and NA are.
NO_WORDS = frozenset(text for text in figures.UNKNOWN if not text.isalnum())

Row = Mapping[str, str]
Identity = tuple[str, str, str]
"""Id, symbol and name."""


def row_reader(page: PageFacts) -> Callable[[Row], AssetRecord]:
    """What makes records of the rows of this page, made once for all. It raises Malformed with the field's name."""
    meaning, column = _meaning(page)
    identity, time, readers = _identity(meaning, column), _time(meaning, column, page), _figures(meaning, column)
    currency_column = column.get("quoted_in")

    def read(row: Row) -> AssetRecord:
        key, symbol, name = identity(row)
        observed_at = time(row)
        if currency_column and (currency := row[currency_column].strip().upper()) and currency not in DOLLARS:
            raise Malformed(f"The price of {symbol or name} is in {currency[:20]}, not in US dollars.", "price_usd")
        values: list[Any] = [None] * len(FIGURES)
        try:
            for place, header, figure in readers:
                values[place] = figure(row[header])
        except ValueError as error:
            raise Malformed(f"{header} {error}", FIGURES[place]) from None
        return AssetRecord(key, symbol, name, observed_at, *values)

    return read


def coin_reader(page: PageFacts) -> Callable[[Row], str]:
    """What says which coin a row is about, whatever its figures are. It raises Malformed where the row does not say."""
    identity = _identity(*_meaning(page), base=_coin_of_pair)
    return lambda row: identity(row)[0]


def _meaning(page: PageFacts) -> tuple[Meaning, dict[str, str]]:
    """What the columns of the page mean, and how those that mean something are called."""
    meaning = Meaning(**{fact.name: page.meta[fact.name] for fact in fields(Meaning)})
    return meaning, {field: page.meta["header"][index] for field, index in meaning.columns.items()}


def _figures(meaning: Meaning, column: Mapping[str, str]) -> list[tuple[int, str, Callable[[str], Any]]]:
    """For each figure that the file has: its place in FIGURES, its column, and how to read it."""
    mark = meaning.decimal
    dollars, amount = figures.money(mark, zero_is_unknown=True), figures.amount(mark)
    volume = dollars if meaning.zero_volume_is_unknown else figures.money(mark)
    readers: dict[str, Callable[[str], Decimal | int | None]] = {
        "price_usd": dollars,
        "market_cap": dollars,
        "volume_24h": volume,
        "percent_change_24h": figures.percentage(mark),
        "rank": figures.rank,
        "circulating_supply": amount,
        "total_supply": amount,
        "max_supply": amount,
    }
    if meaning.front_page:
        readers["market_cap"] = lambda text: dollars(coinmarketcap_cells.market_cap(text))
        readers["volume_24h"] = lambda text: volume(coinmarketcap_cells.volume(text))
        del readers["percent_change_24h"], readers["circulating_supply"]
    return [
        (place, column[field], readers[field])
        for place, field in enumerate(FIGURES)
        if field in readers and field in column
    ]


def _identity(
    meaning: Meaning, column: Mapping[str, str], base: Callable[[str], str] | None = None
) -> Callable[[Row], Identity]:
    """Which coin a row is about; `base` says it of a pair."""
    base = base or _base
    if meaning.coin:
        whole = _identified("", *meaning.coin)
        return lambda row: whole
    id_column, url_column = column.get("id"), column.get("url")
    symbol_column, name_column = column.get("symbol"), column.get("name")
    supply_column = column.get("circulating_supply")
    as_it_stands = not (meaning.pairs or meaning.symbol_before_name or meaning.front_page or url_column)

    def read(row: Row) -> Identity:
        key = row[id_column] if id_column else ""
        symbol = row[symbol_column] if symbol_column else ""
        name = row[name_column] if name_column else ""
        if as_it_stands:
            return _identified(key, symbol, name)
        if url_column and (address := COIN_URL.fullmatch(row[url_column].strip())):
            key = address[1].lower()
        if meaning.pairs:
            symbol = base(symbol.strip())
        if meaning.symbol_before_name and name.startswith(symbol):
            name = name[len(symbol) :] or name
        if meaning.front_page:
            try:
                symbol, name = coinmarketcap_cells.coin(name, row[supply_column] if supply_column else "")
            except ValueError as error:
                raise Malformed(f"{name_column} {error}", "name") from None
        return _identified(key, symbol, name)

    return read


@lru_cache(maxsize=16384)
def _identified(key: str, symbol: str, name: str) -> Identity:
    """Id, symbol and name as they are stored. Raises Malformed for what can't be, and when all three are missing."""
    key, symbol, name = key.strip(), symbol.strip(), name.strip()
    known_key = "" if key.casefold() in figures.UNKNOWN else key
    known = (known_key, *("" if text.casefold() in NO_WORDS else text for text in (symbol, name)))
    if any(known):  # There is a coin called "-" throughout.
        key, symbol, name = known
    if not (key or symbol or name):
        raise Malformed("The row names no coin.", "source_asset_id")
    name = name or (_name_from_id(key, symbol) if key and not key.isdigit() else symbol.upper())
    for field, text in (("source_asset_id", key), ("symbol", symbol), ("name", name)):
        if not (text.isascii() and text.isprintable() and len(text) <= MAX_TEXT):
            sane_text(text, field)
    return key or sane_text(_slug(symbol, name), "source_asset_id"), symbol.upper(), name


def _slug(symbol: str, name: str) -> str:
    """`btc-bitcoin`: the key of a coin in a file that has no keys of its own."""
    text = name if symbol.casefold() in ("", name.casefold()) else f"{symbol} {name}"
    return re.sub(r"\W+", "-", text.lower()).strip("-") or text


def _name_from_id(key: str, symbol: str) -> str:
    """`Binance Coin` from `binance-coin` or `bnb-binance-coin`: the file's own word, written as names are."""
    words = key.removeprefix(f"{symbol.lower()}-").replace("_", "-").split("-")
    return " ".join(word[:1].upper() + word[1:] for word in words if word)


def _base(symbol: str) -> str:
    """The coin of a pair with the US dollar. Raises Malformed for another pair."""
    pair = pair_of(symbol)
    if pair is None:
        return symbol
    if pair[2].upper() != "USD":
        raise Malformed(f"The price of {symbol} is in {pair[2].upper()}, not in US dollars.", "price_usd")
    return pair[1]


def _coin_of_pair(symbol: str) -> str:
    """As `_base`; a pair with another currency is none of the file's coins, and called as it stands."""
    try:
        return _base(symbol)
    except Malformed:
        return symbol


def _time(meaning: Meaning, column: Mapping[str, str], page: PageFacts) -> Callable[[Row], datetime]:
    """When a row was observed."""
    time_column, clock_column = column.get("observed_at"), column.get("time_of_day")
    if not time_column:
        written_at = datetime.fromisoformat(page.meta["observed_at"]).astimezone(UTC)
        return lambda row: written_at
    day_first, latest = meaning.day_first, page.received_at + AHEAD

    def read(row: Row) -> datetime:
        text = f"{row[time_column].strip()} {row[clock_column].strip()}" if clock_column else row[time_column]
        try:
            observed_at = read_time(text, day_first)
        except ValueError as error:
            raise Malformed(f"{time_column} {error}", "observed_at") from None
        if GENESIS <= observed_at <= latest:
            return observed_at
        return sane_time(observed_at, "observed_at", page.received_at)

    return read
