"""What the sources agree on, and what is not made up when they don't."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from assets.consensus import SourceQuote, consensus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def quote(
    source: str, price: str | None, *, age: int = 60, rank: int = 1, interval: int = 300, **more: object
) -> SourceQuote:
    return SourceQuote(
        source,
        rank,
        timedelta(seconds=interval),
        NOW - timedelta(seconds=age),
        None if price is None else Decimal(price),
        **more,
    )


def test_one_fresh_quote_is_single():
    agreed = consensus([quote("a", "1.50")], NOW)
    assert (agreed.agreement, agreed.price_usd, agreed.sources_used) == ("single", Decimal("1.50"), ("a",))
    assert (agreed.price_min, agreed.price_max, agreed.spread_bps) == (Decimal("1.50"), Decimal("1.50"), 0)


def test_two_that_agree_give_their_exact_mean():
    agreed = consensus([quote("a", "1.000000000000000000000000000000000001", rank=1), quote("b", "1", rank=2)], NOW)
    assert agreed.agreement == "agree"
    assert agreed.price_usd == Decimal("1.0000000000000000000000000000000000005")


def test_two_that_disagree_give_no_price_but_both_ends():
    agreed = consensus([quote("a", "100"), quote("b", "106", rank=2)], NOW)
    assert (agreed.agreement, agreed.price_usd) == ("disagree", None)
    assert (agreed.price_min, agreed.price_max) == (100, 106)
    assert agreed.spread_bps == Decimal("582.524")
    assert agreed.sources_used == ("a", "b")


@pytest.mark.parametrize(("other", "agreement"), [("105", "agree"), ("105.0001", "disagree"), ("0", "disagree")])
def test_the_threshold_is_a_percent_of_the_smaller_price(other, agreement):
    assert consensus([quote("a", "100"), quote("b", other, rank=2)], NOW).agreement == agreement


def test_three_give_their_median_and_the_outlier_is_named():
    agreed = consensus([quote("a", "100"), quote("b", "101", rank=2), quote("c", "150", rank=3)], NOW)
    assert agreed.agreement == "median"
    assert agreed.sources_used == ("a", "b")
    assert agreed.price_usd == Decimal("100.5")
    assert agreed.left_out == (("c", "outlier: 150 against a median of 101"),)


def test_three_that_all_differ_disagree():
    agreed = consensus([quote("a", "100"), quote("b", "150", rank=2), quote("c", "200", rank=3)], NOW)
    assert (agreed.agreement, agreed.price_usd, agreed.price_min, agreed.price_max) == ("disagree", None, 100, 200)


def test_a_stablecoin_does_not_suffer_from_tiny_deviations():
    prices = ["1.0001", "1.0001", "1.0001", "0.9990"]
    agreed = consensus([quote(str(place), price, rank=place) for place, price in enumerate(prices, 1)], NOW)
    assert len(agreed.sources_used) == 4


def test_stale_delisted_disabled_and_silent_quotes_take_no_part_and_say_why():
    agreed = consensus(
        [
            quote("fresh", "10", age=900),
            quote("stale", "20", age=901, rank=2),
            quote("slow", "10.1", age=900, rank=3, interval=1200),
            quote("gone", "30", rank=4, delisted=True),
            quote("off", "40", rank=5, enabled=False),
            quote("silent", None, rank=6),
        ],
        NOW,
    )
    assert agreed.sources_used == ("fresh", "slow")
    assert [source for source, _ in agreed.left_out] == ["stale", "gone", "off", "silent"]
    assert all(reason for _, reason in agreed.left_out)
    assert agreed.observed_at == NOW - timedelta(seconds=900)
    assert agreed.fresh_until == NOW


def test_until_a_quote_goes_stale_time_changes_nothing():
    chance = random.Random(11)
    seen: set[str] = set()
    for _ in range(500):
        quotes = [
            quote(
                chance.choice("abcd"),
                chance.choice((None, "100", "101", "150")),
                age=chance.randrange(1200),
                rank=rank,
                delisted=chance.random() < 0.1,
                enabled=chance.random() < 0.9,
            )
            for rank in range(chance.randrange(1, 5))
        ]
        moment = NOW
        while (agreed := consensus(quotes, moment)).fresh_until is not None:
            assert consensus(quotes, agreed.fresh_until) == agreed
            seen.add(agreed.agreement)
            moment = agreed.fresh_until + timedelta(microseconds=1)
        assert consensus(quotes, NOW + timedelta(days=1)) == agreed
    assert seen == {"none", "single", "agree", "disagree", "median"}


def test_without_a_fresh_quote_there_is_no_price_but_a_place_in_the_list():
    agreed = consensus([SourceQuote("a", 1, timedelta(seconds=1), NOW - timedelta(days=1), Decimal(5), rank=7)], NOW)
    assert (agreed.agreement, agreed.price_usd, agreed.market_cap, agreed.rank, agreed.fresh_until) == (
        "none",
        None,
        None,
        7,
        None,
    )


def test_market_cap_volume_and_change_are_those_of_the_best_ranked_source_that_says_them():
    agreed = consensus(
        [
            quote("a", "100", rank=1, volume_24h=Decimal(5)),
            SourceQuote(
                "b", 2, timedelta(seconds=300), NOW, Decimal(101), Decimal(900), Decimal(7), Decimal("-1.5"), 3
            ),
        ],
        NOW,
    )
    assert (agreed.market_cap, agreed.volume_24h, agreed.percent_change_24h, agreed.rank) == (
        900,
        5,
        Decimal("-1.5"),
        3,
    )


def test_a_rank_that_is_old_news_gives_way_to_a_fresh_one():
    stale = SourceQuote("a", 1, timedelta(seconds=1), NOW - timedelta(days=1), Decimal(5), rank=7)
    fresh = SourceQuote("b", 2, timedelta(seconds=300), NOW, Decimal(5), rank=9)
    gone = SourceQuote("c", 0, timedelta(seconds=300), NOW, Decimal(5), rank=1, delisted=True)
    assert consensus([gone, stale, fresh], NOW).rank == 9
    assert consensus([gone, stale], NOW).rank == 7


def test_a_source_has_one_voice_the_newest():
    """Two of its listings that a person put together neither agree with each other nor outvote another source."""
    older, newer, other = quote("b", "99", age=200, rank=2), quote("b", "120", rank=2), quote("a", "100")
    agreed = consensus([older, newer, other], NOW)
    assert (agreed.agreement, agreed.price_usd, agreed.sources_used) == ("disagree", None, ("a", "b"))
    assert agreed.left_out == (("b", "the source has a newer word"),)
    assert consensus([older, newer], NOW).agreement == "single"
    stale = quote("b", "99", age=1000, rank=2)
    assert consensus([stale, older, other], NOW).agreement == "agree"


def test_the_order_of_the_quotes_does_not_matter():
    quotes = [
        quote(name, price, rank=place)
        for place, (name, price) in enumerate([("a", "10"), ("b", "10.1"), ("c", "99"), ("d", "10.2")])
    ]
    wanted = consensus(quotes, NOW)
    for seed in range(20):
        random.Random(seed).shuffle(quotes)
        assert consensus(quotes, NOW) == wanted
    twins = [quote("a", "10"), quote("a", "12")]
    assert consensus(twins, NOW) == consensus(twins[::-1], NOW), "of one source and one time"


def test_prices_of_any_size_are_exact():
    agreed = consensus([quote("a", "1.234E-17"), quote("b", "1.234E-17", rank=2)], NOW)
    assert str(agreed.price_usd) == "1.234E-17"
    agreed = consensus([quote("a", "1e30"), quote("b", "1000000000000000000000000000002", rank=2)], NOW)
    assert agreed.price_usd == Decimal("1000000000000000000000000000001")
