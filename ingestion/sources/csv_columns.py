"""What the columns of a CSV hold: the names that people and programs give them, and what their values say beside that.

A header is compared without case, accents, spaces and punctuation (`Cap. de Mercado`, `market_cap`, `marketCap`). Of
several columns that fit, the one whose name stands first in ALIASES is taken; every other column is left alone, among
them `Vol.` of Investing.com and `Volume BTC`, which count coins and not dollars.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ingestion.sources.figures import SIGNS

#: Each field of a record, and the headers under which it is found, best first.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": (
        # As our own export calls it, whose `id` counts rows.
        "source asset id",
        *("id", "coin id", "crypto id", "asset id", "coingecko id", "coinpaprika id", "coin slug", "slug", "api id"),
    ),
    "url": ("url", "link", "coinmarketcap url", "coin url", "href"),
    "symbol": (
        *("symbol", "ticker", "ticker symbol", "coin symbol", "crypto symbol", "currency code", "code", "sym"),
        *("name abr", "abbr", "abbreviation", "short name", "símbolo", "sigla", "kürzel", "asset symbol"),
        *("base", "base asset", "base currency"),
    ),
    "name": (
        *("name", "coin name", "crypto name", "currency name", "asset name", "coin", "cryptocurrency", "crypto"),
        *("currency", "asset", "nombre", "nome", "moneda", "moeda", "criptomoneda", "criptomoeda"),
        *("währung", "kryptowährung", "münze", "bezeichnung"),
    ),
    "price_usd": (
        *("price usd", "usd price", "current price usd", "current price", "price", "price $", "price in usd"),
        *("price value", "market price", "last price", "last price usd", "last", "close", "close price"),
        *(
            "closing price",
            "close usd",
            "adj close",
            "precio",
            "precio usd",
            "preço",
            "preço usd",
            "preis",
            "preis usd",
        ),
        *("kurs", "último", "ultimo precio", "cierre", "fechamento", "zuletzt", "schluss", "schlusskurs", "dernier"),
    ),
    "market_cap": (
        *("market cap", "market cap usd", "market cap $", "mcap", "mkt cap", "marketcapitalization", "capitalization"),
        *("market", "cap mrkt cur usd", "cap de mercado", "capitalización de mercado", "capitalización"),
        *("capitalização de mercado", "capitalização", "valor de mercado", "marktkapitalisierung", "marktkap"),
    ),
    "volume_24h": (
        *(
            "volume 24h",
            "volume 24h usd",
            "24h volume",
            "24h volume usd",
            "total volume",
            "volume usd",
            "volume usd 24h",
            "quote asset volume",
        ),
        *("volume notional", "quote volume", "day volume", "daily volume", "24h vol", "volume $", "volume"),
        *("volume 24hr", "volume usd 24hr", "vol 24h"),
        *("volumen 24h", "volumen", "volume 24 h", "handelsvolumen", "handelsvolumen 24h", "volume negociado"),
    ),
    "percent_change_24h": (
        *("percent change 24h", "price change percentage 24h", "change 24h %", "24h %", "% 24h", "24h change %"),
        *("24h change", "change 24h", "change 24", "24h", "change %", "% change", "daily change %", "percent change"),
        *("% change 24h", "percent change 24hr", "change percent 24h", "change percent 24hr", "change percent"),
        *("var %", "% var", "variación %", "variação %", "cambio %", "+/- %", "veränderung %", "change 24 h"),
    ),
    "rank": (
        *("rank", "market cap rank", "cmc rank", "coin rank", "rank now", "rnk", "#", "ranking", "rango", "posición"),
        *("market rank", "posição", "rang", "platz"),
    ),
    "circulating_supply": (
        *("circulating supply", "available supply", "supply", "oferta circulante", "suministro circulante"),
        *("fornecimento circulante", "umlaufmenge", "umlaufende menge", "umlaufversorgung"),
    ),
    "total_supply": ("total supply", "oferta total", "suministro total", "fornecimento total", "gesamtmenge"),
    "max_supply": ("max supply", "maximum supply", "oferta máxima", "suministro máximo", "maximale menge"),
    "observed_at": (
        *("observed at", "last updated", "last updated at", "updated at", "snapped at", "unix", "unix timestamp"),
        *("timestamp", "unix time", "datetime", "date time", "time close", "close time", "date", "day", "time"),
        *("time open", "open time", "fecha", "data", "datum", "fecha hora", "data hora", "zeit", "dend"),
        *("last update", "updated", "update time", "as of", "quoted at", "recorded at", "fetched at", "scraped at"),
        *("collected at", "retrieved at", "ts"),
    ),
    "time_of_day": ("time", "hour", "hora", "uhrzeit", "zeit", "dendtime"),
    "quoted_in": ("quote currency", "price currency", "vs currency", "quote asset", "quote", "fiat"),
    "currency": ("currency", "currency code", "currency name", "moneda", "moeda", "divisa", "währung"),
}

#: The fields of which a record needs at least one beside the coin's identity.
FIGURES = ("price_usd", "market_cap", "volume_24h", "percent_change_24h", "rank", "circulating_supply", "total_supply")


def plain(header: str) -> str:
    """A header without what differs between two spellings of it: `Cap. de Mercado` and `capDeMercado` are one."""
    text = unicodedata.normalize("NFKD", header).casefold()
    text = "".join(character for character in text if not unicodedata.combining(character))
    text = text.replace("%", "pct").replace("us$", "usd").replace("$", "usd").replace("ß", "ss")
    # A sign of money stays: `Price (€)` is no `Price`.
    return re.sub(rf"[^\w#{SIGNS}]|_", "", text)


#: What a header of times may end in: `Date(UTC)`, `timestamp_utc`. One of another zone is no such header.
ZONES = ("", "utc", "gmt")

_FIELDS: dict[str, list[tuple[int, str]]] = {}
for _field, _names in ALIASES.items():
    for _place, _name in enumerate(_names):
        for _zone in ZONES if _field in ("observed_at", "time_of_day") else ZONES[:1]:
            _FIELDS.setdefault(plain(_name) + _zone, []).append((_place, _field))


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Which column holds which field, going by the header alone."""
    found: dict[str, tuple[int, int]] = {}
    for index, name in enumerate(header):
        for place, field in _FIELDS.get(plain(name), ()):
            if field not in found or place < found[field][0]:
                found[field] = (place, index)
    return {field: index for field, (_, index) in found.items()}


def known_names(cells: Sequence[str]) -> int:
    """How many of the cells are headers that are known."""
    return sum(plain(cell) in _FIELDS for cell in cells)


def unique(header: Sequence[str]) -> list[str]:
    """The header with every column named, and no name twice: what an item's fields are called."""
    names: list[str] = []
    for index, cell in enumerate(header, 1):
        name = " ".join(cell.split()) or f"column {index}"
        names.append(name if name not in names else f"{name} ({index})")
    return names
