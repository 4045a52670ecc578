"""One price out of many quotes: the whole rule, pure.

1. A quote takes part when it has a price, its source is enabled, its listing is not delisted, and it is fresh: observed
   no longer ago than three of its source's intervals. A source has one voice: of two of its listings that a person
   put together the newer word counts.
2. One quote: `single`. Two within THRESHOLD_PERCENT of each other: `agree`, their mean. Two further apart: `disagree`,
   no price, since nobody can tell which is wrong. Three or more: `median`; a quote further than the threshold from it
   is an outlier, named, and the median is taken again without it; when the outliers are no fewer than those that
   stay, the sources `disagree`.
3. Market cap, volume, change and rank come from one source, the best-ranked of those used that says them: sources count
   supply and exchanges in different ways, and a mean of two methods is a figure that nobody published.

A threshold in percent, not in sigmas: on a stablecoin sigma is next to nothing, and every quote would be an outlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

THRESHOLD_PERCENT = Decimal(5)
INTERVALS_FRESH = 3
#: Enough digits that a mean of two recorded prices is exact.
EXACT = Context(prec=700)
#: A spread is a measure, not money: six digits.
MEASURE = Context(prec=6, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class SourceQuote:
    """One source's word on an asset, with what decides whether it counts."""

    source: str
    identity_rank: int
    interval: timedelta
    observed_at: datetime
    price_usd: Decimal | None = None
    market_cap: Decimal | None = None
    volume_24h: Decimal | None = None
    percent_change_24h: Decimal | None = None
    rank: int | None = None
    delisted: bool = False
    enabled: bool = True

    @property
    def stale_at(self) -> datetime:
        return self.observed_at + INTERVALS_FRESH * self.interval


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the sources agree on. `price_usd` is None with `none` and `disagree`; `left_out` says why for each quote."""

    agreement: str = "none"
    price_usd: Decimal | None = None
    price_min: Decimal | None = None
    price_max: Decimal | None = None
    spread_bps: Decimal | None = None
    market_cap: Decimal | None = None
    volume_24h: Decimal | None = None
    percent_change_24h: Decimal | None = None
    rank: int | None = None
    sources_used: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    """(source, reason), by source."""
    observed_at: datetime | None = None
    """Of the oldest quote used."""
    fresh_until: datetime | None = None
    """Until then time changes nothing: when the first of the fresh quotes goes stale, also of those that are left out.
    None when none is fresh."""


def first_stale(quotes: Sequence[SourceQuote], now: datetime) -> datetime | None:
    """When the first of the quotes that are fresh goes stale."""
    fresh = (quote.stale_at for quote in quotes if quote.enabled and not quote.delisted)
    return min((stale_at for stale_at in fresh if stale_at >= now), default=None)


def why_not(quote: SourceQuote, now: datetime) -> str:
    """Why a quote takes no part, "" when it does."""
    if not quote.enabled:
        return "the source is disabled"
    if quote.delisted:
        return "delisted: missing from three whole sweeps"
    if quote.stale_at < now:
        return f"stale: observed {quote.observed_at:%Y-%m-%dT%H:%M:%SZ}, longer ago than {INTERVALS_FRESH} intervals"
    if quote.price_usd is None:
        return "no price"
    return ""


def consensus(quotes: Sequence[SourceQuote], now: datetime) -> Consensus:
    """The consensus at `now`; the order of the quotes does not matter."""
    quotes = sorted(quotes, key=lambda one: (one.identity_rank, one.source, one.observed_at, one.price_usd or 0))
    reasons = [why_not(quote, now) for quote in quotes]
    used = [quote for quote, reason in zip(quotes, reasons, strict=True) if not reason]
    newest = {quote.source: quote for quote in used}
    used = [*newest.values()]
    reasons = [
        reason or ("" if quote is newest[quote.source] else "the source has a newer word")
        for quote, reason in zip(quotes, reasons, strict=True)
    ]
    left_out = [(quote.source, reason) for quote, reason in zip(quotes, reasons, strict=True) if reason]
    # A rank says where an asset belongs in a list even when its price is old news.
    rank = first(used, "rank") or first([quote for quote in quotes if not quote.delisted], "rank")
    fresh_until = first_stale(quotes, now)
    if not used:
        return Consensus(rank=rank, left_out=tuple(left_out), fresh_until=fresh_until)

    prices = [quote.price_usd for quote in used if quote.price_usd is not None]
    agreement, price = agree(prices)
    if agreement == "median" and price is not None:
        outliers = [quote for quote in used if apart(quote.price_usd or Decimal(0), price)]
        if len(outliers) * 2 >= len(used):
            agreement, price = "disagree", None
        elif outliers:
            left_out += [
                (quote.source, f"outlier: {quote.price_usd} against a median of {price}") for quote in outliers
            ]
            used = [quote for quote in used if quote not in outliers]
            prices = [quote.price_usd for quote in used if quote.price_usd is not None]
            price = median(prices)
    low, high = min(prices), max(prices)
    return Consensus(
        agreement=agreement,
        price_usd=price,
        price_min=low,
        price_max=high,
        spread_bps=spread_bps(low, high),
        market_cap=first(used, "market_cap"),
        volume_24h=first(used, "volume_24h"),
        percent_change_24h=first(used, "percent_change_24h"),
        rank=rank,
        sources_used=tuple(quote.source for quote in used),
        left_out=tuple(left_out),
        observed_at=min(quote.observed_at for quote in used),
        fresh_until=fresh_until,
    )


def agree(prices: Sequence[Decimal]) -> tuple[str, Decimal | None]:
    """(agreement, price) of at least one price."""
    if len(prices) == 1:
        return "single", prices[0]
    if len(prices) == 2:
        return ("disagree", None) if apart(*prices) else ("agree", mean(*prices))
    return "median", median(prices)


def apart(a: Decimal, b: Decimal) -> bool:
    """Whether two prices differ by more than the threshold, measured at the smaller one."""
    low, high = min(a, b), max(a, b)
    return EXACT.multiply(EXACT.subtract(high, low), Decimal(100)) > EXACT.multiply(low, THRESHOLD_PERCENT)


def mean(a: Decimal, b: Decimal) -> Decimal:
    return a if a == b else EXACT.divide(EXACT.add(a, b), Decimal(2))


def median(prices: Sequence[Decimal]) -> Decimal:
    ordered = sorted(prices)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else mean(ordered[middle - 1], ordered[middle])


def spread_bps(low: Decimal, high: Decimal) -> Decimal:
    """(high - low) / mid, in hundredths of a percent, without zeros at its end."""
    if low == high:
        return Decimal(0)
    apart, both = EXACT.subtract(high, low), EXACT.add(low, high)
    return MEASURE.divide(EXACT.multiply(apart, Decimal(20_000)), both).normalize(MEASURE)


def first(quotes: Sequence[SourceQuote], figure: str):  # type: ignore[no-untyped-def]
    """The figure of the best-ranked source that says it."""
    return next((value for quote in quotes if (value := getattr(quote, figure)) is not None), None)
