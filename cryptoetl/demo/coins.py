"""The coins of the demo: real names and ids, figures of 2026-11-01 that this project made up in a plausible size.

`None` means that nobody knows the figure; how a provider writes "unknown" (0, null, nothing) is the provider's matter.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

COINS_CSV = Path(__file__).with_name("coins.csv")

#: How far a coin's price usually moves in a day, where the file says nothing else.
DAILY_SWING = 0.018


@dataclass(frozen=True, slots=True)
class Coin:
    """One real-world coin, and what each source calls it. Money is US dollars on the stated day."""

    symbol: str
    """Lower case, as CoinGecko writes it."""
    name: str
    price: Decimal
    coingecko_id: str = ""
    """Empty where CoinGecko does not list the coin."""
    coinpaprika_id: str = ""
    """Empty where CoinPaprika does not list the coin."""
    coinpaprika_symbol: str = ""
    coinpaprika_name: str = ""
    market_cap: Decimal | None = None
    volume_24h: Decimal | None = None
    percent_change_24h: float = 0.0
    circulating_supply: Decimal | None = None
    total_supply: Decimal | None = None
    max_supply: Decimal | None = None
    ath: Decimal | None = None
    """The highest price ever, at the end of `ath_on`."""
    ath_on: date = date(2025, 1, 20)
    listed_on: date = date(2018, 1, 1)
    swing: float = DAILY_SWING
    """The usual size of a day's move, as a fraction."""
    follows: str = ""
    """CoinGecko's id of the coin whose ups and downs this one shares (wrapped, staked and bridged ones)."""
    coinpaprika_off: float = 0.0
    """How many percent CoinPaprika's price lies beside CoinGecko's."""
    csv_off: float = 0.0
    contract: str = ""
    """Address on Ethereum, lower case."""
    traits: frozenset[str] = frozenset()
    """stable, wrapped, stale, delisted, unranked, csv (also quoted by the CSV exchange)."""

    @property
    def key(self) -> str:
        """What tests and the market call the coin: CoinGecko's id, else CoinPaprika's, else the symbol."""
        return self.coingecko_id or self.coinpaprika_id or self.symbol

    @property
    def walk_key(self) -> str:
        """Coins with one key move together."""
        return self.follows or self.key


@cache
def bundled_coins() -> tuple[Coin, ...]:
    """All coins of coins.csv, the largest first."""
    with COINS_CSV.open(encoding="utf-8", newline="") as lines:
        return tuple(_coin(row) for row in csv.DictReader(lines))


def make_coin(
    coingecko_id: str = "", *, symbol: str = "", name: str = "", price: Decimal | str | int = 1, **more: Any
) -> Coin:
    """A coin for a test; what is left out is derived (`new-coin` is New Coin, NEW, `new-new-coin` at CoinPaprika)."""
    name = name or coingecko_id.replace("-", " ").title()
    symbol = (symbol or re.sub(r"\W", "", name)[:3]).lower()
    price = Decimal(price)
    supply = more.pop("circulating_supply", Decimal(1_000_000))
    more.setdefault("coinpaprika_id", f"{_slug(symbol)}-{_slug(name)}")
    more.setdefault("market_cap", None if supply is None else (price * supply).quantize(Decimal(1)))
    more.setdefault("volume_24h", Decimal(100_000))
    more.setdefault("total_supply", supply)
    more.setdefault("traits", frozenset({"csv"}) if supply is not None else frozenset({"csv", "unranked"}))
    return Coin(symbol=symbol, name=name, price=price, coingecko_id=coingecko_id, circulating_supply=supply, **more)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _coin(row: dict[str, str]) -> Coin:
    def number(column: str) -> Decimal | None:
        return Decimal(row[column]) if row[column] else None

    return Coin(
        symbol=row["symbol"],
        name=row["name"],
        price=Decimal(row["price_usd"]),
        coingecko_id=row["coingecko_id"],
        coinpaprika_id=row["coinpaprika_id"],
        coinpaprika_symbol=row["coinpaprika_symbol"],
        coinpaprika_name=row["coinpaprika_name"],
        market_cap=number("market_cap_usd"),
        volume_24h=number("volume_24h_usd"),
        percent_change_24h=float(row["percent_change_24h"]),
        circulating_supply=number("circulating_supply"),
        total_supply=number("total_supply"),
        max_supply=number("max_supply"),
        ath=number("ath_usd"),
        ath_on=date.fromisoformat(row["ath_on"]),
        listed_on=date.fromisoformat(row["listed_on"]),
        swing=float(row["swing"] or DAILY_SWING),
        follows=row["follows"],
        coinpaprika_off=float(row["coinpaprika_off"] or 0),
        csv_off=float(row["csv_off"] or 0),
        contract=row["contract"],
        traits=frozenset(row["traits"].split()),
    )
