"""Which currency the prices of a file are in: by symbols that are pairs (`BTC/USD`, `1INCHBTC` beside `Volume BTC`), or
by a column that names it.

A price in another currency, and be it in a coin that is worth about a dollar, is not a price in US dollars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ingestion.sources.csv_coin import COINS

_MONEY = """USD EUR GBP JPY TRY BRL KRW AUD CAD CHF CNY INR RUB MXN SGD HKD NZD SEK NOK DKK PLN CZK HUF ZAR THB IDR PHP
VND ILS AED SAR ARS CLP COP NGN UAH TWD MYR"""
MONEY = frozenset(_MONEY.split())
DOLLARS = frozenset(("USD", "$", "US$", "US DOLLAR", "US DOLLARS"))
#: What exchanges quote prices in; the longest spelling first, for `FDUSD` ends in `USD`.
_CURRENCIES = f"FDUSD USDT USDC BUSD TUSD {_MONEY} BTC ETH BNB DAI"
CURRENCIES = _CURRENCIES.split()
_PAIR = re.compile(rf"([A-Za-z0-9]{{1,15}}?)[/_-]({'|'.join(CURRENCIES)})", re.IGNORECASE | re.ASCII)
_GLUED = re.compile(rf"([A-Z0-9]{{2,15}}?)({'|'.join(CURRENCIES)})", re.ASCII)
_SYMBOLS = frozenset(coin.symbol for coin in COINS)
_CODE = re.compile(r"[A-Z]{2,6}", re.ASCII).fullmatch
_VOLUME_OF = re.compile(r"volume[ _]\(?([A-Z0-9]{2,12})\)?", re.IGNORECASE | re.ASCII)


def keep_currency(columns: dict[str, int], sample: Sequence[Sequence[str]]) -> str:
    """Keeps the column that says what each price is in, and returns the currency where none of them is in dollars.

    Under `currency` files hold that, or their coins: it is what all values are money of a state's.
    """
    named = columns.pop("currency", None)
    if named is not None and _in(named, sample) and _in(named, sample) <= MONEY | DOLLARS:
        columns["quoted_in"] = named
        for field in ("symbol", "name"):
            if columns.get(field) == named:
                del columns[field]
    if "quoted_in" not in columns:
        return ""
    currencies = _in(columns["quoted_in"], sample)
    if not currencies or not all(map(_CODE, currencies - DOLLARS)):
        del columns["quoted_in"]
        return ""
    return "" if currencies & DOLLARS else min(currencies)


def _in(column: int, sample: Sequence[Sequence[str]]) -> set[str]:
    return {row[column].upper() for row in sample if row[column]}


class Quoted(NamedTuple):
    """The currency that a file's prices are in, an example that shows it, and the coin if it is one for all rows."""

    currency: str
    example: str
    coin: tuple[str, str] | None


def quote_currency(header: Sequence[str], columns: Mapping[str, int], sample: Sequence[Sequence[str]]) -> Quoted | None:
    """The currency of a file of pairs, None when its symbols are no pairs."""
    if "symbol" not in columns:
        return None
    symbols = {row[columns["symbol"]] for row in sample if row[columns["symbol"]]}
    if not symbols:
        return None
    if len(symbols) == 1:
        (symbol,) = symbols
        volumes = [found[1].upper() for name in header if (found := _VOLUME_OF.fullmatch(name.strip()))]
        for base in volumes:  # CryptoDataDownload: a column for the volume in each of the two
            for currency in volumes:
                if base != currency and re.fullmatch(rf"{base}[/_-]?{currency}", symbol, re.IGNORECASE):
                    return Quoted(currency, symbol, (base, _name_of(base)))
    pairs = [pair_of(symbol) for symbol in symbols]
    if not all(pairs) and "name" not in columns and len(symbols) > 2:
        pairs = [_GLUED.fullmatch(symbol) for symbol in symbols]
        if len({pair[2] for pair in pairs if pair}) > 1:
            return None
    if not all(pairs):
        return None
    found_in = sorted(
        {(pair[2].upper(), pair[0]) for pair in pairs if pair}, key=lambda found: (found[0] != "USD", found)
    )
    return Quoted(*found_in[0], None)


def pair_of(symbol: str) -> re.Match[str] | None:
    """The coin and the currency of a pair. Without a mark between them (`BTCUSDT`) the coin must be a known one, for
    some are called as pairs are: sUSD.
    """
    if pair := _PAIR.fullmatch(symbol):
        return pair
    glued = _GLUED.fullmatch(symbol)
    return glued if glued and glued[1] in _SYMBOLS else None


def _name_of(symbol: str) -> str:
    return next((coin.name for coin in COINS if coin.symbol == symbol), symbol)
