"""Parts of symbols and names are found, filed or not, and by an index once they are."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from assets import searching
from assets.models import ListingText, Unfiled
from assets.tests.factories import coins, load, record
from assets.tests.plans import rows_gone_through

pytestmark = pytest.mark.django_db


def ids(client, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    name = "source_asset_id" if path.startswith("/data") else "asset_id"
    return [row[name] for row in answer.json()["data"]]


def some() -> None:
    load(
        "coingecko",
        record("bitcoin", "BTC", "Bitcoin", rank=1),
        record("wrapped", "WBTC", "Wrapped Bitcoin", rank=2),
        record("sure", "SURE", "100%_sure \\\\ Çoin", rank=3),
        record("bare", rank=4),
    )


@pytest.mark.parametrize("filed", [False, True])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=bitcoin", ["bitcoin", "wrapped"]),
        ("search=TCOI", ["bitcoin", "wrapped"]),
        ("search=wrapped%20bit", ["wrapped"]),
        ("search=wbt", ["wrapped"]),
        ("search=tc", ["bitcoin", "wrapped"]),
        ("search=0%25_", ["sure"]),
        ("search=%5C", ["sure"]),
        ("search=%C3%A7oin", ["sure"]),
        ("search=bit%25coin", []),
        ("search=nothing", []),
        ("search=btc%0Abit", []),
        ("symbol=btc", ["bitcoin", "wrapped"]),
        ("symbol=bitcoin", []),
        ("symbol=wbtc&search=bitcoin", ["wrapped"]),
    ],
)
def test_a_part_is_found_whether_it_is_filed_yet_or_not(client, filed, query, found):
    some()
    if filed:
        assert searching.file_texts() == 4
        assert not Unfiled.objects.exists() and ListingText.objects.count() == 4
    expected = ["bitcoin"] if query == "search=btc%0Abit" else found
    assert ids(client, f"/data?{query}") == expected
    assert ids(client, f"/assets?{query}") == expected


def test_a_listing_with_another_name_is_found_by_that_alone(client):
    some()
    searching.file_texts()
    load("coingecko", record("wrapped", "WBTC", "Packed Bitcoin", rank=2))
    for _ in range(2):
        assert ids(client, "/data?search=packed") == ["wrapped"]
        assert ids(client, "/data?search=wrapped") == []
        searching.file_texts()
    assert searching.file_texts() == 0, "nothing waits"


def test_what_waits_is_filed_in_small_transactions(monkeypatch, django_assert_num_queries):
    """A worker that is told to stop has little in hand."""
    for name in ("One", "Two", "Three", "Four"):
        load("coingecko", *(record(f"{name}-{n}", "X", f"{name} {n}") for n in range(2)))
    load("coingecko", record("last", "X", "Last"))
    monkeypatch.setattr(searching, "AT_ONCE", 3)
    # Two batches, two, the last, and a look for more; a savepoint around each, and in it a lock.
    with django_assert_num_queries(4 * 4):
        assert searching.file_texts() == 9


def test_many_matches_are_found_in_the_order_of_the_list(client, monkeypatch):
    coins("coingecko", 40)
    searching.file_texts()
    expected = ids(client, "/data?search=coin&page_size=5&ordering=-rank")
    monkeypatch.setattr(searching, "FEW", 10)
    assert searching.listings_with("coin", searching.ANY) is None
    assert ids(client, "/data?search=coin&page_size=5&ordering=-rank") == expected
    assert ids(client, "/assets?search=coin&page_size=5") == [f"coin-{n:04}" for n in range(1, 6)]
    assert client.get("/data?search=coin&page_size=5").json()["total"] == 40


@pytest.mark.parametrize("address", ["/data", "/assets"])
def test_what_many_hold_is_found_without_looking_at_all_of_them(client, monkeypatch, address):
    coins("coingecko", 3000)
    searching.file_texts()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE assets_asset, assets_listing, assets_listing_text, assets_quote")
    monkeypatch.setattr(searching, "FEW", 10)
    with CaptureQueriesContext(connection) as asked:
        assert len(client.get(f"{address}?search=coin&count=none").json()["data"]) == 50
    statements = [query["sql"] for query in asked if "ILIKE" in query["sql"] and "EXPLAIN" not in query["sql"]]
    assert len(statements) == 1
    assert rows_gone_through(statements[0].replace("%", "%%"), []) < 1000


def test_what_is_filed_is_found_in_an_index(client):
    coins("coingecko", 300)
    searching.file_texts()
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("ANALYZE assets_listing_text")
        cursor.execute("SET LOCAL enable_seqscan = off")
        sql = searching.BY_GRAMS.format(text=searching.ANY)
        cursor.execute(f"EXPLAIN (COSTS OFF) {sql}", {"part": "zzq", "pattern": "%zzq%"})
        assert "Bitmap Index Scan on listing_text_grams" in "\n".join(row[0] for row in cursor.fetchall())
