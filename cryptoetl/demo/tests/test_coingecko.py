"""The server speaks CoinGecko's protocol as it was recorded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest

from cryptoetl.demo import ProviderServer, bundled_coins
from cryptoetl.demo.tests.calling import get, markets


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as running:
        yield running


def test_pages_hold_every_coin_once_and_end_with_an_empty_one(provider: ProviderServer) -> None:
    pages = [markets(provider, page, 100).json for page in range(1, 6)]
    assert [len(page) for page in pages] == [100, 100, 100, 13, 0]
    ids = [item["id"] for page in pages for item in page]
    assert sorted(ids) == sorted(coin.coingecko_id for coin in bundled_coins() if coin.coingecko_id)


def test_per_page_is_cut_at_250_and_is_100_by_itself(provider: ProviderServer) -> None:
    assert len(markets(provider, per_page=251).json) == 250
    assert len(get(provider, "coingecko", "/coins/markets", {"vs_currency": "usd"}).json) == 100


def test_ids_choose_coins_and_unknown_ones_give_nothing(provider: ProviderServer) -> None:
    chosen = markets(provider, ids="dogecoin,bitcoin,no-such-coin").json
    assert [item["id"] for item in chosen] == ["bitcoin", "dogecoin"]
    assert markets(provider, ids="no-such-coin").body == b"[]"


def test_the_currency_is_required(provider: ProviderServer) -> None:
    answer = get(provider, "coingecko", "/coins/markets")
    assert (answer.status, answer.body) == (422, b'{"error":"Missing parameter vs_currency"}')


def test_prices_are_rounded_unless_asked_in_full(provider: ProviderServer) -> None:
    provider.change_prices()
    exact = provider.market.price(provider.market.coin("bitcoin"))
    texts = {
        precision: json.loads(
            markets(provider, ids="bitcoin,shibacorgi", precision=precision).body, parse_float=str, parse_int=str
        )
        for precision in ("full", "2")
    }
    assert Decimal(texts["full"][0]["current_price"]) == exact
    assert texts["2"][0]["current_price"] == str(round(exact))
    assert texts["full"][1]["current_price"].startswith("1.") and texts["full"][1]["current_price"].endswith("e-17")


def test_what_is_unknown_is_zero_or_null_as_in_the_recordings(provider: ProviderServer) -> None:
    dollar = markets(provider, ids="hive_dollar").json[0]
    assert (dollar["market_cap"], dollar["market_cap_rank"], dollar["circulating_supply"]) == (0.0, None, 0.0)
    assert dollar["fully_diluted_valuation"] is None and dollar["total_supply"] is None
    wrapped = markets(provider, ids="wrapped-bitcoin").json[0]
    assert wrapped["market_cap"] > 0 and wrapped["market_cap_rank"] is None
    more = markets(provider, ids="wrapped-bitcoin", include_rehypothecated="true").json[0]
    assert more["market_cap_rank_with_rehypothecated"] >= 1


def test_changes_come_when_asked_for(provider: ProviderServer) -> None:
    item = markets(provider, ids="bitcoin", price_change_percentage="7d,1h,nonsense").json[0]
    assert [key for key in item if key.endswith("_in_currency")] == [
        "price_change_percentage_1h_in_currency",
        "price_change_percentage_7d_in_currency",
    ]


def test_headers_are_those_of_the_edge_cache_and_nothing_new_is_304(provider: ProviderServer) -> None:
    answer = markets(provider)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "max-age=30, public, must-revalidate, s-maxage=30"
    assert answer.headers["etag"].startswith('W/"') and "total" not in answer.headers
    params = {"vs_currency": "usd", "per_page": 250, "page": 1}
    again = get(provider, "coingecko", "/coins/markets", params, {"if-none-match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    provider.change_prices()
    assert get(provider, "coingecko", "/coins/markets", params, {"if-none-match": answer.headers["etag"]}).status == 200


def test_gzip_is_sent_to_those_who_take_it(provider: ProviderServer) -> None:
    params = {"vs_currency": "usd", "per_page": 250, "page": 1}
    zipped = get(provider, "coingecko", "/coins/markets", params, {"accept-encoding": "gzip, deflate"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == markets(provider).body


def test_nothing_changes_upstream_until_the_market_moves(provider: ProviderServer) -> None:
    first = markets(provider).body
    assert markets(provider).body == first
    provider.change_prices(["bitcoin"])
    before, after = json.loads(first), markets(provider).json
    assert [a["id"] for a, b in zip(after, before, strict=True) if a != b] == ["bitcoin"]


def test_ping_list_and_key(provider: ProviderServer) -> None:
    assert get(provider, "coingecko", "/ping").json == {"gecko_says": "(V3) To the Moon!"}
    everything = get(provider, "coingecko", "/coins/list", {"include_platform": "true"}).json
    assert {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "platforms": {}} in everything
    assert get(provider, "coingecko", "/key").status == 401
    usage = get(provider, "coingecko", "/key", headers={"x-cg-demo-api-key": "CG-x"}).json
    assert usage["monthly_call_credit"] == 10_000 and usage["current_total_monthly_calls"] >= 2


def test_a_key_that_is_asked_for_must_be_right() -> None:
    with ProviderServer(keys={"coingecko": "CG-right"}) as provider:
        assert markets(provider).json["status"]["error_code"] == 10002
        params = {"vs_currency": "usd"}
        answer = get(provider, "coingecko", "/coins/markets", params, {"x-cg-demo-api-key": "CG-right"})
        assert answer.status == 200


def test_history_is_the_walk_and_ends_with_the_newest_word(provider: ProviderServer) -> None:
    answer = get(provider, "coingecko", "/coins/bitcoin/market_chart", {"vs_currency": "usd", "days": 1}).json
    assert [len(points) for points in answer.values()] == [288] * 3
    times = [stamp for stamp, _ in answer["prices"]]
    assert {later - earlier for earlier, later in pairwise(times)} == {300_000}
    span = {"vs_currency": "usd", "from": times[0] // 1000, "to": times[-1] // 1000}
    assert get(provider, "coingecko", "/coins/bitcoin/market_chart/range", span).json == answer
    year = get(provider, "coingecko", "/coins/bitcoin/market_chart", {"vs_currency": "usd", "days": "max"}).json
    assert len(year["prices"]) == 365
    refused = get(provider, "coingecko", "/coins/bitcoin/market_chart", {"vs_currency": "usd", "days": 500})
    assert (refused.status, refused.json["error"]["status"]["error_code"]) == (401, 10012)
    assert get(provider, "coingecko", "/coins/nothing/market_chart", {"vs_currency": "usd", "days": 1}).status == 404
