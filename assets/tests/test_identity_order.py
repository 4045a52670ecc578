"""Whole lists of three sources, in any order and page by page mixed, give the same assets, ids and doubts.

The lists are made up of so few words that namesakes, rivals and chains over three sources are everywhere. With
`PAYLOADS` an eighth of the recorded lists of 2022 is loaded too, some 7,000 coins.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from random import Random

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from assets import store
from assets.evaluation import read_list
from assets.identity import Listing, asset_id, resolve
from assets.models import Source
from assets.records import AssetRecord
from assets.resolving import resolve_all

pytestmark = pytest.mark.django_db

LISTS = Path(os.environ.get("PAYLOADS", "")) / "identity" / "lists"
TIME = datetime(2026, 11, 20, tzinfo=UTC)
SOURCES = (("coingecko", 1), ("coinpaprika", 2), ("csv", 3))
FIRST = ("Ace", "Bee", "Cat", "Dog", "Elk", "Fox", "Gnu", "Hen")
SECOND = ("", " Swap", " Token", " Network", " World", " Inu", " [OLD]", " V2")

Page = tuple[str, list[Listing]]


def made_up(slug: str, rank: int, count: int) -> list[Listing]:
    """Coins of which one in three has a namesake, and one in two has figures."""
    random = Random(slug)
    coins = []
    for number in range(count):
        word = random.choice(FIRST) + str(random.randrange(count // 12))
        name = word + random.choice(SECOND)
        symbol = random.choice((word, word, word, word[:4], ""))
        priced = random.random() < 0.5
        coins.append(
            Listing(
                slug,
                f"{name.lower().replace(' ', '-')}-{number}"
                if random.random() < 0.7
                else f"{symbol.lower() or word}-{number}",
                symbol,
                name,
                rank,
                price_usd=Decimal(random.choice((5, 6, 900))) if priced else None,
                market_cap=Decimal(random.choice((10**6, 10**9))) if priced else None,
                contracts=(f"ethereum:0x{random.randrange(count)}",) if random.random() < 0.1 else (),
            )
        )
    return coins


def pages(listings: Sequence[Listing], size: int) -> list[Page]:
    return [(listings[at].source, list(listings[at : at + size])) for at in range(0, len(listings), size)]


def in_turn(*lists: list[Page]) -> list[Page]:
    return [page for turn in zip_longest(*lists) for page in turn if page]


World = tuple[dict[str, str], dict[str, tuple[str, str]], set[tuple[str, str]]]


def loaded(order: Sequence[Page]) -> World:
    for number, (slug, page) in enumerate(order, start=1):
        records = [
            AssetRecord(
                one.source_asset_id,
                one.symbol,
                one.name,
                TIME,
                price_usd=one.price_usd,
                market_cap=one.market_cap,
                rank=one.rank,
                contracts=one.contracts,
            )
            for one in page
        ]
        store.merge(Source.objects.get(slug=slug), list(enumerate(records)), number)
        if len(page) >= 2_500:
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")  # which else is done between two transactions
    return stored()


def stored() -> World:
    """Each listing's asset and why it is there, and the pairs in doubt."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT source.slug || ':' || source_asset_id, asset.slug, method, confidence::text, listing.id
               FROM assets_listing listing JOIN assets_source source ON source.id = listing.source_id
               JOIN assets_asset asset ON asset.id = listing.asset_id"""
        )
        rows = cursor.fetchall()
        named = {row[4]: row[0] for row in rows}
        cursor.execute("SELECT a_id, b_id FROM assets_candidate")
        doubts = {tuple(sorted((named[a], named[b]))) for a, b in cursor.fetchall()}
    return {row[0]: row[1] for row in rows}, {row[0]: row[2:4] for row in rows}, doubts


@contextmanager
def forgotten() -> Iterator[None]:
    """What is stored inside is gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def differing(worlds: Sequence[World]) -> None:
    first, *others = worlds
    for other in others:
        for ours, theirs in zip(first, other, strict=True):
            assert ours == theirs


def decided_at_once(listings: Sequence[Listing]) -> dict[str, str]:
    by_key = {listing.key: listing for listing in listings}
    return {key: asset_id(by_key[one] for one in group) for group in resolve(by_key.values()).groups for key in group}


def test_three_lists_in_any_order_give_the_same_assets_ids_and_doubts() -> None:
    store.ensure_partitions([TIME])
    lists = [made_up(slug, rank, 600) for slug, rank in SOURCES]
    gecko, paprika, csv = (pages(coins, 100) for coins in lists)
    worlds = []
    for order in (
        [*gecko, *paprika, *csv],
        [*csv, *paprika, *gecko],
        in_turn(paprika, csv, gecko),
        in_turn(csv, gecko, paprika)[::-1],
    ):
        with forgotten():
            worlds.append(loaded(order))
    differing(worlds)
    of_listing, _, doubts = worlds[0]
    assert of_listing == decided_at_once([coin for coins in lists for coin in coins])
    assert len(set(of_listing.values())) < len(of_listing) - 150
    assert len(doubts) > 300


def test_deciding_again_after_a_load_in_pages_changes_nothing() -> None:
    store.ensure_partitions([TIME])
    loaded(in_turn(*(pages(made_up(slug, rank, 600), 100) for slug, rank in SOURCES)))
    before = stored()
    found = resolve_all()
    assert (found.moves, found.renamed) == ((), ())
    differing([before, stored()])


def test_newcomers_cost_no_query_each() -> None:
    store.ensure_partitions([TIME])
    gecko, paprika, _ = (made_up(slug, rank, 400) for slug, rank in SOURCES)
    counts = []
    loaded(pages(gecko, 400))
    for few in (40, 400):
        with forgotten(), CaptureQueriesContext(connection) as queries:
            loaded(pages(paprika[:few], few))
        counts.append(len(queries))
    assert counts[0] <= counts[1] <= counts[0] + 4  # a step more along a chain of likenesses is a query more
    assert counts[1] < 48


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("PAYLOADS") or not LISTS.is_dir(), reason="PAYLOADS names no corpus of lists")
def test_the_lists_of_2022_in_both_orders_and_mixed_give_the_same_assets_ids_and_doubts() -> None:
    store.ensure_partitions([TIME])
    lists = [
        read_list(LISTS / "coingecko_coins_list_2022-01-30.json", "coingecko", 1),
        read_list(LISTS / "coinpaprika_coins_2022-03-29.csv", "coinpaprika", 2),
    ]
    # Namesakes stay together. The whole lists are decided in both orders in `test_identity_corpus`, without a database.
    gecko, paprika = (
        pages([replace(coin, symbol=coin.symbol.upper()) for coin in coins if coin.symbol[:1].upper() < "C"], 2_500)
        for coins in lists
    )
    worlds = []
    for order in ([*gecko, *paprika], [*paprika, *gecko], in_turn(paprika[::-1], gecko)):
        with forgotten():
            worlds.append(loaded(order))
    differing(worlds)
    assert len(set(worlds[0][0].values())) < len(worlds[0][0]) - 1000
