"""A page that is asked for again and again is planned once; a pooler that mixes up connections does no harm."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, connections

from assets import prepared
from assets.tests.factories import coins
from conftest import end_backend

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(prepared, "_pooled", False)
    prepared._known.clear()
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")


def names() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


def test_the_second_time_a_page_is_prepared_and_then_it_is_used(client, django_assert_num_queries):
    coins("coingecko", 5)
    first = client.get("/data").json()["data"]
    assert names() == []
    for _ in range(3):
        assert client.get("/data").json()["data"] == first
    assert len(names()) == 1
    coins("coingecko", 7)
    assert len(client.get("/data").json()["data"]) == 7, "what is written since is seen"
    for _ in range(3):
        client.get("/data?min_price=1")
    assert len(names()) == 1, "a filter wants a plan of its own"


def test_walks_and_single_assets_share_a_plan_whatever_their_values(client):
    coins("coingecko", 9)
    rows, address = [], "/data?cursor=&page_size=2"
    while address:
        page = client.get(address).json()
        rows += [row["rank"] for row in page["data"]]
        address = page["next"]
    assert rows == list(range(1, 10))
    for number in range(1, 6):
        assert client.get(f"/assets/coin-{number:04}").json()["data"]["rank"] == number
    assert len(names()) == 2


def test_no_more_statements_than_a_connection_should_keep(client, monkeypatch):
    monkeypatch.setattr(prepared, "MOST", 2)
    coins("coingecko", 5)
    for _ in range(3):
        for size in (1, 2, 3, 4):
            assert len(client.get(f"/data?page_size={size}").json()["data"]) == size
    assert len(names()) == 2


def test_a_line_that_breaks_while_a_statement_is_prepared_is_trouble_of_the_database():
    lone = connections.create_connection("default")
    try:
        with connection.cursor() as cursor:
            prepared.execute(cursor, "SELECT 1")
            end_backend(connection.connection.get_backend_pid(), lone)
            with pytest.raises(OperationalError):
                prepared.execute(cursor, "SELECT 1")
    finally:
        lone.close()
        connection.close()


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "elsewhere"])
def test_behind_a_pooler_nothing_is_prepared(client, statement):
    coins("coingecko", 5)
    first = client.get("/data").json()["data"]
    if statement == "elsewhere":
        (sql,) = next(iter(prepared._known.values()))
        with connection.cursor() as cursor:
            cursor.execute(f"PREPARE asked_1_{abs(hash(sql))} AS SELECT 1")
    else:
        client.get("/data")
        with connection.cursor() as cursor:
            cursor.execute(statement)
    for _ in range(3):
        assert client.get("/data").json()["data"] == first
    assert prepared._pooled
