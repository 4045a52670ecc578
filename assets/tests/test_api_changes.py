"""A walk that is resumed: everything that changed since, once at least, whenever its transaction committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from assets import restored
from assets.models import Quote
from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db(transaction=True)


def rows_of(client, address: str) -> tuple[list[dict[str, Any]], str]:
    """Everything from there to the end of the walk; the address that goes on later."""
    rows, following = [], address
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.content
        page = answer.json()
        rows += page["data"]
        resume, following = page["resume"], page["next"]
    return rows, resume


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["source_asset_id"] for row in rows]


def test_resume_gives_what_changed_and_nothing_else(client):
    coins("coingecko", 5)
    rows, resume = rows_of(client, "/data?cursor=&page_size=2")
    assert len(rows) == 5
    rows, resume = rows_of(client, resume)
    assert rows == [], "nothing has changed since"
    load("coingecko", record("coin-0003", "C0003", "Coin 0003", price_usd="9"))
    load("coingecko", record("new"))
    rows, resume = rows_of(client, resume)
    assert ids(rows) == ["coin-0003", "new"], "in the order in which they were written"
    assert rows[0]["price_usd"] == 9
    assert rows_of(client, resume)[0] == []


def test_a_row_whose_asset_is_called_otherwise_comes_again(client):
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="91010"))
    rows, resume = rows_of(client, "/data?cursor=")
    assert rows[0]["asset_id"] == "coinpaprika:btc-bitcoin"
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="91000"))
    rows, _ = rows_of(client, resume)
    assert {row["source_asset_id"]: row["asset_id"] for row in rows} == {"btc-bitcoin": "bitcoin", "bitcoin": "bitcoin"}


def test_more_changes_than_a_page_holds_go_on(client):
    coins("coingecko", 3)
    _, resume = rows_of(client, "/data?cursor=&page_size=2")
    coins("coingecko", 7, price_usd="1")
    rows, resume = rows_of(client, resume)
    assert len(rows) == 7 and len(set(ids(rows))) == 7
    assert rows_of(client, resume)[0] == []


def test_what_changes_during_the_walk_is_told_after_it(client):
    coins("coingecko", 6)
    page = client.get("/data?cursor=&page_size=2").json()
    load("coingecko", record("coin-0001", "C0001", "Coin 0001", price_usd="77"))
    rows, resume = rows_of(client, page["next"])
    changed, _ = rows_of(client, resume)
    assert ids(changed) == ["coin-0001"] and changed[0]["price_usd"] == 77
    assert {*ids(page["data"]), *ids(rows)} == {f"coin-{n:04}" for n in range(1, 7)}


@contextmanager
def held() -> Iterator[None]:
    """A writer that has written, and doesn't commit before the end of the block."""
    written, go = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with transaction.atomic():
                load("csv", record("slow", "SLOW", "Slow", price_usd="2"))
                written.set()
                assert go.wait(20)
        finally:
            written.set()
            connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert written.wait(20)
    try:
        yield
    finally:
        go.set()
        thread.join(20)


@pytest.mark.parametrize("begun", ["before", "meanwhile"])
def test_what_commits_late_is_not_missed(client, begun):
    """It was written first and seen last: by its time, a poller would have passed it."""
    load("csv", record("slow", "SLOW", "Slow", price_usd="1"))
    load("coingecko", record("quick", "QUICK", "Quick", price_usd="1"))
    resume = rows_of(client, "/data?cursor=")[1] if begun == "before" else ""
    with held():
        load("coingecko", record("quick", "QUICK", "Quick", price_usd="2"))
        rows, resume = rows_of(client, resume or "/data?cursor=")
        assert 2 not in [row["price_usd"] for row in rows if row["source_asset_id"] == "slow"]
        rows, resume = rows_of(client, resume)
        assert "slow" not in ids(rows)
    rows, resume = rows_of(client, resume)
    assert [row["price_usd"] for row in rows if row["source_asset_id"] == "slow"] == [2]
    assert rows_of(client, resume)[0] == []


def test_updated_since_is_resumed_with_its_filter(client):
    now = datetime.now(UTC)
    load("coingecko", record("old", at=now - timedelta(hours=2)), record("new", at=now))
    since = (now - timedelta(hours=1)).isoformat().replace("+", "%2B")
    rows, resume = rows_of(client, f"/data?updated_since={since}&cursor=")
    assert ids(rows) == ["new"]
    load("coingecko", record("old", price_usd="1", at=now), record("older", at=now - timedelta(hours=3)))
    assert ids(rows_of(client, resume)[0]) == ["old"]


def test_a_moved_listing_and_a_delisted_one_are_changes(client):
    from assets.models import Source
    from ingestion.sweeps import settle

    source = coins("coingecko", 2)
    _, resume = rows_of(client, "/data?cursor=")
    Source.objects.filter(pk=source.pk).update(last_sweep_at=datetime.now(UTC))
    for _ in range(3):
        settle(source, None)
    rows, resume = rows_of(client, resume)
    assert [row["delisted"] for row in rows] == [True, True]


def test_a_database_out_of_a_dump_goes_on(client):
    coins("coingecko", 2)
    _, resume = rows_of(client, "/data?cursor=")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE assets_quote SET changed_in = '9223372036854775807'")
    load("coingecko", record("new"))
    assert ids(rows_of(client, resume)[0]) == ["new"], "what lies ahead is never given out"
    assert restored.settle() == 2
    assert restored.settle() == 0
    assert len(rows_of(client, resume)[0]) == 3


def test_a_cursor_of_before_the_restore_is_refused(client, settings):
    from assets.pagination import RESUMING, After, seal

    coins("coingecko", 1)
    scope = b'["data",".",[]]'
    cursor = RESUMING + seal(After(str(2**62), 0), scope)
    answer = client.get(f"/data?cursor={cursor}")
    assert answer.status_code == 400 and "restored" in answer.json()["error"]["fields"]["cursor"]


def test_resuming_has_no_order_of_its_own_and_its_filter_alone(client):
    coins("coingecko", 2)
    _, resume = rows_of(client, "/data?cursor=&symbol=c")
    for wrong in (resume + "&ordering=rank", resume.replace("symbol=c", "symbol=x"), resume[:-3]):
        answer = client.get(wrong)
        assert answer.status_code == 400, wrong


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_what_has_changed_comes_in_pages_and_is_no_file(client, kind):
    coins("coingecko", 2)
    _, resume = rows_of(client, "/data?cursor=")
    answer = client.get(f"{resume}&format={kind}")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["cursor"]


def test_the_changes_are_found_in_an_index(client):
    from assets.pagination import After, Place
    from assets.seeking import page_of
    from assets.tables import DATA

    coins("coingecko", 300)
    after = After(str(Quote.objects.values_list("changed_in", flat=True).last()), 0)
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("ANALYZE assets_quote")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        place = Place("", False, 5, walking=True, after=after, kind="changes")
        sql, values = page_of(DATA, place, "true", [], "")
        cursor.execute(f"EXPLAIN (COSTS OFF) {sql}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "quote_changed" in plan and "Index Cond: ((changed_in >=" in plan, plan
        cursor.execute("EXPLAIN (COSTS OFF) SELECT FROM assets_quote q WHERE q.observed_at >= now()")
        assert "quote_observed" in "\n".join(row[0] for row in cursor.fetchall())
