"""format=csv and format=ndjson: the whole filtered list out of one snapshot, by COPY."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from django.db import OperationalError, connection

from assets import export
from assets.export import Export, copy_sql
from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db(transaction=True)  # An export sees only what is committed.


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    yield
    assert export.FREE._value == export.AT_A_TIME, "every export has given its place back"


def rows_of(client, query: str) -> list[dict[str, str]]:
    answer = client.get(f"/data?format=csv&{query}")
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def copies() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE 'COPY (SELECT%%'")
        return int(cursor.fetchone()[0])


def test_csv_has_every_row_and_the_fields_of_data(client):
    coins("coingecko", 120)
    fields = list(client.get("/data").json()["data"][0])
    answer = client.get("/data?format=csv")
    assert answer.streaming and answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="cryptoetl-data-')
    assert answer["Content-Disposition"].endswith('.csv"')
    header, *lines = answer.getvalue().decode().splitlines()
    assert header.split(",") == fields
    assert len(lines) == 120
    assert rows_of(client, "page=2&page_size=10") == rows_of(client, ""), "paging doesn't apply"


def test_csv_and_ndjson_say_what_json_says(client):
    load("coingecko", record("a", "A", 'A "quoted", name\nof two lines', price_usd="1.234E-17", market_cap="1E+30"))
    load("csv", record("nothing"))
    shown = json.loads(client.get("/data?ordering=id").content, parse_float=Decimal, parse_int=Decimal)["data"]
    lines = client.get("/data?format=ndjson").getvalue().decode().splitlines()
    assert [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in lines] == shown
    for row, cells in zip(shown, rows_of(client, ""), strict=True):
        for name, value in row.items():
            if value is None:
                assert cells[name] == ""
            elif isinstance(value, bool):
                assert cells[name] == str(value).lower()
            elif isinstance(value, Decimal):
                assert Decimal(cells[name]) == value
            else:
                assert cells[name] == value


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_formula_in_a_name_is_harmless_and_a_number_stays_one(client, first):
    name = first + "HYPERLINK(1)"
    load("coingecko", record("a", name, name, price_usd="1", percent_change_24h="-1.5"))
    (row,) = rows_of(client, "")
    assert row["name"].startswith("'") and row["symbol"].startswith("'")
    assert row["percent_change_24h"] == "-1.5"
    line = json.loads(client.get("/data?format=ndjson").getvalue())
    assert line["name"] == name, "JSON is no spreadsheet: there it stays as it is"


def test_filters_and_order_apply(client):
    coins("coingecko", 30)
    load("csv", record("x"))
    assert [row["rank"] for row in rows_of(client, "symbol=c001&ordering=-rank")] == [str(n) for n in range(19, 9, -1)]
    assert [row["id"] for row in rows_of(client, "source=csv")] == [rows_of(client, "ordering=-id")[0]["id"]]
    assert rows_of(client, "symbol=nobody") == []
    assert client.get("/data?format=ndjson&symbol=nobody").getvalue() == b""
    assert client.get("/data?format=csv&symbol=%00").status_code == 400
    assert client.get("/data?format=csv&symbol=%00").json()["error"]["fields"]


def test_the_accept_header_asks_for_it_too(client):
    coins("coingecko", 1)
    assert client.get("/data", headers={"Accept": "text/csv"}).getvalue().startswith(b"id,asset_id")
    assert client.get("/data", headers={"Accept": "application/x-ndjson"}).getvalue().startswith(b'{"id":')
    assert client.head("/data?format=csv").getvalue() == b""


def endless() -> Export:
    """An export that won't end by itself in the time of a test."""
    return Export("COPY (SELECT repeat('x', 1000) FROM (SELECT generate_series(1, 100000000)) rows) TO STDOUT", [])


def test_a_reader_that_hangs_up_frees_the_connection():
    stream = endless()
    assert next(iter(stream)).startswith(b"xxx")
    wait_for(lambda: copies() == 1, "the COPY runs")
    stream.close()
    wait_for(lambda: copies() == 0, "the COPY is over")
    stream.close()
    assert list(stream) == []


def test_one_that_was_never_read_frees_it_as_well():
    stream = endless()
    stream.close()
    wait_for(lambda: copies() == 0, "the COPY is over")


def test_no_more_exports_than_there_is_room_for(client):
    coins("coingecko", 1)
    held = [endless() for _ in range(export.AT_A_TIME)]
    try:
        answer = client.get("/data?format=csv")
        assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
        assert answer.json()["error"]["code"] == "unavailable"
        assert client.get("/data").status_code == 200
    finally:
        for stream in held:
            stream.close()


def test_an_export_that_breaks_off_is_not_taken_for_a_whole_one():
    stream = endless()
    next(stream)
    stream._connection.cancel()
    with pytest.raises(OperationalError, match="cut off"):
        for _ in stream:
            pass
    stream.close()


def test_what_cant_begin_is_an_error_and_no_empty_file():
    with pytest.raises(Exception, match="division by zero"):
        Export("COPY (SELECT 1 / 0) TO STDOUT", [])


def test_memory_does_not_grow_with_the_rows():
    """Nothing is kept between two chunks, and a chunk is small whatever the rows."""
    stream = Export("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT", [])
    sizes = [len(chunk) for chunk in stream]
    assert sum(sizes) == 20000 * 1001 and max(sizes) <= export.CHUNK
    assert threading.active_count() < 20


def test_an_order_by_id_streams_without_sorting_first():
    coins("coingecko", 500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE assets_quote, assets_listing, assets_asset")
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL enable_sort = off")
        sql = copy_sql("csv", "true", "", "q.listing_id ASC NULLS LAST, q.listing_id")
        cursor.execute("EXPLAIN (COSTS OFF) " + sql[len("COPY (") : sql.rindex(") TO STDOUT")])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("ROLLBACK")
    assert "Sort" not in plan, plan
