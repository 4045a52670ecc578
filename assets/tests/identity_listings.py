"""Listings for the tests of identity, in the words of the providers that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from assets.identity import Decision, Listing, Resolution, resolve

RANKS = {"coingecko": 1, "coinpaprika": 2, "csv": 3}
EXACT_FIGURES = ("price_usd", "market_cap", "circulating_supply", "total_supply", "max_supply")


def listing(key: str, symbol: str = "", name: str = "", **facts: Any) -> Listing:
    """`coingecko:bitcoin` with its symbol and name; figures are written as text."""
    source, _, own = key.partition(":")
    exact: dict[str, Any] = {fact: Decimal(value) if fact in EXACT_FIGURES else value for fact, value in facts.items()}
    return Listing(source, own, symbol, name, RANKS[source], **exact)


def gecko(own: str, symbol: str = "", name: str = "", **facts: Any) -> Listing:
    return listing("coingecko:" + own, symbol, name, **facts)


def paprika(own: str, symbol: str = "", name: str = "", **facts: Any) -> Listing:
    return listing("coinpaprika:" + own, symbol, name, **facts)


def row(own: str, symbol: str = "", name: str = "", **facts: Any) -> Listing:
    return listing("csv:" + own, symbol, name, **facts)


def same(a: Listing, b: Listing) -> Decision:
    return Decision(a.key, b.key, same=True)


def different(a: Listing, b: Listing) -> Decision:
    return Decision(a.key, b.key, same=False)


def resolved(*listings: Listing, decisions: Iterable[Decision] = ()) -> Resolution:
    return resolve(listings, decisions, curated=())


def assets(*listings: Listing, decisions: Iterable[Decision] = ()) -> set[tuple[str, ...]]:
    """The assets that hold more than one listing."""
    return {group for group in resolved(*listings, decisions=decisions).groups if len(group) > 1}
