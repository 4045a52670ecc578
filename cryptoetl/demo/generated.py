"""Coins out of a number, for tests and benches that need ten thousand or two hundred thousand of them.

A generated coin is its index and nothing else; its JSON is filled into a template with whole-number arithmetic, so that
the server is not what a bench measures.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from cryptoetl.demo.coins import Coin

_UNIT = 10**8


class GeneratedCoin:
    """Answers like a Coin. The market cap falls with the index, so the order of creation is the order of the market."""

    __slots__ = ("index",)

    contract = follows = coinpaprika_symbol = coinpaprika_name = ""
    coinpaprika_off = csv_off = percent_change_24h = 0.0
    swing = 0.018
    max_supply = None
    ath_on = date(2025, 1, 20)
    listed_on = date(2020, 1, 1)
    traits = frozenset({"csv"})

    def __init__(self, index: int) -> None:
        self.index = index

    @property
    def key(self) -> str:
        return f"coin-{self.index:06d}"

    coingecko_id = walk_key = key

    @property
    def coinpaprika_id(self) -> str:
        return f"c{self.index:06d}-coin-{self.index:06d}"

    @property
    def symbol(self) -> str:
        return f"c{self.index:06d}"

    @property
    def name(self) -> str:
        return f"Coin {self.index:06d}"

    @property
    def price(self) -> Decimal:
        return Decimal(self._base()).scaleb(-8)

    @property
    def ath(self) -> Decimal:
        return self.price * 2

    @property
    def supply(self) -> int:
        return 1_000_000 + 7 * self.index

    @property
    def circulating_supply(self) -> Decimal:
        return Decimal(self.supply)

    total_supply = circulating_supply

    @property
    def market_cap(self) -> Decimal:
        return Decimal(self._base() * self.supply // _UNIT)

    @property
    def volume_24h(self) -> Decimal:
        return Decimal(self._base() * self.supply // _UNIT // 20)

    def price_on(self, tick: int) -> Decimal:
        return Decimal(self.units_on(tick)).scaleb(-8)

    def units_on(self, tick: int) -> int:
        """The price in hundred-millionths of a dollar, within 1 percent of its base; another one on every tick."""
        if tick == 0:
            return self._base()
        step = ((self.index * 2_654_435_761 + tick * 40_503) ^ (tick * 97)) % 1_999 - 999
        return self._base() * (100_000 + step) // 100_000 + tick % 7 + 1

    def _base(self) -> int:
        return 5_000_000_000_000 // (self.index + 1) + 1_234_567


#: Whatever a market may hold.
AnyCoin = Coin | GeneratedCoin


def generated_coins(count: int) -> list[GeneratedCoin]:
    return [GeneratedCoin(index) for index in range(count)]


_COINGECKO = (
    '{"id":"coin-%06d","symbol":"c%06d","name":"Coin %06d",'
    '"image":"https://coin-images.coingecko.com/coins/images/%d/large/coin.png?1696501400",'
    '"current_price":%d.%08d,"market_cap":%d,"market_cap_rank":%d,"fully_diluted_valuation":%d,"total_volume":%d,'
    '"high_24h":%d.%08d,"low_24h":%d.%08d,"price_change_24h":%d.%02d,"price_change_percentage_24h":%.5f,'
    '"market_cap_change_24h":%d,"market_cap_change_percentage_24h":%.5f,"circulating_supply":%d.0,"total_supply":%d.0,'
    '"max_supply":null,"ath":%d.0,"ath_change_percentage":-50.0,"ath_date":"2025-01-20T09:11:54.494Z","atl":0.01,'
    '"atl_change_percentage":1234.5,"atl_date":"2020-03-13T00:00:00.000Z","roi":null,"last_updated":"%s"%s}'
)

_COINPAPRIKA = (
    '{"id":"c%06d-coin-%06d","name":"Coin %06d","symbol":"C%06d","rank":%d,%s"total_supply":%d,"max_supply":0,'
    '"beta_value":1.03,"first_data_at":"2020-01-01T00:00:00Z","last_updated":"%s","quotes":{"USD":{"price":%d.%08d,'
    '"volume_24h":%d.5,"volume_24h_change_24h":3.2,"market_cap":%d,"market_cap_change_24h":%.2f,"percent_change_15m":0.01,'
    '"percent_change_30m":0.02,"percent_change_1h":0.1,"percent_change_6h":0.2,"percent_change_12h":0.3,'
    '"percent_change_24h":%.2f,"percent_change_7d":1.5,"percent_change_30d":0,"percent_change_1y":0,"ath_price":%d,'
    '"ath_date":"2025-01-20T09:11:54Z","percent_from_price_ath":-50.1}}}'
)


def coingecko_item(coin: GeneratedCoin, tick: int, rank: int, last_updated: str, changes: str) -> str:
    index, units, supply = coin.index, coin.units_on(tick), coin.supply
    before = coin._base()
    cap = units * supply // _UNIT
    percent = (units - before) * 100 / before
    whole, part = divmod(units, _UNIT)
    high, high_part = divmod(max(units, before), _UNIT)
    low, low_part = divmod(min(units, before), _UNIT)
    figures = (index, index, index, index + 1, whole, part, cap, rank, cap, cap // 20, high, high_part, low, low_part)
    moves = ((units - before) // _UNIT, 25, percent, cap - before * supply // _UNIT, percent)
    return _COINGECKO % (*figures, *moves, supply, supply, 2 * before // _UNIT + 1, last_updated, changes)


def coinpaprika_item(coin: GeneratedCoin, tick: int, rank: int, last_updated: str, *, circulating: bool) -> str:
    index, units, supply = coin.index, coin.units_on(tick), coin.supply
    before = coin._base()
    cap = units * supply // _UNIT
    percent = (units - before) * 100 / before
    known = f'"circulating_supply":{supply},' if circulating else ""
    whole, part = divmod(units, _UNIT)
    names = (index, index, index, index)
    figures = (
        rank,
        known,
        supply,
        last_updated,
        whole,
        part,
        cap // 20,
        cap,
        percent,
        percent,
        2 * before // _UNIT + 1,
    )
    return _COINPAPRIKA % (*names, *figures)
