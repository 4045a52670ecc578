"""What can become of a coin that several sources know, a live example of each: shown on the demo's first page.

The examples are looked for, not named: what is shown here is so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, Q, QuerySet

from assets.consensus import SourceQuote, why_not
from assets.models import Asset, Quote
from assets.tables import source_label


@dataclass(frozen=True, slots=True)
class Word:
    """One source's price, and why it does not count; "" when it does."""

    source: str
    quote: Quote
    left_out: str


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    address: str
    assets: list[tuple[Asset, list[Word]]]


def cases() -> list[Case]:
    """Those of which there is an example now."""
    ranked = Asset.objects.filter(rank__isnull=False).order_by("rank", "id")
    delisted = Q(listings__delisted_at__isnull=False)
    unpriced = Asset.objects.filter(agreement="none", quotes_count__gt=0).order_by("rank", "id")
    found = [
        ("two sources agree", "/assets?agreement=agree", ranked.filter(agreement="agree", quotes_count=2)[:1]),
        ("two sources disagree", "/assets?agreement=disagree", ranked.filter(agreement="disagree", quotes_count=2)[:1]),
        *shared_symbol(ranked),
        ("gone stale", "/data?stale=true", unpriced.exclude(delisted)[:1]),
        ("delisted", "/stats/events?kind=delisted", unpriced.filter(delisted).distinct()[:1]),
    ]
    shown = {title: list(assets) for title, _, assets in found}
    words = words_on([asset for assets in shown.values() for asset in assets])
    return [
        Case(title, address, [(asset, words[asset.pk]) for asset in shown[title]])
        for title, address, _ in found
        if shown[title]
    ]


def shared_symbol(ranked: QuerySet[Asset]) -> list[tuple[str, str, QuerySet[Asset]]]:
    """The symbol that most coins have, and those."""
    most = (
        ranked.exclude(symbol="").order_by().values("symbol").annotate(coins=Count("id")).order_by("-coins", "symbol")
    )
    symbol = most.filter(coins__gt=1).values_list("symbol", flat=True).first()
    if symbol is None:
        return []
    return [(f"one symbol, {symbol}", f"/assets?symbol={symbol}", ranked.filter(symbol=symbol)[:4])]


def words_on(assets: list[Asset]) -> dict[int, list[Word]]:
    """What each source says of each asset, the best-ranked first."""
    now = datetime.now(UTC)
    words: dict[int, list[Word]] = defaultdict(list)
    quotes = Quote.objects.filter(asset__in=assets).select_related("source", "listing")
    for quote in quotes.order_by("source__identity_rank", "source__slug", "pk"):
        word = SourceQuote(
            quote.source.slug,
            quote.source.identity_rank,
            timedelta(seconds=quote.source.interval_seconds),
            quote.observed_at,
            quote.price_usd,
            delisted=quote.listing.delisted_at is not None,
            enabled=quote.source.enabled,
        )
        words[quote.asset_id].append(Word(source_label(quote.source.slug), quote, why_not(word, now)))
    return words
