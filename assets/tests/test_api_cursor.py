"""A walk by cursor: every row that is there throughout comes exactly once, whatever is written meanwhile."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import pytest

from assets.tables import DATA
from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db


def walk(client, query: str, between=lambda step: None) -> list[dict]:
    rows, address, step = [], f"/data?cursor=&{query}", 0
    while address:
        page = client.get(address)
        assert page.status_code == 200, page.content
        rows += page.json()["data"]
        address = page.json()["next"]
        between(step)
        step += 1
        assert step < 1000
    return rows


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("field", list(DATA.fields))
def test_a_walk_is_the_list_in_its_order(client, field, sign):
    coins("coingecko", 7)
    load("csv", record("x1", "C0001", "Coin", price_usd="3.0003", rank=3), record("x2"), record("x3"))
    whole = client.get(f"/data?ordering={sign}{field}").json()["data"]
    assert len(whole) == 10
    for size in (1, 3, 10):
        assert walk(client, f"ordering={sign}{field}&page_size={size}") == whole


def test_a_walk_without_an_order_goes_by_id_so_upserts_move_nothing(client):
    coins("coingecko", 50)

    def shuffle(step: int) -> None:
        # Every price and rank changes, and coins are added, between any two pages.
        load(
            "coingecko",
            *(
                record(f"coin-{n:04}", f"C{n:04}", f"Coin {n:04}", price_usd=str(step + n), rank=51 - n)
                for n in range(1, 51)
            ),
            record(f"new-{step}", f"N{step}", f"New {step}"),
        )

    seen = [row["source_asset_id"] for row in walk(client, "page_size=7", shuffle)]
    assert len(seen) == len(set(seen))
    assert {f"coin-{n:04}" for n in range(1, 51)} <= set(seen)


def test_filters_and_sizes_go_with_the_walk(client):
    coins("coingecko", 12)
    assert len(walk(client, "page_size=5&symbol=c001")) == 3
    page = client.get("/data?cursor=&page_size=5&symbol=c00").json()
    assert page["page"] is None and page["previous"] is None and page["page_size"] == 5
    bigger = page["next"].replace("page_size=5", "page_size=100")
    assert len(client.get(bigger).json()["data"]) == 7


def test_a_walk_has_one_size(client):
    for query in ("cursor=&limit=2&page_size=3", "limit=2&page_size=3"):
        answer = client.get(f"/data?{query}")
        assert answer.status_code == 400
        assert list(answer.json()["error"]["fields"]) == ["page_size"]


def test_a_walk_counts_once(client, django_assert_num_queries):
    coins("coingecko", 12)
    page = client.get("/data?cursor=&page_size=5").json()
    assert page["total"] == 12
    with django_assert_num_queries(1):
        assert client.get(page["next"]).json()["total"] is None
    page = client.get("/data?cursor=&page_size=5&count=exact").json()
    assert client.get(page["next"]).json()["total"] == 12


def test_a_cursor_is_good_for_its_walk_alone(client):
    coins("coingecko", 12)
    cursor = parse_qs(urlsplit(client.get("/data?cursor=&page_size=5&ordering=rank").json()["next"]).query)["cursor"][0]
    assert client.get(f"/data?cursor={cursor}&ordering=rank").status_code == 200
    sealed = bytearray(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    sealed[-2] ^= 1
    for query in (
        f"cursor={cursor}",
        f"cursor={cursor}&ordering=-rank",
        f"cursor={cursor}&ordering=rank&symbol=c",
        f"cursor={cursor[:-4]}&ordering=rank",
        f"cursor={urlsafe_b64encode(sealed).decode().rstrip('=')}&ordering=rank",
    ):
        answer = client.get(f"/data?{query}")
        assert answer.status_code == 400, query
        assert list(answer.json()["error"]["fields"]) == ["cursor"]


@pytest.mark.parametrize("query", ["", "&ordering=price_usd"])
def test_a_cursor_is_good_for_its_list_alone(client, query):
    coins("coingecko", 4)
    for path, other in (("/data", "/assets"), ("/assets", "/data")):
        page = client.get(f"{path}?cursor=&page_size=2{query}").json()
        for address in (page["next"], page.get("resume")):
            if address:
                assert client.get(address).status_code == 200
                answer = client.get(address.replace(path, other))
                assert answer.status_code == 400, address
                assert list(answer.json()["error"]["fields"]) == ["cursor"]


def test_the_cost_of_a_page_does_not_grow_with_its_depth(client):
    """The bound on the first column is in the index condition: no row before the cursor is read."""
    from django.db import connection

    from assets.pagination import After, Place
    from assets.seeking import page_of

    coins("coingecko", 300)
    sql, values = page_of(DATA, Place("rank", False, 5, walking=True, after=After("290", 290)), "true", [], "")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE assets_quote")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {sql}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Cond: (rank >= 290)" in plan, plan
    assert "Sort Key: q.rank" not in plan
