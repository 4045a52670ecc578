"""The demo's first page has a live example of each thing that can become of a coin that several sources know."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from assets.models import Asset, Listing
from assets.pricing import reprice
from assets.tests.factories import load, long_ago, record
from cryptoetl.cases import cases

pytestmark = pytest.mark.django_db


def both(own: str, symbol: str, name: str, ours: str, theirs: str, *, rank: int, **facts) -> None:
    for slug, key, price in (("coingecko", own, ours), ("coinpaprika", f"{symbol.lower()}-{own}", theirs)):
        load(slug, record(key, symbol, name, price_usd=price, rank=rank, circulating_supply="19000001", **facts))


def test_each_case_is_shown_with_what_each_source_says():
    both("agreed", "AGR", "Agreed", "100", "100.1", rank=1)
    both("quarrel", "QRL", "Quarrel", "100", "120", rank=2)
    both("pepe", "PEPE", "Pepe", "1", "1", rank=3)
    load("coingecko", record("pepe-2", "PEPE", "The Other Pepe", price_usd="2", rank=4))
    both("silent", "SIL", "Silent", "5", "5", rank=5, at=long_ago("coingecko"))
    both("gone", "GON", "Gone", "6", "6", rank=6)
    gone = Listing.objects.filter(asset__slug="gone")
    gone.update(delisted_at=datetime.now(UTC), missed_sweeps=3)
    reprice(Asset.objects.values_list("pk", flat=True))

    shown = {case.title: [asset.slug for asset, _ in case.assets] for case in cases()}
    assert shown == {
        "two sources agree": ["agreed"],
        "two sources disagree": ["quarrel"],
        "one symbol, PEPE": ["pepe", "pepe-2"],
        "gone stale": ["silent"],
        "delisted": ["gone"],
    }
    words = {asset.slug: words for case in cases() for asset, words in case.assets}
    assert [(word.source, word.quote.price_usd, word.left_out) for word in words["quarrel"]] == [
        ("coingecko", 100, ""),
        ("coinpaprika", 120, ""),
    ]
    assert all(word.left_out.startswith("stale") for word in words["silent"])
    assert all(word.left_out.startswith("delisted") for word in words["gone"])


def test_a_case_without_an_example_is_left_out(django_assert_max_num_queries):
    load("coingecko", record("alone", "ONE", "Alone", price_usd="1", rank=1))
    with django_assert_max_num_queries(8):
        assert cases() == []
