"""Which currency the prices of a file are in, where its symbols are pairs: `BTC/USD`, `1INCHBTC` beside `Volume BTC`.

A price in another currency, and be it in a coin that is worth about a dollar, is not a price in US dollars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ingestion.sources.csv_coin import COINS

#: What exchanges quote prices in; the longest spelling first, for `FDUSD` ends in `USD`.
_CURRENCIES = "FDUSD USDT USDC BUSD TUSD USD EUR GBP JPY TRY BRL KRW AUD CAD CHF BTC ETH BNB DAI"
CURRENCIES = _CURRENCIES.split()
PAIR = re.compile(rf"([A-Za-z0-9]{{1,15}}?)[/_-]({'|'.join(CURRENCIES)})", re.IGNORECASE | re.ASCII)
_GLUED = re.compile(rf"([A-Z0-9]{{2,15}}?)({'|'.join(CURRENCIES)})", re.ASCII)
_VOLUME_OF = re.compile(r"volume[ _]\(?([A-Z0-9]{2,12})\)?", re.IGNORECASE | re.ASCII)


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
    pairs = [PAIR.fullmatch(symbol) for symbol in symbols]
    if not all(pairs) and "name" not in columns and len(symbols) > 2:
        pairs = [_GLUED.fullmatch(symbol) for symbol in symbols]
        if len({pair[2] for pair in pairs if pair}) > 1:
            return None
    if not all(pairs):
        return None
    found_in = sorted({(pair[2].upper(), pair[0]) for pair in pairs if pair}, key=lambda found: found[0] != "USD")
    return Quoted(*found_in[0], None)


def _name_of(symbol: str) -> str:
    return next((coin.name for coin in COINS if coin.symbol == symbol), symbol)
