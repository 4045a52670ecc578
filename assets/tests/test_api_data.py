"""/data, sentence by sentence of the contract."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from assets import tally
from assets.models import Asset, Listing, Quote, Source, Tally
from assets.tests.factories import coins, load, long_ago, record

pytestmark = pytest.mark.django_db

FIGURES = ["price_usd", "market_cap", "volume_24h", "percent_change_24h", "rank"]
ROW = ["id", "asset_id", "symbol", "name", *FIGURES, "source", "source_asset_id"]
ROW += ["updated_at", "last_seen_at", "is_stale", "delisted"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def ids(client, query: str) -> list[str]:
    answer = client.get(f"/data?{query}")
    assert answer.status_code == 200, answer.content
    return [row["source_asset_id"] for row in answer.json()["data"]]


def test_the_envelope_is_the_contracts(client):
    coins("coingecko", 3)
    answer = client.get("/data").json()
    assert list(answer) == ["request_id", "api_latency_ms", "data", "total", "page", "page_size", "next", "previous"]
    assert answer["total"] == 3
    assert (answer["page"], answer["page_size"], answer["next"], answer["previous"]) == (1, 50, None, None)
    assert answer["api_latency_ms"] > 0


def test_a_row_has_the_contracts_fields_in_its_order(client):
    at = datetime(2026, 11, 1, 12, 0, 0, 204000, tzinfo=UTC)
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=at, price_usd="68123.45", rank=1))
    (row,) = client.get("/data").json()["data"]
    assert list(row) == ROW
    assert row["id"] == Listing.objects.get().pk
    assert (row["asset_id"], row["symbol"], row["name"], row["rank"]) == ("bitcoin", "BTC", "Bitcoin", 1)
    assert (row["source"], row["source_asset_id"]) == ("coingecko", "bitcoin")
    assert row["updated_at"] == "2026-11-01T12:00:00.204Z"
    assert TIME.fullmatch(row["last_seen_at"])
    assert row["is_stale"] is True and row["delisted"] is False


@pytest.mark.parametrize("figure", ["0.00000000000000001234", "1" + "0" * 30, "0.1000", "68123.450000000000000000001"])
def test_a_number_keeps_every_digit(client, figure):
    load("coingecko", record("a", "A", "A", price_usd=figure, market_cap=figure))
    text = client.get("/data").content.decode()
    assert f'"price_usd":{figure},"market_cap":{figure},' in text
    assert json.loads(text, parse_float=Decimal)["data"][0]["price_usd"] == Decimal(figure)


def test_what_a_source_did_not_say_is_null(client):
    load("coingecko", record("a"))
    (row,) = client.get("/data").json()["data"]
    assert [row[field] for field in ["symbol", "name", *FIGURES]] == [None] * 7


def test_a_row_for_each_source_of_an_asset(client):
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="100", circulating_supply="19000000"))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100.1", circulating_supply="19000000"))
    rows = client.get("/data").json()["data"]
    assert {row["asset_id"] for row in rows} == {"bitcoin"}
    assert {row["source"] for row in rows} == {"coingecko", "coinpaprika"}


def test_stale_after_three_intervals_of_silence(client):
    load("coingecko", record("old", at=long_ago("coingecko")), record("new"))
    assert ids(client, "stale=true") == ["old"]
    assert ids(client, "stale=false") == ["new"]


def test_last_seen_is_the_latest_sweep_that_held_it(client):
    load("coingecko", record("held"), record("missed"))
    swept, seen = datetime(2030, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, 3, 4, 5, tzinfo=UTC)
    Source.objects.filter(slug="coingecko").update(last_sweep_at=swept)
    Listing.objects.filter(source_asset_id="missed").update(last_seen_at=seen, missed_sweeps=3, delisted_at=swept)
    rows = {row["source_asset_id"]: row for row in client.get("/data").json()["data"]}
    assert rows["held"]["last_seen_at"] == "2030-01-02T00:00:00Z"
    assert rows["missed"]["last_seen_at"] == "2026-01-01T03:04:05Z"
    assert (rows["held"]["delisted"], rows["missed"]["delisted"]) == (False, True)
    assert ids(client, "delisted=true") == ["missed"]


# ---------------------------------------------------------------------------------------------------------- filters


def test_filters(client):
    load(
        "coingecko",
        record("bitcoin", "BTC", "Bitcoin", price_usd="100", market_cap="1000", rank=1),
        record("wrapped-bitcoin", "WBTC", "Wrapped Bitcoin", price_usd="99", market_cap="10", rank=2),
        record("tether", "USDT", "Tether 100%_sure", price_usd="1", rank=3),
    )
    load("csv", record("dogecoin", "DOGE", "Dogecoin", price_usd="0.1", rank=4))
    assert ids(client, "symbol=btc") == ["bitcoin", "wrapped-bitcoin"]
    assert ids(client, "search=coin") == ["bitcoin", "wrapped-bitcoin", "dogecoin"]
    assert ids(client, "search=usd") == ["tether"]
    assert ids(client, "search=100%25_") == ["tether"]
    assert ids(client, "search=_") == ["tether"]
    assert ids(client, "source=csv") == ["dogecoin"]
    assert ids(client, "source=nobody") == []
    assert ids(client, "asset_id=bitcoin") == ["bitcoin"]
    assert ids(client, "asset_id=coingecko:bitcoin") == ["bitcoin"]
    assert ids(client, "asset_id=csv:dogecoin") == ["dogecoin"]
    assert ids(client, "asset_id=unheard-of") == []
    assert ids(client, "min_price=1&max_price=99") == ["wrapped-bitcoin", "tether"]
    assert ids(client, "min_price=1e2") == ["bitcoin"]
    assert ids(client, "min_market_cap=10") == ["bitcoin", "wrapped-bitcoin"]
    assert ids(client, "symbol=btc&max_price=99.5") == ["wrapped-bitcoin"]


def test_updated_since_is_the_sources_own_time(client):
    now = datetime.now(UTC)
    load("coingecko", record("early", at=now - timedelta(hours=2)), record("late", at=now))
    since = (now - timedelta(hours=1)).isoformat()
    assert ids(client, f"updated_since={since.replace('+', '%2B')}") == ["late"]
    assert ids(client, f"updated_since={since}") == ["late"], "a plus that isn't escaped arrives as a space"
    assert ids(client, "updated_since=2000-01-01") == ["early", "late"]
    for later, found in ((0, ["late"]), (1, [])):
        since = (now + timedelta(microseconds=later)).isoformat()
        assert ids(client, f"updated_since={since}") == found, "that very time is one of them"


# --------------------------------------------------------------------------------------------------------- ordering


@pytest.mark.parametrize("field", ROW)
def test_every_listed_field_orders_both_ways_with_nulls_last_and_ties_by_id(client, field):
    coins("coingecko", 4)
    load("csv", record("x", "C0001", "Coin 0001", price_usd="1.0001"), record("nothing"))
    up = client.get(f"/data?ordering={field}").json()["data"]
    down = client.get(f"/data?ordering=-{field}").json()["data"]
    assert {row["id"] for row in up} == {row["id"] for row in down} and len(up) == 6
    for rows in (up, down):
        values = [row[field] for row in rows]
        said = [value for value in values if value is not None]
        assert values == said + [None] * (6 - len(said))
        if field not in ("asset_id", "symbol", "name", "source_asset_id"):
            if field.endswith("_at"):  # a fraction of a second is written without its last zeros: no order of texts
                said = [datetime.fromisoformat(value) for value in said]
            assert said == sorted(said, reverse=rows is down)
        for one, other in pairwise(rows):
            if one[field] == other[field]:
                assert (one["id"] < other["id"]) is (rows is up), "ties go the way of the order"


def test_the_usual_order_is_by_rank(client):
    load("coingecko", record("b", rank=2), record("none"), record("a", rank=1), record("b2", rank=2))
    assert ids(client, "") == ["a", "b", "b2", "none"]


@pytest.mark.parametrize("ordering", ["rank", "-rank", "price_usd", "-price_usd"])
def test_nulls_are_on_the_last_page_in_both_directions(client, ordering):
    load(
        "coingecko", record("n1"), record("n2"), record("a", rank=1, price_usd="1"), record("b", rank=2, price_usd="2")
    )
    assert set(ids(client, f"ordering={ordering}&page_size=2")) == {"a", "b"}
    nulls = ["n2", "n1"] if ordering.startswith("-") else ["n1", "n2"]
    assert ids(client, f"ordering={ordering}&page_size=2&page=2") == nulls
    first, *rest = ids(client, f"ordering={ordering}&limit=3&offset=1")
    assert first in ("a", "b") and rest == nulls, "a page may hold both"
    assert ids(client, f"ordering={ordering}&limit=3&offset=3") == nulls[1:]
    assert ids(client, f"ordering={ordering}&limit=3&offset=9") == []


# ----------------------------------------------------------------------------------------------------------- paging


def test_pages_hold_every_row_once(client):
    coins("coingecko", 25, rank=7)
    seen, address = [], "/data?page_size=10&ordering=rank"
    sizes = []
    while address:
        page = client.get(address).json()
        seen += [row["id"] for row in page["data"]]
        sizes.append(len(page["data"]))
        address = page["next"]
    assert sizes == [10, 10, 5]
    assert len(set(seen)) == 25
    assert page["page"] == 3 and page["previous"] == "http://testserver/data?page_size=10&ordering=rank&page=2"
    assert client.get("/data?page=9").json()["data"] == []


def test_limit_and_offset(client):
    coins("coingecko", 25)
    page = client.get("/data?limit=10&offset=5&source=coingecko").json()
    assert [row["rank"] for row in page["data"]] == list(range(6, 16))
    assert page["next"] == "http://testserver/data?source=coingecko&limit=10&offset=15"
    assert page["previous"] == "http://testserver/data?source=coingecko&limit=10&offset=0"
    assert page["page_size"] == 10


def test_the_count_is_exact_estimated_or_none(client, django_assert_num_queries):
    coins("coingecko", 5)
    assert client.get("/data?count=exact&symbol=c0001").json()["total"] == 1
    assert client.get("/data?count=none").json()["total"] is None
    assert isinstance(client.get("/data?count=estimated").json()["total"], int)
    assert isinstance(client.get("/data?count=estimated&symbol=c").json()["total"], int)
    with django_assert_num_queries(1):
        client.get("/data?count=none")


@pytest.mark.parametrize("rows", [2, 60])
def test_the_number_of_queries_does_not_grow_with_the_rows(client, django_assert_num_queries, rows):
    coins("coingecko", rows)
    with django_assert_num_queries(3 if rows <= 50 else 4):
        assert len(client.get("/data?search=coin&stale=false").json()["data"]) == min(rows, 50)


def test_an_empty_table_is_an_empty_page(client):
    assert not Quote.objects.exists()
    answer = client.get("/data").json()
    assert (answer["data"], answer["total"]) == ([], 0)


# ----------------------------------------------------------------------------------------------- picking and counting


def test_lists_of_ids_and_of_symbols(client):
    load("coingecko", record("a", "AAA", "A", rank=1), record("b", "BBB", "B", rank=2), record("c", "CCC", "C", rank=3))
    numbers = {row["source_asset_id"]: row["id"] for row in client.get("/data").json()["data"]}
    assert ids(client, f"ids={numbers['c']},{numbers['a']},999999") == ["a", "c"]
    assert ids(client, "symbols=ccc,%20AAA,none") == ["a", "c"]
    assert ids(client, f"symbols=AAA,BBB&ids={numbers['b']}") == ["b"], "filters combine"
    assert ids(client, "symbols=") == ids(client, "symbols=,") == ["a", "b", "c"]
    assert [row["asset_id"] for row in client.get("/assets?ids=c,b,none").json()["data"]] == ["b", "c"]
    assert [row["asset_id"] for row in client.get("/assets?symbols=ccc").json()["data"]] == ["c"]


def test_fields_picks_columns_in_the_tables_order(client):
    coins("coingecko", 2)
    whole = client.get("/data").json()["data"]
    picked = client.get("/data?fields=price_usd,symbol,symbol").json()["data"]
    assert picked == [{name: row[name] for name in ("symbol", "price_usd")} for row in whole]
    assert list(picked[0]) == ["symbol", "price_usd"]
    assert [list(row) for row in client.get("/assets?fields=name,asset_id").json()["data"]] == [
        ["asset_id", "name"]
    ] * 2
    page = client.get("/data?cursor=&fields=symbol&page_size=1").json()
    assert client.get(page["next"].replace("fields=symbol", "fields=name")).status_code == 200, "fields filter nothing"
    answer = client.get("/data?fields=symbol,nonsense")
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == ["fields"]


def test_everything_and_each_sources_everything_is_counted_without_counting(client, django_assert_num_queries):
    coins("coingecko", 3)
    load("csv", record("x", "X", "X"), record("y", "Y", "Y"))
    coins("coingecko", 4)
    with django_assert_num_queries(1):
        assert client.get("/data?page_size=1").json()["total"] == 6
    with django_assert_num_queries(2):
        assert client.get("/data?page_size=1&source=csv").json()["total"] == 2
    with django_assert_num_queries(1):
        assert client.get("/assets?page_size=1").json()["total"] == 6
    assert Asset.objects.count() == 6
    assert client.get("/data?page=9").json()["total"] == 6, "a page behind the last knows it too"
    Quote.objects.filter(source__slug="csv").delete()
    assert client.get("/data?page_size=1").json()["total"] == 4
    assert client.get("/data?page_size=1&source=csv").json()["total"] == 0


def test_the_tally_is_added_up_and_stays_the_same(client):
    coins("coingecko", 3)
    load("csv", record("x"))
    coins("coingecko", 5)
    before = Tally.objects.count()
    tally.add_up()
    assert Tally.objects.count() < before
    assert client.get("/data?page_size=1").json()["total"] == 6
    assert client.get("/data?page_size=1&source=csv").json()["total"] == 1
    assert client.get("/assets?page_size=1").json()["total"] == 6


def test_a_list_that_ends_on_the_page_is_counted_by_its_end(client, django_assert_num_queries):
    coins("coingecko", 5)
    with django_assert_num_queries(1):
        assert client.get("/data?min_price=2&limit=3&offset=2").json()["total"] == 4
    with django_assert_num_queries(2):
        assert client.get("/data?min_price=2&limit=3").json()["total"] == 4


def test_the_summary_counts_an_asset_once(client, django_assert_num_queries):
    now = datetime.now(UTC).replace(microsecond=0)
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=now, price_usd="100", market_cap="1000.5"))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", at=now, price_usd="100", market_cap="1000"))
    load("csv", record("gone", at=long_ago("csv")))
    with django_assert_num_queries(2):
        answer = client.get("/data/summary")
    assert b'"total_market_cap":1000.5,' in answer.content
    data = answer.json()["data"]
    assert (data["rows"], data["assets"], data["assets_in_several_sources"], data["stale"]) == (3, 2, 1, 1)
    assert data["newest_update"] == now.isoformat().replace("+00:00", "Z")
    assert list(data["sources"]) == ["coingecko", "coinpaprika", "csv"]
    assert data["sources"]["csv"]["stale"] == 1 and data["sources"]["csv"]["without_price"] == 1


@pytest.mark.parametrize("path", ["/data", "/assets"])
@pytest.mark.parametrize("ordering", ["rank", "-rank", "id", "-id", "price_usd"])
def test_a_page_deep_in_the_list_is_the_same_whatever_way_it_is_found(client, monkeypatch, path, ordering):
    """Near the end it is looked for from there."""
    coins("coingecko", 20, rank=7)
    load("coingecko", record("n1"), record("n2"), record("n3", rank=1, price_usd="9"))
    whole = [row["asset_id"] for row in client.get(f"{path}?ordering={ordering}").json()["data"]]
    assert len(whole) == 23
    for module in ("selectors", "unified"):
        monkeypatch.setattr(f"assets.{module}.DEEP", 2)
    for offset in (*range(3, 24), 99):
        page = client.get(f"{path}?ordering={ordering}&limit=4&offset={offset}").json()
        assert [row["asset_id"] for row in page["data"]] == whole[offset : offset + 4], offset
        assert (page["next"] is not None) is (offset + 4 < 23)
        assert page["total"] == 23
