"""Whether the figures of two listings speak for one coin or for two: price, market cap, supply and rank. Pure.

A figure that a source did not give says nothing. Prices are held against each other only when both are of one time, and
a price near one dollar is no likeness, because every stablecoin has it. A price alone never tells a coin from a token
that is pegged to it; its size (supply, market cap, rank) does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

#: Prices and market caps of two times further apart than this are not compared.
SAME_TIME = timedelta(days=3)
PRICE_AGREES = Decimal("1.05")
#: Sources are late and thin markets differ by half; what is apart by more than this is another coin, or a stale price.
PRICE_APART = Decimal(3)
CAP_AGREES = Decimal("1.10")
CAP_APART = Decimal(10)
SUPPLY_AGREES = Decimal("1.02")
RANK_AGREES = Decimal("1.25")
#: Below this place so many coins are near each other that a near rank says nothing.
RANK_TELLS = 500
RANK_APART = Decimal(10)
#: Far down the list ranks move by hundreds from one source to the next.
RANK_PLACES_APART = 300
PEG = (Decimal("0.97"), Decimal("1.03"))
#: A supply of fewer significant digits (1,000,000,000) is a round number that thousands of tokens share.
TELLING_DIGITS = 4


class Figured(Protocol):
    """What this module reads of a listing."""

    @property
    def price_usd(self) -> Decimal | None: ...
    @property
    def market_cap(self) -> Decimal | None: ...
    @property
    def circulating_supply(self) -> Decimal | None: ...
    @property
    def total_supply(self) -> Decimal | None: ...
    @property
    def max_supply(self) -> Decimal | None: ...
    @property
    def rank(self) -> int | None: ...
    @property
    def observed_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Comparison:
    price: bool = False
    """The prices agree, and are no peg."""
    size: bool = False
    """A supply, the market caps or, where neither is known, the ranks agree."""
    against: bool = False
    reasons: tuple[str, ...] = ()


NOTHING = Comparison()


def compare(a: Figured, b: Figured) -> Comparison:
    if not _has_figures(a) or not _has_figures(b):
        return NOTHING
    reasons: list[str] = []
    price_by = cap_by = None
    if a.observed_at is None or b.observed_at is None or abs(a.observed_at - b.observed_at) <= SAME_TIME:
        price_by = _apart(a.price_usd, b.price_usd)
        cap_by = _apart(a.market_cap, b.market_cap)
    rank_by = _apart(a.rank, b.rank)
    supply = _supply_agrees(a, b)
    price = price_by is not None and price_by <= PRICE_AGREES and not _pegged(a.price_usd)
    size = supply
    if supply:
        reasons.append("supply agrees")
    if price:
        reasons.append("price agrees")
    if cap_by is not None:
        if cap_by <= CAP_AGREES:
            size = True
            reasons.append("market cap agrees")
    elif rank_by is not None and rank_by <= RANK_AGREES and min(a.rank, b.rank) <= RANK_TELLS:
        size = True
        reasons.append("rank agrees")

    against = False
    if not supply:  # the same odd supply with another price is a stale price
        if price_by is not None and price_by > PRICE_APART:
            against = True
            reasons.append(f"price apart by a factor of {price_by:.1f}")
        if cap_by is not None:
            if cap_by > CAP_APART:
                against = True
                reasons.append(f"market cap apart by a factor of {cap_by:.1f}")
        elif rank_by is not None and rank_by > RANK_APART and abs(a.rank - b.rank) > RANK_PLACES_APART:
            against = True
            reasons.append(f"ranks {a.rank} and {b.rank} are far apart")
    return Comparison(price, size, against, tuple(reasons))


def _apart(a: Decimal | int | None, b: Decimal | int | None) -> Decimal | None:
    """How many times the larger is the smaller; None where either is unknown or not positive."""
    if a is None or b is None or a <= 0 or b <= 0:
        return None
    return Decimal(max(a, b)) / Decimal(min(a, b))


def _has_figures(listing: Figured) -> bool:
    return not (
        listing.price_usd is listing.market_cap is listing.rank is None
        and listing.circulating_supply is listing.total_supply is listing.max_supply is None
    )


def _supply_agrees(a: Figured, b: Figured) -> bool:
    for ours, theirs, within in (
        (a.circulating_supply, b.circulating_supply, SUPPLY_AGREES),
        (a.total_supply, b.total_supply, Decimal("1.001")),
        (a.max_supply, b.max_supply, Decimal("1.000001")),
    ):
        by = _apart(ours, theirs)
        if by is not None and by <= within and _telling(ours) and _telling(theirs):
            return True
    return False


def _telling(number: Decimal | None) -> bool:
    return number is not None and len(number.normalize().as_tuple().digits) >= TELLING_DIGITS


def _pegged(price: Decimal | None) -> bool:
    return price is not None and PEG[0] <= price <= PEG[1]
