"""Whether the figures of two listings speak for one coin or for two: price, market cap, supply and rank. Pure.

A figure that a source did not give says nothing. Prices agree only when both are of one time, and a price near one
dollar is no likeness, because every stablecoin has it. A price alone never tells a coin from a token that is pegged to
it; its size (supply, market cap, rank) does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

#: Prices and market caps of times further apart than this do not agree, and count as apart ten times later only: of
#: 167 leading coins one in a hundred moved more than eighteenfold in half a year.
SAME_TIME = timedelta(days=3)
LATER_SLACK = Decimal(10)
PRICE_AGREES = Decimal("1.05")
CAP_AGREES = Decimal("1.10")
#: Sources count the circulating supply so differently that a market cap says ten times less than a price.
CAP_SLACK = Decimal(10)
#: Sources are late and thin markets differ by half; what is apart by more than this is another coin, or a stale price.
APART = Decimal(3)
CIRCULATING_AGREES, TOTAL_AGREES, MAX_AGREES = Decimal("1.02"), Decimal("1.01"), Decimal("1.000001")
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


class Comparison(NamedTuple):
    price: bool = False
    """The prices agree, and are no peg."""
    size: bool = False
    """A supply, the market caps or, where neither is known, the ranks agree."""
    apart_by: Decimal = Decimal(0)
    """How many times one price is the other, less what other days and supplies explain; above APART it is a reason."""
    rank_apart: bool = False
    """Too little to speak against: some sources rank coins of unknown supply behind all others."""
    compared: bool = False
    """Whether both have a price or a market cap of one time, or a supply of the same kind."""
    found: _Found | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was found, in words. Of most pairs nobody asks."""
        if self.found is None:
            return ()
        supply, price_by, pegged, same_time, cap, cap_by, rank, ranks = self.found
        reasons = ["supply agrees"] if supply else []
        if price_by is not None:
            note = "" if same_time else ", of other days"
            if pegged and price_by <= PRICE_AGREES:
                note = ", near a dollar as all pegged coins"
            # Of prices that agree not how nearly: that depends on which of two others it was first compared with.
            reasons.append("prices agree" if self.price else f"prices {_distance(price_by)}{note}")
        reasons += [f"{what} agrees" for what, agrees in (("market cap", cap), ("rank", rank)) if agrees]
        if cap_by is not None and not supply and cap_by > _caps_apart(same_time):
            reasons.append(f"market caps {_distance(cap_by)}")
        if ranks and self.rank_apart:
            reasons.append(f"rank {min(ranks)} and rank {max(ranks)}")
        return tuple(reasons)


class _Found(NamedTuple):
    """Which figures agree, and how many times one price or market cap is the other."""

    supply: bool
    price_by: Decimal | None
    pegged: bool
    same_time: bool
    cap: bool
    cap_by: Decimal | None
    rank: bool
    ranks: tuple[int, int] | None


NOTHING = Comparison()


def compare(a: Figured, b: Figured) -> Comparison:
    if not _has_figures(a) or not _has_figures(b):
        return NOTHING
    same_time = a.observed_at is None or b.observed_at is None or abs(a.observed_at - b.observed_at) <= SAME_TIME
    price_by = _apart(a.price_usd, b.price_usd)
    cap_by = _apart(a.market_cap, b.market_cap)
    ranks = (a.rank, b.rank) if a.rank and b.rank and cap_by is None else None

    supplies = _supplies_agree(a, b)
    supply = any(supplies)
    pegged = _pegged(a.price_usd) or _pegged(b.price_usd)
    price = same_time and price_by is not None and price_by <= PRICE_AGREES and not pegged
    cap = same_time and cap_by is not None and cap_by <= CAP_AGREES
    rank = ranks is not None and min(ranks) <= RANK_TELLS and max(ranks) <= RANK_AGREES * min(ranks)

    apart_by, rank_apart = Decimal(0), False
    if not supply:  # with the same odd supply another price is a stale price
        slack = Decimal(1) if same_time else LATER_SLACK
        if price_by is not None and price_by > APART * slack:
            apart_by = price_by / slack
        if cap_by is not None and cap_by > _caps_apart(same_time):
            apart_by = max(apart_by, cap_by / (slack * CAP_SLACK))
        if ranks:
            near, far = min(ranks), max(ranks)
            rank_apart = far > RANK_APART * near and far - near > RANK_PLACES_APART
    compared = bool(supplies) or (same_time and not (price_by is None and cap_by is None))
    found = _Found(supply, price_by, pegged, same_time, cap, cap_by, rank, ranks)
    return Comparison(price, supply or cap or rank, apart_by, rank_apart, compared, found)


def _caps_apart(same_time: bool) -> Decimal:
    """From how many times the other on one market cap speaks against."""
    return APART * CAP_SLACK * (1 if same_time else LATER_SLACK)


def _apart(a: Decimal | None, b: Decimal | None) -> Decimal | None:
    """How many times the larger is the smaller; None where either is unknown or not positive."""
    if a is None or b is None or a <= 0 or b <= 0:
        return None
    return max(a, b) / min(a, b)


def _distance(by: Decimal) -> str:
    """How far apart two figures are of which one is so many times the other, in words."""
    if by > APART:
        return f"apart by a factor of {by:,.1f}" if by < 1_000_000 else "apart by a factor of more than a million"
    percent = (by - 1) * 100
    return "less than 0.1 % apart" if percent < Decimal("0.1") else f"{percent:.{0 if percent >= 10 else 1}f} % apart"


def _has_figures(listing: Figured) -> bool:
    return (
        listing.price_usd is not None
        or listing.market_cap is not None
        or listing.rank is not None
        or listing.circulating_supply is not None
        or listing.total_supply is not None
        or listing.max_supply is not None
    )


def _supplies_agree(a: Figured, b: Figured) -> list[bool]:
    """For each kind of supply that both say, whether it agrees and tells something."""
    return [
        by <= within and _telling(ours) and _telling(theirs)
        for ours, theirs, within in (
            (a.circulating_supply, b.circulating_supply, CIRCULATING_AGREES),
            (a.total_supply, b.total_supply, TOTAL_AGREES),
            (a.max_supply, b.max_supply, MAX_AGREES),
        )
        if ours and theirs and (by := _apart(ours, theirs)) is not None
    ]


def _telling(number: Decimal | None) -> bool:
    return number is not None and len(number.normalize().as_tuple().digits) >= TELLING_DIGITS


def _pegged(price: Decimal | None) -> bool:
    return price is not None and PEG[0] <= price <= PEG[1]
