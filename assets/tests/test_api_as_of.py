"""as_of: /data and /assets as they were, out of the price points; what is not kept is null, not made up."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest

from assets.models import Listing
from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SUPPLY = {"circulating_supply": "19000000"}


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def ask(client, path: str, time: datetime, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"{path}?as_of={quote(time.isoformat())}&{query}")
    assert answer.status_code == 200, answer.content
    return list(answer.json()["data"])


def bitcoin() -> None:
    """Two sources, which say something new at different times."""
    for minute, price in ((0, "100"), (4, "104"), (8, "200")):
        load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=at(minute), price_usd=price, rank=1, **SUPPLY))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", at=at(2), price_usd="102", market_cap="7", **SUPPLY))


def test_a_row_is_its_sources_last_word_until_then(client):
    bitcoin()
    prices = {
        minute: {row["source"]: row["price_usd"] for row in ask(client, "/data", at(minute))}
        for minute in (-1, 0, 3.9, 4, 100)
    }
    assert prices == {
        -1: {},
        0: {"coingecko": 100},
        3.9: {"coingecko": 100, "coinpaprika": 102},
        4: {"coingecko": 104, "coinpaprika": 102},
        100: {"coingecko": 200, "coinpaprika": 102},
    }


def test_what_history_does_not_keep_is_null(client):
    bitcoin()
    (row,) = ask(client, "/data", at(1))
    assert list(row) == list(client.get("/data").json()["data"][0])
    assert (row["updated_at"], row["symbol"], row["asset_id"]) == ("2026-11-01T12:00:00Z", "BTC", "bitcoin")
    assert (row["rank"], row["percent_change_24h"], row["last_seen_at"]) == (None, None, None)


def test_freshness_and_delisting_are_those_of_then(client):
    load("coingecko", record("a", at=at(0), price_usd="1"))
    Listing.objects.update(delisted_at=at(600), missed_sweeps=3)
    early, late = ask(client, "/data", at(1)), ask(client, "/data", at(601))
    assert [(row["is_stale"], row["delisted"]) for row in early + late] == [(False, False), (True, True)]
    assert ask(client, "/data", at(1), "stale=true") == [] and len(ask(client, "/data", at(601), "delisted=true")) == 1


def test_at_the_end_of_three_intervals_the_row_and_the_consensus_say_the_same(client):
    load("coinpaprika", record("a", at=at(0), price_usd="1"))
    for minute, stale, agreement in ((15, False, "single"), (15.0001, True, "none")):
        (row,), (asset,) = ask(client, "/data", at(minute)), ask(client, "/assets", at(minute))
        assert (row["is_stale"], asset["quotes"][0]["is_stale"]) == (stale, stale)
        assert asset["consensus"]["agreement"] == agreement


def test_the_answer_says_when_it_was_last_modified(client):
    bitcoin()
    for path in ("/data", "/assets"):
        answer = client.get(f"{path}?as_of={quote(at(5).isoformat())}")
        assert parsedate_to_datetime(answer["Last-Modified"]) >= at(4), path
    assert "Last-Modified" not in client.get(f"/assets?as_of={quote(at(-5).isoformat())}"), "there is nothing"


def test_one_that_came_back_was_delisted_then(client):
    bitcoin()
    listing = Listing.objects.get(source_asset_id="bitcoin")
    for minute, kind in ((3, "delisted"), (6, "relisted"), (20, "stale"), (30, "delisted"), (30, "relisted")):
        listing.events.create(kind=kind, at=at(minute))
    other = Listing.objects.get(source_asset_id="btc-bitcoin")
    other.events.create(kind="delisted", at=at(3.5))
    Listing.objects.filter(pk=other.pk).update(delisted_at=at(3.5), missed_sweeps=3)
    seen = {
        minute: [row["delisted"] for row in ask(client, "/data", at(minute), "ordering=id")]
        for minute in (1, 3, 5, 6, 25, 31)
    }
    gone, here = [True, True], [False, True]
    assert seen == {1: [False], 3: [True, False], 5: gone, 6: here, 25: here, 31: here}
    assert [row["source"] for row in ask(client, "/data", at(3), "delisted=true")] == ["coingecko"]
    assert [row["source"] for row in ask(client, "/data", at(6), "delisted=false")] == ["coingecko"]
    (asset,) = ask(client, "/assets", at(3))
    assert asset["price_usd"] == 102
    assert [(one["source"], one["reason"][:8]) for one in asset["consensus"]["left_out"]] == [("coingecko", "delisted")]
    assert [quote["delisted"] for quote in asset["quotes"]] == [True, False]


@pytest.mark.django_db(transaction=True)
def test_filters_orders_walks_and_files_of_then(client):
    coins("coingecko", 5, at=at(0))
    coins("coingecko", 5, at=at(9), price_usd="7")
    query = f"as_of={quote(at(5).isoformat())}"
    assert [row["price_usd"] for row in ask(client, "/data", at(5), "ordering=-price_usd&min_price=3")] == [
        5.0005,
        4.0004,
        3.0003,
    ]
    page = client.get(f"/data?{query}&cursor=&page_size=3").json()
    assert page["total"] == 5 and "resume" not in page
    rows = page["data"] + client.get(page["next"]).json()["data"]
    assert rows == ask(client, "/data", at(5))
    text = client.get(f"/data?{query}&format=csv").getvalue().decode()
    assert [row["price_usd"] for row in csv.DictReader(io.StringIO(text))] == [str(r["price_usd"]) for r in rows]


def test_the_consensus_is_reckoned_from_the_words_of_then(client):
    bitcoin()
    assert ask(client, "/assets", at(-1)) == []
    seen = {}
    for minute in (1, 5, 9):
        (asset,) = ask(client, "/assets", at(minute))
        seen[minute] = asset["price_usd"], asset["consensus"]["agreement"], len(asset["quotes"])
    assert seen == {1: (100, "single", 1), 5: (103, "agree", 2), 9: (None, "disagree", 2)}
    (asset,) = ask(client, "/assets", at(1))
    now = client.get("/assets").json()["data"][0]
    assert list(asset) == list(now) and asset["quotes"][0]["price_usd"] == 100
    assert (asset["rank"], asset["percent_change_24h"]) == (None, None)
    assert list(ask(client, "/assets", at(1), "fields=asset_id")[0]) == ["asset_id"]


def test_an_asset_is_called_what_it_is_called_today(client):
    load("coinpaprika", record("btc-bitcoin", "BTC", "BITCOIN", at=at(0), price_usd="100", **SUPPLY))
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=at(8), price_usd="100", **SUPPLY))
    (today,) = client.get("/assets").json()["data"]
    (then,) = ask(client, "/assets", at(1))
    assert then["consensus"]["sources_used"] == ["coinpaprika"]
    assert (then["asset_id"], then["symbol"], then["name"]) == (today["asset_id"], today["symbol"], "Bitcoin")


def test_assets_that_were_not_there_are_not_counted(client):
    coins("coingecko", 3, at=at(0))
    load("coingecko", record("later", at=at(9), price_usd="1"))
    page = client.get(f"/assets?as_of={quote(at(5).isoformat())}&page_size=2&ordering=asset_id").json()
    assert page["total"] == 3 and len(page["data"]) == 2
    assert len(client.get(page["next"]).json()["data"]) == 1


@pytest.mark.parametrize("rows", [2, 30])
@pytest.mark.parametrize(("path", "queries"), [("/data", 2), ("/assets", 4)])
def test_the_number_of_queries_does_not_grow(client, django_assert_num_queries, path, queries, rows):
    coins("coingecko", rows, at=at(0))
    with django_assert_num_queries(queries, exact=False):
        assert len(ask(client, path, at(1))) == rows


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("/data?as_of=2999-01-01", "as_of"),
        ("/assets?as_of=2999-01-01", "as_of"),
        ("/data?as_of=yesterday", "as_of"),
        ("/assets?as_of=2026-01-01&ordering=price_usd", "ordering"),
        ("/assets?as_of=2026-01-01&agreement=single", "agreement"),
    ],
)
def test_what_nobody_knows_is_400(client, query, name):
    answer = client.get(query)
    assert answer.status_code == 400 and list(answer.json()["error"]["fields"]) == [name]
