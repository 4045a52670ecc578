"""/assets: one row per real-world asset, what its sources agree on, and each one's word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from assets import consensus, pricing, unified
from assets.models import Asset, Listing, Quote, Source
from assets.resolving import decide, resolve_all, undo
from assets.tests.factories import coins, load, long_ago, record

pytestmark = pytest.mark.django_db

SUPPLY = {"circulating_supply": "19000000"}


def bitcoin(price: str = "100.00000000000000000001", other: str = "100.5") -> None:
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd=price, market_cap="1900", rank=1, **SUPPLY))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd=other, market_cap="1901", rank=1, **SUPPLY))


def test_one_row_for_an_asset_of_two_sources(client):
    bitcoin()
    answer = client.get("/assets")
    (row,) = answer.json()["data"]
    assert (row["asset_id"], row["symbol"], row["name"], row["rank"]) == ("bitcoin", "BTC", "Bitcoin", 1)
    assert [quote["source"] for quote in row["quotes"]] == ["coingecko", "coinpaprika"]
    assert list(row["quotes"][0]) == list(client.get("/data").json()["data"][0])
    assert b'"price_usd":100.00000000000000000001,' in answer.content
    consensus = row["consensus"]
    assert list(consensus) == [
        *("price_usd", "price_min", "price_max", "spread_bps", "agreement", "sources_used", "left_out", "observed_at")
    ]
    assert consensus["agreement"] == "agree" and consensus["sources_used"] == ["coingecko", "coinpaprika"]
    assert b'"price_usd":100.250000000000000000005,' in answer.content, "the mean is exact"
    assert consensus["left_out"] == [] and consensus["spread_bps"] == pytest.approx(49.8753, rel=1e-4)


def test_two_sources_that_disagree_have_no_price(client):
    bitcoin("100", "120")
    (row,) = client.get("/assets?agreement=disagree").json()["data"]
    assert row["price_usd"] is None and row["consensus"]["price_usd"] is None
    assert (row["consensus"]["price_min"], row["consensus"]["price_max"]) == (100, 120)


def test_a_stale_quote_is_shown_and_left_out(client):
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=long_ago("coingecko"), price_usd="90", **SUPPLY))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="91", **SUPPLY))
    data = client.get("/assets/bitcoin").json()["data"]
    assert data["consensus"]["agreement"] == "single" and data["consensus"]["sources_used"] == ["coinpaprika"]
    (left_out,) = data["consensus"]["left_out"]
    assert left_out["source"] == "coingecko" and left_out["reason"].startswith("stale")
    assert [quote["is_stale"] for quote in data["quotes"]] == [True, False]


def test_what_is_stale_is_told_by_the_databases_clock(client, monkeypatch):
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="5", at=long_ago("coingecko")))
    Asset.objects.update(price_usd=5, agreement="single", fresh_until=datetime.now(UTC) - timedelta(seconds=1))

    class Behind(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(hours=3)

    for module in (unified, pricing, consensus):
        monkeypatch.setattr(module, "datetime", Behind, raising=False)
    assert client.get("/assets/bitcoin").json()["data"]["consensus"]["agreement"] == "none"


@pytest.mark.parametrize("path", ["/assets", "/assets/bitcoin"])
def test_a_price_that_went_stale_is_not_served_as_current_even_when_nobody_reprices(client, path):
    bitcoin()
    # The passing of time, seen from the rows: what was observed, and until when that was news.
    Quote.objects.filter(source__slug="coingecko").update(observed_at=long_ago("coingecko"))
    Asset.objects.update(fresh_until=datetime.now(UTC) - timedelta(seconds=1))
    data = client.get(path).json()["data"]
    row = data[0] if isinstance(data, list) else data
    assert row["consensus"]["sources_used"] == ["coinpaprika"] and row["price_usd"] == 100.5
    Quote.objects.update(observed_at=long_ago("coingecko"))
    data = client.get(path).json()["data"]
    row = data[0] if isinstance(data, list) else data
    assert row["price_usd"] is None and row["consensus"]["agreement"] == "none"
    assert len(row["consensus"]["left_out"]) == len(row["quotes"]) == 2
    assert Asset.objects.get().price_usd is not None, "reading writes nothing"


def test_one_asset_with_the_evidence_of_its_identity(client):
    bitcoin()
    data = client.get("/assets/bitcoin").json()["data"]
    assert {(one["source"], one["source_asset_id"]) for one in data["identity"]} == {
        ("coingecko", "bitcoin"),
        ("coinpaprika", "btc-bitcoin"),
    }
    assert all(isinstance(one["reasons"], list) for one in data["identity"])


def test_a_symbol_of_several_assets_is_ambiguous(client):
    load(
        "coingecko",
        record("batcat", "BAT", "Batcat", price_usd="0.001", rank=900),
        record("basic-attention-token", "BAT", "Basic Attention Token", price_usd="0.2", rank=100),
        record("bata", "BTA", "Bata", price_usd="3"),
        record("combat", "COMBAT", "Combat", price_usd="1", rank=50),
    )
    answer = client.get("/assets?symbol=bat").json()
    assert answer["ambiguous"] is True
    assert [row["asset_id"] for row in answer["data"]] == ["combat", "basic-attention-token", "batcat"]
    assert (
        "Several coins have this symbol" in client.get("/assets?symbol=bat", HTTP_ACCEPT="text/html").content.decode()
    )
    assert client.get("/assets?symbol=bta").json()["ambiguous"] is False
    assert "ambiguous" not in client.get("/assets").json()


def test_filters_and_orders(client):
    coins("coingecko", 12)
    load("csv", record("odd/one", "ODD", "Odd one", price_usd="5"))
    names = lambda query: [row["asset_id"] for row in client.get(f"/assets?{query}").json()["data"]]  # noqa: E731
    assert names("search=coin 0003") == ["coin-0003"]
    assert names("source=csv") == ["csv:odd/one"]
    assert names("ordering=-price_usd&page_size=2") == ["coin-0012", "coin-0011"]
    assert names("ordering=rank")[-1] == "csv:odd/one"
    assert names("ordering=-rank")[-1] == "csv:odd/one"
    page = client.get("/assets?page_size=5&page=3").json()
    assert (len(page["data"]), page["total"], page["next"]) == (3, 13, None)


def test_a_walk_by_cursor(client):
    coins("coingecko", 12)
    seen, address = [], "/assets?cursor=&page_size=5"
    while address:
        page = client.get(address).json()
        seen += [row["asset_id"] for row in page["data"]]
        address = page["next"]
    assert seen == [f"coin-{n:04}" for n in range(1, 13)]


@pytest.mark.parametrize("rows", [2, 60])
def test_the_number_of_queries_does_not_grow_with_the_rows(client, django_assert_num_queries, rows):
    coins("coingecko", rows)
    with django_assert_num_queries(1):
        client.get("/assets")
    with django_assert_num_queries(2 if rows <= 50 else 3):
        client.get("/assets?symbol=c")
    with django_assert_num_queries(1):
        client.get("/assets/coin-0001")
    Asset.objects.update(fresh_until=datetime.now(UTC) - timedelta(seconds=1))
    with django_assert_num_queries(4):
        client.get("/assets")


# -------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("known_as", ["coinpaprika:btc-bitcoin", "coingecko:bitcoin"])
def test_a_sources_own_id_leads_to_the_asset(client, known_as):
    bitcoin()
    answer = client.get(f"/assets/{known_as}?format=json")
    assert answer.status_code == 308 and answer["Location"] == "/assets/bitcoin?format=json"
    answer = client.get(f"/assets/{known_as}/history?interval=1h")
    assert answer.status_code == 308 and answer["Location"] == "/assets/bitcoin/history?interval=1h"
    answer = client.get(f"/assets/{known_as}")
    assert client.get(answer["Location"]).json()["data"]["asset_id"] == answer.json()["asset_id"] == "bitcoin"
    for of_no_other in ("csv:btc-bitcoin", "nobody:bitcoin"):
        assert client.get(f"/assets/{of_no_other}").status_code == 404


def test_an_id_of_the_first_source_that_reads_as_that_of_another_takes_nobodys_address(client):
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100"))
    load("coingecko", record("coinpaprika:btc-bitcoin", "ZZZ", "Zzz", price_usd="1"))
    for id_, symbol in (("coinpaprika:btc-bitcoin", "BTC"), ("coingecko:coinpaprika:btc-bitcoin", "ZZZ")):
        answer = client.get(f"/assets/{id_}")
        assert answer.status_code == 200
        assert (answer.json()["data"]["asset_id"], answer.json()["data"]["symbol"]) == (id_, symbol)
    load("coingecko", record("a:b", "AB", "Ab", price_usd="1"))
    assert client.get("/assets/a:b")["Location"] == "/assets/coingecko:a:b"


@pytest.mark.parametrize("own", ["a b", "a/b", "a\nb", "a?b#c", "é%", "\n"])
def test_an_id_is_an_address_whatever_its_source_wrote(client, own):
    load("coingecko", record(own, "A", "A", price_usd="1"))
    (row,) = client.get("/data").json()["data"]
    address = f"/assets/{quote(row['asset_id'], safe='')}"
    assert client.get(address).json()["data"]["asset_id"] == row["asset_id"]
    assert client.get(f"{address}/history").json()["asset_id"] == row["asset_id"]
    assert client.get(f"/assets/{quote(f'coingecko:{own}', safe='')}")["Location"] == f"/assets/{quote(own, safe=':')}"


def test_a_former_id_leads_to_the_asset(client):
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100", **SUPPLY))
    assert client.get("/assets/coinpaprika:btc-bitcoin").status_code == 200
    bitcoin()
    assert client.get("/assets/coinpaprika:btc-bitcoin")["Location"] == "/assets/bitcoin"
    # A person put one of CoinGecko's coins into another's asset: its bare id was an asset's id before.
    load("coingecko", record("wrapped-bitcoin", "WBTC", "Wrapped Bitcoin", price_usd="100"))
    Listing.objects.filter(source_asset_id="wrapped-bitcoin").update(asset=Asset.objects.get(slug="bitcoin"))
    Quote.objects.update(asset=Asset.objects.get(slug="bitcoin"))
    Asset.objects.filter(slug="wrapped-bitcoin").delete()
    assert client.get("/assets/wrapped-bitcoin")["Location"] == "/assets/bitcoin"


def test_no_id_changes_its_meaning_through_joins_splits_and_new_names(client):
    """What an id meant, it goes on meaning: it leads to the asset that holds the listing it was made of."""
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100"))
    load("csv", record("gold", "XAU", "Gold", price_usd="7"), record("other", "OTH", "Other", price_usd="3"))
    bitcoin()
    paprika, gold, gecko = (Listing.objects.get(source_asset_id=own) for own in ("btc-bitcoin", "gold", "bitcoin"))

    def leads(*ids: str) -> list[str]:
        answers = [client.get(f"/assets/{one}") for one in ids]
        return [
            a["Location"].removeprefix("/assets/") if a.status_code == 308 else a.json()["data"]["asset_id"]
            for a in answers
        ]

    names = ("bitcoin", "coingecko:bitcoin", "coinpaprika:btc-bitcoin", "csv:gold")
    assert leads(*names) == ["bitcoin", "bitcoin", "bitcoin", "csv:gold"]
    joined = decide(gecko, gold, same=True, by="me")
    assert leads(*names) == ["bitcoin"] * 4
    apart = decide(gecko, paprika, same=False, by="me")
    assert leads(*names) == ["bitcoin", "bitcoin", "coinpaprika:btc-bitcoin", "bitcoin"]
    load("coingecko", record("bitcoin", "BIT", "Bitty", price_usd="1"))
    load("coinpaprika", record("btc-bitcoin", "OTH", "Other", price_usd="3"))
    assert leads(*names) == ["bitcoin", "bitcoin", "coinpaprika:btc-bitcoin", "bitcoin"]
    assert leads("csv:other") == ["coinpaprika:btc-bitcoin"], "the better-ranked source names the asset"
    resolve_all()
    undo(joined)
    undo(apart)
    assert leads(*names) == ["bitcoin", "bitcoin", "coinpaprika:btc-bitcoin", "csv:gold"]


def test_any_id_has_an_address(client):
    load("csv", record("a/b c?d#é", "X", "X", price_usd="1"))
    slug = Asset.objects.get().slug
    address = "/assets/csv:a%2Fb%20c%3Fd%23%C3%A9"
    assert slug == "csv:a/b c?d#é"
    for form in (address, address + "/"):
        assert client.get(form).json()["data"]["asset_id"] == slug
    assert client.get(address + "/history").json()["asset_id"] == slug


def test_what_is_not_there_is_404(client):
    for path in ("/assets/nothing", "/assets/nothing/history", "/assets/coingecko:nothing", "/assets/:", "/assets/%27"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert (
            answer.json()["error"]["code"] == "not_found" and "nothing" in answer.json()["error"]["message"] + "nothing"
        )
    assert client.get("/assets/a%00b").status_code == 400
    assert "asset_id" in client.get("/assets/a%00b").json()["error"]["fields"]


def test_a_disabled_source_is_shown_and_takes_no_part(client):
    Source.objects.filter(slug="coinpaprika").update(enabled=False)
    bitcoin()
    data = client.get("/assets/bitcoin").json()["data"]
    assert data["consensus"]["left_out"] == [{"source": "coinpaprika", "reason": "the source is disabled"}]
    assert len(data["quotes"]) == 2
