"""What a coin costs at a source at a moment, exactly: the figures of coins.csv, moved by the walk.

Where sources agree they lie within 0.2 percent of each other; where coins.csv says that one disagrees, it lies beside.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from functools import lru_cache

from cryptoetl.demo.generated import AnyCoin, GeneratedCoin
from cryptoetl.demo.walk import DAY, jitter, walk

_NOISE = {"coingecko": 0.0, "coinpaprika": 0.0008, "csv": 0.0006}
_PRICE = Context(prec=16)


def price_at(coin: AnyCoin, at: float, source: str, seed: int, interval: float) -> Decimal:
    """Dollars `at` seconds after the moment at which coins.csv is true."""
    if isinstance(coin, GeneratedCoin):
        return coin.price_on(round(at / interval))
    noise = _NOISE[source] * (0.2 if coin.swing < 0.01 else 1.0)
    beside = noise and noise * jitter(seed, f"{source}:{coin.key}", math.floor(at / interval))
    beside += {"coinpaprika": coin.coinpaprika_off, "csv": coin.csv_off}.get(source, 0.0) / 100
    factor = math.exp(_drift(seed, coin, at)) * (1 + beside)
    # Ten digits of the float, then exact: the last bits of exp() may differ between machines, prices may not.
    return _PRICE.multiply(coin.price, Decimal(f"{factor:.10g}"))


@lru_cache(maxsize=16_384)
def _origin(seed: int, coin: AnyCoin) -> tuple[float, float]:
    """Where the walk stands at the beginning, and what its first day lacks to be the change that coins.csv states."""
    here = _walked(seed, coin, 0.0)
    return here, math.log1p(coin.percent_change_24h / 100) - (here - _walked(seed, coin, -DAY))


def _drift(seed: int, coin: AnyCoin, at: float) -> float:
    """The logarithm of the price over that of the beginning."""
    here, lacking = _origin(seed, coin)
    return _walked(seed, coin, at) - here + lacking * max(-1.0, min(0.0, at / DAY))


def _walked(seed: int, coin: AnyCoin, at: float) -> float:
    """Every coin follows the whole market a little, and its own way more."""
    return coin.swing * (0.6 * walk(seed, "the market", at) + 0.8 * walk(seed, coin.walk_key, at))
