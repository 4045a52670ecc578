"""The bundled coins are what docs/DEMO.md says of them."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

from cryptoetl.demo.coins import bundled_coins
from cryptoetl.demo.generated import generated_coins
from cryptoetl.demo.market import SOURCES, Market

DEMO_MD = Path(__file__).parents[3] / "docs" / "DEMO.md"


def test_there_are_some_hundred_coins_and_no_id_comes_twice() -> None:
    coins = bundled_coins()
    assert len(coins) > 300
    for ids in ([c.coingecko_id for c in coins], [c.coinpaprika_id for c in coins], [c.key for c in coins]):
        assert [name for name, times in Counter(filter(None, ids)).items() if times > 1] == []


def test_figures_fit_each_other() -> None:
    previous = None
    for coin in bundled_coins():
        if coin.circulating_supply is None:
            assert coin.market_cap is None and "unranked" in coin.traits
            continue
        assert coin.market_cap is not None
        assert abs(coin.market_cap - coin.price * coin.circulating_supply) <= 1, coin.key
        assert coin.total_supply is None or coin.total_supply >= coin.circulating_supply, coin.key
        assert coin.max_supply is None or coin.max_supply >= (coin.total_supply or coin.circulating_supply), coin.key
        assert coin.ath is not None and coin.ath >= coin.price, coin.key
        assert previous is None or coin.market_cap <= previous, "the largest comes first"
        previous = coin.market_cap


def test_every_kind_of_trouble_is_there() -> None:
    coins = {coin.key: coin for coin in bundled_coins()}
    pepes = {coin.name for coin in coins.values() if coin.symbol == "pepe"}
    assert pepes == {"Pepe", "The Original Pepe", "PEPECOIN on SOL"}
    assert {coin.key for coin in coins.values() if coin.coinpaprika_symbol and coin.coinpaprika_off} == {"terrausd"}
    assert [coin.key for coin in coins.values() if "stale" in coin.traits] == ["kadena"]
    assert [coin.key for coin in coins.values() if "delisted" in coin.traits] == ["bitcoin-gold"]
    assert sum(1 for coin in coins.values() if coin.coingecko_id and not coin.coinpaprika_id) >= 10
    assert sum(1 for coin in coins.values() if coin.coinpaprika_id and not coin.coingecko_id) >= 5
    assert any(not coin.coingecko_id and not coin.coinpaprika_id for coin in coins.values()), "the CSV's own"
    assert sum(1 for coin in coins.values() if abs(coin.coinpaprika_off) > 5) >= 3
    assert sum(1 for coin in coins.values() if "stable" in coin.traits) >= 10
    assert sum(1 for coin in coins.values() if "wrapped" in coin.traits) >= 10
    assert min(coin.price for coin in coins.values() if coin.coingecko_id) == Decimal("1.234E-17")
    assert any(not coin.name.isascii() for coin in coins.values())
    assert coins["astron-astronomia-token-bsc"].max_supply == 2**63 - 1


def test_what_follows_another_coin_follows_one_that_exists() -> None:
    ids = {coin.coingecko_id for coin in bundled_coins()}
    assert {coin.follows for coin in bundled_coins() if coin.follows} <= ids


def test_generated_coins_answer_like_real_ones_and_fall_in_size() -> None:
    coins = generated_coins(1_000)
    assert len({coin.key for coin in coins}) == len({coin.coinpaprika_id for coin in coins}) == 1_000
    caps = [coin.market_cap for coin in coins]
    assert caps == sorted(caps, reverse=True)
    assert all(coin.price_on(0) == coin.price and coin.price_on(1) != coin.price for coin in coins)


def test_the_document_names_coins_that_exist_and_counts_them_right() -> None:
    text = DEMO_MD.read_text("utf-8")
    market = Market(bundled_coins())
    table = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    named = [name for cell in table for name in re.findall(r"`(?:coinpaprika:)?([^`]+)`", cell) if name != "PEPE"]
    assert len(named) > 40
    for name in named:
        assert market.coin(name)
    coins, *listed = (int(number) for number in re.findall(r"(\d{3}) (?:coins|at Coin|in the CSV)", text))
    assert coins == len(bundled_coins())
    assert listed == [len(market.ranked(source)) for source in SOURCES]


def test_the_document_says_truly_who_disagrees() -> None:
    lines = DEMO_MD.read_text("utf-8").splitlines()
    two = next(line for line in lines if "two sources that disagree" in line)
    three = next(line for line in lines if "the third lies" in line)
    # One of another symbol is not known to be the same coin.
    known = [coin for coin in bundled_coins() if not coin.coinpaprika_symbol]
    beside = [coin for coin in known if coin.coinpaprika_off or coin.csv_off]
    for coin in beside:
        assert f"`{coin.key}`" in (three if "csv" in coin.traits else two)
    assert len(beside) == two.count("`") // 2 + three.count("`") // 2
