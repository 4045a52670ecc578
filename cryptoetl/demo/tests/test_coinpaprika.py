"""The server speaks CoinPaprika's protocol and publishes the exchange's CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from cryptoetl.demo import ProviderServer, bundled_coins
from cryptoetl.demo.tests.calling import get, tickers


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as running:
        yield running


def test_one_answer_has_every_ticker(provider: ProviderServer) -> None:
    ids = [item["id"] for item in tickers(provider).json]
    assert sorted(ids) == sorted(coin.coinpaprika_id for coin in bundled_coins() if coin.coinpaprika_id)


def test_the_free_plan_hides_supplies_and_long_changes_and_the_paid_one_shows_them(provider: ProviderServer) -> None:
    free = tickers(provider).json[0]
    assert free["id"] == "btc-bitcoin" and "circulating_supply" not in free
    assert free["quotes"]["USD"]["percent_change_30d"] == free["quotes"]["USD"]["percent_change_1y"] == 0
    with ProviderServer(coinpaprika_plan="pro") as paying:
        paid = tickers(paying).json[0]
        assert paid["circulating_supply"] > 20_000_000
        assert paid["quotes"]["USD"]["percent_change_30d"] != 0


def test_the_free_plan_ends_at_its_limit_of_assets() -> None:
    with ProviderServer(generated=2_500) as provider:
        assert len(tickers(provider).json) == 2_000
        provider.coinpaprika_plan = "pro"
        assert len(tickers(provider).json) == 2_500


def test_what_is_unknown_is_zero(provider: ProviderServer) -> None:
    items = {item["id"]: item for item in tickers(provider).json}
    unknown = items["hbd-hive-dollar"]
    assert unknown["total_supply"] == unknown["max_supply"] == unknown["quotes"]["USD"]["market_cap"] == 0
    assert unknown["quotes"]["USD"]["ath_price"] is None
    assert items["astron-astronomia-token-bsc"]["max_supply"] == 9_223_372_036_854_775_807


def test_small_prices_have_an_exponent_and_percents_come_from_32_bits(provider: ProviderServer) -> None:
    text = tickers(provider).body.decode()
    assert '"price":3.84' in text and "e-18," in text
    assert '"percent_change_24h":0.8500000238418579' in text or '"percent_change_24h":0.8600000143051147' in text


def test_errors_are_those_of_the_recordings(provider: ProviderServer) -> None:
    assert get(provider, "coinpaprika", "/tickers/BTC").json == {"error": "id not found"}
    moved = get(provider, "coinpaprika", "/tickers/")
    assert (moved.status, moved.headers["location"]) == (301, "/coinpaprika/v1/tickers")
    assert get(provider, "coinpaprika", "/tickers", {"quotes": "XYZ"}).status == 400
    assert "etag" not in tickers(provider).headers and tickers(provider).headers["cf-cache-status"] == "DYNAMIC"
    with ProviderServer(keys={"coinpaprika": "right"}) as asking:
        assert tickers(asking).status == 403
        assert get(asking, "coinpaprika", "/tickers", headers={"authorization": "right"}).status == 200


def test_one_ticker_the_globals_the_list_and_the_key(provider: ProviderServer) -> None:
    one = get(provider, "coinpaprika", "/tickers/btc-bitcoin").json
    assert one == next(item for item in tickers(provider).json if item["id"] == "btc-bitcoin")
    count = get(provider, "coinpaprika", "/global").json["cryptocurrencies_number"]
    assert count == len(tickers(provider).json)
    provider.remove("om-mantra-dao")
    listed = {item["id"]: item for item in get(provider, "coinpaprika", "/coins").json}
    assert (listed["om-mantra-dao"]["is_active"], listed["om-mantra-dao"]["rank"]) == (False, 0)
    usage = get(provider, "coinpaprika", "/key/info", headers={"authorization": "any"}).json["usage"]["current_month"]
    assert usage["requests_made"] + usage["requests_left"] == 20_000


def test_history_knows_the_free_plan(provider: ProviderServer) -> None:
    start = (datetime.now(UTC) - timedelta(days=10)).strftime("%Y-%m-%d")
    days = get(provider, "coinpaprika", "/tickers/btc-bitcoin/historical", {"start": start, "interval": "1d"}).json
    assert len(days) == 11 and list(days[0]) == ["timestamp", "price", "volume_24h", "market_cap"]
    ask = {"start": start, "interval": "1d", "limit": 3}
    assert get(provider, "coinpaprika", "/tickers/btc-bitcoin/historical", ask).json == days[:3]
    for refused in ({"start": start, "interval": "1h"}, {"start": start}, {"start": "2020-01-01", "interval": "1d"}):
        assert get(provider, "coinpaprika", "/tickers/btc-bitcoin/historical", refused).status == 402
    assert get(provider, "coinpaprika", "/tickers/btc-bitcoin/historical").status == 400


def test_the_csv_has_a_line_for_each_of_its_coins_and_a_time(provider: ProviderServer) -> None:
    answer = get(provider, "csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert len(rows) == sum(1 for coin in bundled_coins() if "csv" in coin.traits) > 100
    assert {row["name"] for row in rows if row["symbol"] == "PEPE"} == {"Pepe", "The Original Pepe", "PEPECOIN on SOL"}
    modified = parsedate_to_datetime(answer.headers["last-modified"])
    assert modified == max(datetime.fromisoformat(row["observed_at"]) for row in rows)
    assert get(provider, "csv", headers={"if-none-match": answer.headers["etag"]}).status == 304
    provider.change_prices()
    assert get(provider, "csv").body != answer.body
