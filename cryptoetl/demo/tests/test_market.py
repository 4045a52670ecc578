"""A price is a pure function of the seed and the tick; a test's market moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cryptoetl.demo.coins import bundled_coins, make_coin
from cryptoetl.demo.generated import generated_coins
from cryptoetl.demo.market import EPOCH, SOURCES, Market

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def prices(market: Market, source: str = "coingecko") -> dict[str, Decimal]:
    return {coin.key: market.price(coin, source) for coin, _ in market.ranked(source)}


def test_the_first_tick_has_the_figures_of_the_stated_day() -> None:
    market = Market(bundled_coins())
    for coin, _ in market.ranked("coingecko"):
        assert market.price(coin) == coin.price
        assert market.percent_change(coin, 86_400) == pytest.approx(coin.percent_change_24h, abs=0.001)


def test_two_markets_with_one_seed_agree_on_every_tick_and_others_do_not() -> None:
    one, same, other = (Market(bundled_coins(), seed=seed) for seed in (1, 1, 2))
    for _ in range(3):
        for market in (one, same, other):
            market.change_prices()
        assert prices(one) == prices(same)
        assert prices(one) != prices(other)


def test_every_price_moves_with_a_tick_but_the_stale_one() -> None:
    market = Market(bundled_coins())
    before, seen = prices(market), {coin.key: market.observed_at(coin) for coin, _ in market.ranked("coingecko")}
    market.change_prices()
    after = prices(market)
    assert {key for key in before if before[key] == after[key]} == {"kadena"}
    for coin, _ in market.ranked("coingecko"):
        assert (market.observed_at(coin) > seen[coin.key]) == (coin.key != "kadena")


def test_sources_agree_within_a_fifth_of_a_percent_or_disagree_by_more_than_five() -> None:
    market = Market(bundled_coins())
    for _ in range(5):
        market.change_prices()
        for coin, _ in market.ranked("coingecko"):
            quotes = [market.price(coin, source) for source in SOURCES if market.listed(source, coin)]
            apart = (max(quotes) - min(quotes)) / min(quotes)
            if coin.coinpaprika_off or (coin.csv_off and "csv" in coin.traits):
                assert apart > Decimal("0.05"), coin.key
            else:
                assert apart < Decimal("0.002"), coin.key


def test_wrapped_coins_move_with_what_they_wrap() -> None:
    market = Market(bundled_coins())
    bitcoin, wrapped = market.coin("bitcoin"), market.coin("wrapped-bitcoin")
    at_first = market.price(wrapped) / market.price(bitcoin)
    for _ in range(20):
        market.change_prices()
    assert market.price(wrapped) / market.price(bitcoin) == pytest.approx(at_first, rel=Decimal("0.0005"))


def test_some_prices_alone_can_move() -> None:
    market = Market(generated_coins(1_000))
    before = prices(market)
    market.change_prices(["coin-000007"])
    assert [key for key, price in prices(market).items() if price != before[key]] == ["coin-000007"]
    before = prices(market)
    market.change_prices(share=0.1)
    assert 50 < sum(1 for key, price in prices(market).items() if price != before[key]) < 150


def test_a_price_that_was_set_is_exact_everywhere_and_newer() -> None:
    market = Market(bundled_coins())
    bitcoin = market.coin("btc-bitcoin")
    before = market.observed_at(bitcoin)
    market.set_price("bitcoin", Decimal("12345.678901234567890123"))
    assert {market.price(bitcoin, source) for source in SOURCES} == {Decimal("12345.678901234567890123")}
    assert market.observed_at(bitcoin) > before
    market.set_price("bitcoin", None)
    assert market.price(bitcoin) < 100_000 and market.price(bitcoin) != Decimal("12345.678901234567890123")


def test_removed_coins_are_gone_and_added_ones_are_ranked() -> None:
    market = Market(bundled_coins())
    market.remove("ethereum", source="coinpaprika")
    assert "ethereum" in prices(market) and "ethereum" not in prices(market, "coinpaprika")
    market.add(make_coin("new-coin", price="2000000"))
    assert [coin.key for coin, rank in market.ranked("coingecko") if rank == 1] == ["new-coin"]
    assert prices(market)["new-coin"] == 2_000_000
    with pytest.raises(KeyError, match="no-such-coin"):
        market.remove("no-such-coin")


def test_the_delisted_coin_leaves_both_sources_in_time() -> None:
    fresh = Market(bundled_coins(), delist_after=timedelta(hours=1))
    assert "bitcoin-gold" in prices(fresh) and "bitcoin-gold" in prices(fresh, "coinpaprika")
    late = Market(bundled_coins(), started_at=NOON, delist_after=timedelta(hours=1))
    assert "bitcoin-gold" not in prices(late) and "bitcoin-gold" not in prices(late, "coinpaprika")


def test_a_started_clock_makes_times_a_function_of_the_tick() -> None:
    market = Market(bundled_coins(), started_at=NOON, interval=60)
    bitcoin = market.coin("bitcoin")
    first = market.observed_at(bitcoin)
    assert NOON - timedelta(minutes=1) < first <= NOON
    market.change_prices()
    assert market.observed_at(bitcoin) == first + timedelta(minutes=1)
    assert market.observed_at(market.coin("kadena")) < NOON - timedelta(hours=4)


def test_a_live_market_reads_its_tick_from_the_clock() -> None:
    one, same = (Market(bundled_coins(), live=True, interval=3_600) for _ in range(2))
    hours = (datetime.now(UTC) - EPOCH) / timedelta(hours=1)
    assert one.tick in (int(hours), int(hours) - 1, int(hours) + 1)
    assert prices(one) == prices(same)
    assert one.observed_at(one.coin("bitcoin")) <= datetime.now(UTC)


def test_ranks_count_neither_the_wrapped_nor_the_unknown_at_coingecko() -> None:
    ranked = Market(bundled_coins()).ranked("coingecko")
    assert [rank for _, rank in ranked if rank] == list(range(1, 1 + sum(1 for _, rank in ranked if rank)))
    assert {coin.key for coin, rank in ranked if rank is None} >= {"wrapped-bitcoin", "hive_dollar"}
    everyone = Market(bundled_coins()).ranked("coinpaprika")
    assert [rank for _, rank in everyone] == list(range(1, len(everyone) + 1))
