"""Where a price stands at a moment: a pure function of the seed, the coin and the time, so that every source, every
restart and every question about the past get the same answer without anything being stored.

A sum of smooth noises whose size grows with the root of their period looks like a random walk at every scale, and can
be asked for any moment at once; a real walk would have to be walked from its beginning.
"""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b

DAY = 86_400.0
_MASK = (1 << 64) - 1
#: Periods in seconds, one minute to two years, each with the root of its length in days.
_OCTAVES = tuple((60.0 * 4**k, math.sqrt(60.0 * 4**k / DAY) * 0.62) for k in range(11))


@lru_cache(maxsize=65_536)
def walk(seed: int, key: str, at: float) -> float:
    """A number of size 1 for a day's moves, `at` seconds after any fixed moment; continuous in time."""
    salt = _salt(seed, key)
    total = 0.0
    for number, (period, size) in enumerate(_OCTAVES):
        place = at / period
        index = math.floor(place)
        part = place - index
        part = part * part * (3 - 2 * part)
        left = _noise(salt, number, index)
        total += size * (left + (_noise(salt, number, index + 1) - left) * part)
    return total


def jitter(seed: int, key: str, number: int) -> float:
    """A fixed number between -1 and 1 for this key and number."""
    return _noise(_salt(seed, key), 99, number)


@lru_cache(maxsize=65_536)
def _salt(seed: int, key: str) -> int:
    return int.from_bytes(blake2b(f"{seed}:{key}".encode(), digest_size=8).digest(), "big")


def _noise(salt: int, octave: int, index: int) -> float:
    """splitmix64, from -1 to 1."""
    x = (salt + (index & _MASK) * 0x9E3779B97F4A7C15 + octave * 0xD1342543DE82EF95) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((x ^ (x >> 31)) >> 11) / (1 << 52) - 1
