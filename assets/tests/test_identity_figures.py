"""Figures speak for one coin, for two, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assets.figures import NOTHING, compare
from assets.tests.identity_listings import gecko, paprika

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_a_source_did_not_say_speaks_neither_for_nor_against() -> None:
    assert compare(gecko("a", price_usd="5"), paprika("b")) == NOTHING
    assert compare(gecko("a", price_usd="5"), paprika("b", max_supply="123456")).reasons == ()


def test_prices_agree_within_five_percent() -> None:
    assert compare(gecko("a", price_usd="100"), paprika("b", price_usd="104.9")).price
    assert not compare(gecko("a", price_usd="100"), paprika("b", price_usd="105.1")).price


def test_a_price_near_a_dollar_is_no_likeness() -> None:
    assert not compare(gecko("a", price_usd="1.0001"), paprika("b", price_usd="0.9998")).price


def test_a_price_near_a_dollar_is_no_likeness_whichever_of_the_two_it_is() -> None:
    inside, outside = gecko("a", price_usd="1.02"), paprika("b", price_usd="1.06")
    assert compare(inside, outside) == compare(outside, inside)
    assert not compare(outside, inside).price


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        (("100", "100.4"), "prices agree"),
        (("100", "100"), "prices agree"),
        (("100", "137.2"), "prices 37 % apart"),
        (("100", "280"), "prices 180 % apart"),
        (("1", "90"), "prices apart by a factor of 90.0"),
        (("1", "1e300"), "prices apart by a factor of more than a million"),
        (("1.001", "0.999"), "prices 0.2 % apart, near a dollar as all pegged coins"),
    ],
)
def test_how_far_prices_are_apart_is_said(prices: tuple[str, str], reason: str) -> None:
    assert reason in compare(gecko("a", price_usd=prices[0]), paprika("b", price_usd=prices[1])).reasons


def test_prices_of_other_days_are_said_to_be() -> None:
    early = gecko("a", price_usd="100", observed_at=NOW - timedelta(days=30))
    assert compare(early, paprika("b", price_usd="120", observed_at=NOW)).reasons == (
        "prices 20 % apart, of other days",
    )


def test_a_price_of_another_day_does_not_agree() -> None:
    early = gecko("a", price_usd="100", observed_at=NOW - timedelta(days=30))
    assert not compare(early, paprika("b", price_usd="100", observed_at=NOW)).price
    assert compare(early, paprika("b", price_usd="100", observed_at=NOW - timedelta(days=29))).price


@pytest.mark.parametrize(("price", "apart"), [("2.9", False), ("3.1", True), ("0.3", True)])
def test_prices_more_than_threefold_apart_are_a_reason_against(price: str, apart: bool) -> None:
    compared = compare(gecko("a", price_usd="1"), paprika("b", price_usd=price))
    assert bool(compared.apart_by) is apart
    assert any("prices apart by a factor" in reason for reason in compared.reasons) is apart


def test_after_months_only_a_price_thirtyfold_apart_is_a_reason_against() -> None:
    early = gecko("a", price_usd="1", observed_at=NOW - timedelta(days=150))
    assert not compare(early, paprika("b", price_usd="29", observed_at=NOW)).apart_by
    assert compare(early, paprika("b", price_usd="31", observed_at=NOW)).apart_by


def test_the_same_odd_supply_tells_that_a_price_is_stale() -> None:
    compared = compare(
        gecko("a", price_usd="1", circulating_supply="18943225.0"),
        paprika("b", price_usd="50", circulating_supply="18943225"),
    )
    assert compared.size and not compared.apart_by


def test_a_round_supply_is_no_likeness() -> None:
    assert not compare(gecko("a", max_supply="1000000000.0"), paprika("b", max_supply="1000000000")).size


def test_a_near_rank_tells_only_among_the_leading_coins_and_where_market_caps_do_not() -> None:
    assert compare(gecko("a", rank=40), paprika("b", rank=41)).size
    assert not compare(gecko("a", rank=4000), paprika("b", rank=4010)).size
    assert not compare(gecko("a", rank=40, market_cap="9e9"), paprika("b", rank=40, market_cap="1e9")).size


def test_ranks_far_apart_are_seen() -> None:
    compared = compare(gecko("a", rank=5), paprika("b", rank=900))
    assert compared.rank_apart and compared.reasons == ("rank 5 and rank 900",)
    assert not compare(gecko("a", rank=5), paprika("b", rank=90)).rank_apart
