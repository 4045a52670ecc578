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
    price_by = cap_by = None
    if a.observed_at is None or b.observed_at is None or abs(a.observed_at - b.observed_at) <= SAME_TIME:
        price_by = _apart(a.price_usd, b.price_usd)
        cap_by = _apart(a.market_cap, b.market_cap)
    ranks = (a.rank, b.rank) if a.rank and b.rank and cap_by is None else None

    supply = _supply_agrees(a, b)
    price = price_by is not None and price_by <= PRICE_AGREES and not _pegged(a.price_usd)
    cap = cap_by is not None and cap_by <= CAP_AGREES
    rank = ranks is not None and min(ranks) <= RANK_TELLS and max(ranks) <= RANK_AGREES * min(ranks)
    agree = (("supply", supply), ("price", price), ("market cap", cap), ("rank", rank))
    reasons = [f"{what} agrees" for what, agrees in agree if agrees]

    against = []
    if not supply:  # with the same odd supply another price is a stale price
        if price_by is not None and price_by > PRICE_APART:
            against.append(f"price apart by a factor of {price_by:.3g}")
        if cap_by is not None and cap_by > CAP_APART:
            against.append(f"market cap apart by a factor of {cap_by:.3g}")
        if ranks and max(ranks) > RANK_APART * min(ranks) and abs(ranks[0] - ranks[1]) > RANK_PLACES_APART:
            against.append(f"rank {ranks[0]} and rank {ranks[1]}")
    return Comparison(price, supply or cap or rank, bool(against), (*reasons, *against))


def _apart(a: Decimal | None, b: Decimal | None) -> Decimal | None:
    """How many times the larger is the smaller; None where either is unknown or not positive."""
    if a is None or b is None or a <= 0 or b <= 0:
        return None
    return max(a, b) / min(a, b)


def _has_figures(listing: Figured) -> bool:
    figures = (listing.price_usd, listing.market_cap, listing.rank)
    supplies = (listing.circulating_supply, listing.total_supply, listing.max_supply)
    return any(figure is not None for figure in figures) or any(supply is not None for supply in supplies)


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
