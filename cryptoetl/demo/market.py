"""The market behind every source of the demo: what each coin costs now, cost before, and when that was seen.

A price is a pure function of (seed, tick): two sources, two servers and a server started again agree to the last digit.
A live market takes its tick from the clock; a test's market stands still until the test moves it, so that "nothing
changed upstream" can be told from "a little time went by".
"""

from __future__ import annotations

import math
import threading
import time
from bisect import insort
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from cryptoetl.demo.coins import Coin
from cryptoetl.demo.generated import AnyCoin, GeneratedCoin
from cryptoetl.demo.numbers import WIDE
from cryptoetl.demo.pricing import price_at
from cryptoetl.demo.walk import jitter, walk

#: Tick 0 of a live market; the figures of coins.csv are those of this moment.
EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
#: The words that a market knows for its sources.
SOURCES = ("coingecko", "coinpaprika", "csv")


class Market:
    """Coins, their prices over time, and which source lists which of them. Safe to use from many threads."""

    def __init__(
        self,
        coins: Iterable[AnyCoin],
        *,
        seed: int = 1,
        interval: float = 60.0,
        live: bool = False,
        started_at: datetime | None = None,
        stale_by: timedelta = timedelta(hours=5),
        delist_after: timedelta | None = None,
    ) -> None:
        self.seed = seed
        self.interval = interval
        self.live = live
        self.stale_by = stale_by
        self.delist_after = delist_after
        self.started_at = started_at or datetime.fromtimestamp(round(time.time(), 3), UTC)
        self._fixed_times = started_at is not None
        self._lock = threading.RLock()
        self._coins: dict[str, AnyCoin] = {coin.key: coin for coin in coins}
        self._large = len(self._coins) > 5_000
        self._times = [self.started_at.timestamp()]
        self._tick = 0
        self._own_ticks: dict[str, int] = {}
        self._prices: dict[tuple[str, str], Decimal] = {}
        self._gone: set[tuple[str, str]] = set()
        self._born: dict[str, float] = {}
        self._changes = 0
        self._ranked: dict[str, tuple[tuple[int, int, bool], list[tuple[AnyCoin, int | None]]]] = {}

    # What a test may do to the market.

    def change_prices(self, ids: Iterable[str] | None = None, *, share: float = 1.0) -> None:
        """Every price (of these ids, of this share of the coins) moves by a tick; its time of observation too."""
        with self._lock:
            if ids is None and share >= 1:
                self._tick = self._next_tick()
                self._own_ticks.clear()
                return
            wanted = [self.coin(name).key for name in ids] if ids is not None else self._sample(share)
            tick = self._next_tick()
            self._own_ticks.update(dict.fromkeys(wanted, tick))

    def set_price(self, name: str, price: Decimal | None, *, source: str = "") -> None:
        """From now on the coin costs exactly this (everywhere, or at one source); None gives it back to the walk."""
        with self._lock:
            key = self.coin(name).key
            if price is None:
                self._prices.pop((source, key), None)
            else:
                self._prices[source, key] = price
            self._own_ticks[key] = self._next_tick()

    def remove(self, name: str, *, source: str = "") -> None:
        """The coin is listed no longer (anywhere, or at one source)."""
        with self._lock:
            key = self.coin(name).key
            self._gone.update((one, key) for one in ([source] if source else SOURCES))
            self._changes += 1

    def add(self, coin: Coin) -> Coin:
        """The coin is listed from now on, at its price; a removed one comes back."""
        with self._lock:
            if self._large and coin.key not in self._coins:
                ordered = list(self._coins.values())
                insort(ordered, coin, key=lambda one: -(one.market_cap or Decimal(0)))
                self._coins = {one.key: one for one in ordered}
            self._coins[coin.key] = coin
            self._gone.difference_update((one, coin.key) for one in SOURCES)
            self._own_ticks[coin.key] = self._next_tick()
            self._born[coin.key] = self.tick_of(coin) * self.interval
        return coin

    # What the sources ask.

    @property
    def version(self) -> tuple[int, int, bool]:
        """Another one whenever any answer may be another one."""
        return self._changes, self.tick, self._delisting_is_over()

    @property
    def origin(self) -> datetime:
        """The moment at which the walk begins, and every coin costs what coins.csv says."""
        return EPOCH if self.live else self.started_at

    @property
    def tick(self) -> int:
        if self.live:
            return math.floor((time.time() - EPOCH.timestamp()) / self.interval)
        return self._tick

    def coin(self, name: str) -> AnyCoin:
        """By CoinGecko's id, else by CoinPaprika's. KeyError if no source ever listed it."""
        coin = self._coins.get(name) or next((one for one in self._coins.values() if one.coinpaprika_id == name), None)
        if coin is None:
            raise KeyError(f"the market has no coin {name!r}")
        return coin

    def coins(self) -> list[AnyCoin]:
        """All that were ever listed."""
        with self._lock:
            return list(self._coins.values())

    def listed(self, source: str, coin: AnyCoin) -> bool:
        """Whether the source shows the coin now."""
        if (self._gone and (source, coin.key) in self._gone) or (
            "delisted" in coin.traits and self._delisting_is_over()
        ):
            return False
        if source == "csv":
            return "csv" in coin.traits
        return bool(coin.coingecko_id if source == "coingecko" else coin.coinpaprika_id)

    def ranked(self, source: str) -> list[tuple[AnyCoin, int | None]]:
        """What the source lists, largest market cap first, with its rank.

        CoinGecko ranks neither a coin without a known supply nor a wrapped one; CoinPaprika ranks them all.
        """
        with self._lock:
            version = self.version
            known = self._ranked.get(source)
            if known is None or known[0] != version:
                known = self._ranked[source] = (version, self._rank(source))
            return known[1]

    def seconds(self, coin: AnyCoin) -> float:
        """Where the coin stands on the walk, in seconds after EPOCH."""
        if "stale" in coin.traits:
            return 0.0
        return self.tick_of(coin) * self.interval - self._born.get(coin.key, 0.0)

    def observed_at(self, coin: AnyCoin, source: str = "coingecko") -> datetime:
        """The source's time of its newest word on the coin."""
        if isinstance(coin, GeneratedCoin):
            return self._time_of(self.tick_of(coin))
        lag = (jitter(self.seed, f"lag:{source}:{coin.key}", 0) + 1) / 2 * min(45.0, self.interval * 0.8)
        if "stale" in coin.traits:
            return self.started_at - self.stale_by - timedelta(seconds=round(lag, 3))
        return self._time_of(self.tick_of(coin)) - timedelta(seconds=round(lag, 3))

    def is_fixed(self, coin: AnyCoin, source: str) -> bool:
        """Whether a test has set the price; it is then served to the last digit, never rounded."""
        if not self._prices:
            return False
        return (source, coin.key) in self._prices or ("", coin.key) in self._prices

    def price(self, coin: AnyCoin, source: str = "coingecko", *, ago: float = 0.0) -> Decimal:
        """Dollars now, or so many seconds before the coin's newest word."""
        if ago == 0:
            fixed = self._prices.get((source, coin.key), self._prices.get(("", coin.key)))
            if fixed is not None:
                return fixed
        return self.price_at(coin, self.seconds(coin) - ago, source)

    def price_at(self, coin: AnyCoin, at: float, source: str = "coingecko") -> Decimal:
        """Dollars `at` seconds after the origin, by the walk alone."""
        return price_at(coin, at, source, self.seed, self.interval)

    def market_cap(self, coin: AnyCoin, source: str = "coingecko", *, ago: float = 0.0) -> Decimal | None:
        """Whole dollars; None where the supply is unknown."""
        if coin.circulating_supply is None:
            return None
        return (self.price(coin, source, ago=ago) * coin.circulating_supply).quantize(Decimal(1), context=WIDE)

    def volume_24h(self, coin: AnyCoin, at: float | None = None) -> Decimal:
        """Dollars traded in a day, to the cent."""
        at = self.seconds(coin) if at is None else at
        size = walk(self.seed, f"volume:{coin.key}", at) - walk(self.seed, f"volume:{coin.key}", 0.0)
        volume = (coin.volume_24h or Decimal(0)) * Decimal(f"{math.exp(0.25 * math.tanh(size)):.10g}")
        return volume.quantize(Decimal("0.01"), context=WIDE)

    def percent_change(self, coin: AnyCoin, ago: float, source: str = "coingecko") -> float:
        """Percent since `ago` seconds before the coin's newest word."""
        before = self.price(coin, source, ago=ago)
        return float((self.price(coin, source) - before) / before * 100) if before else 0.0

    # How it is kept.

    def _time_of(self, tick: int) -> datetime:
        if self.live:
            return EPOCH + timedelta(seconds=tick * self.interval)
        if self._fixed_times:
            return self.started_at + timedelta(seconds=tick * self.interval)
        return datetime.fromtimestamp(self._times[tick], UTC)

    def _next_tick(self) -> int:
        self._changes += 1
        if not self.live:
            self._times.append(max(round(time.time(), 3), self._times[-1] + 1.0))
            return len(self._times) - 1
        return self.tick

    def tick_of(self, coin: AnyCoin) -> int:
        """How many ticks the coin has gone; a coin moved alone has gone on its own."""
        if self.live:
            return self.tick
        return self._own_ticks.get(coin.key, self._tick) if self._own_ticks else self._tick

    def _sample(self, share: float) -> list[str]:
        """The same coins for the same seed and state, spread over the whole market."""
        return [key for key in self._coins if jitter(self.seed, f"sample:{key}", len(self._times)) < 2 * share - 1]

    def _delisting_is_over(self) -> bool:
        return self.delist_after is not None and datetime.now(UTC) - self.started_at >= self.delist_after

    def _rank(self, source: str) -> list[tuple[AnyCoin, int | None]]:
        coins = [coin for coin in self._coins.values() if self.listed(source, coin)]
        if not self._large:
            coins.sort(key=lambda coin: -(self.market_cap(coin, source) or Decimal(0)))
        ranked: list[tuple[AnyCoin, int | None]] = []
        rank = 0
        for coin in coins:
            if source == "coingecko" and (coin.circulating_supply is None or "wrapped" in coin.traits):
                ranked.append((coin, None))
            else:
                rank += 1
                ranked.append((coin, rank))
        return ranked
