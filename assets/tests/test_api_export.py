"""format=csv, ndjson and parquet: the whole filtered list out of one snapshot, by COPY."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import OperationalError, connection

from assets import export
from assets.export import Export, Wanted, csv_sql
from assets.tables import DATA
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
    page = client.get("/data?ordering=id").content.decode()
    shown = json.loads(page, parse_float=Decimal, parse_int=Decimal)["data"]
    lines = client.get("/data?format=ndjson").getvalue().decode().splitlines()
    assert [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in lines] == shown
    assert ",".join(lines) in page, "written alike, to the character"
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
        wanted = Wanted(DATA, [])
        sql = csv_sql(wanted.rows("id", False)[0], wanted.columns)
        cursor.execute("EXPLAIN (COSTS OFF) " + sql[len("COPY (") : sql.rindex(") TO STDOUT")])
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("ROLLBACK")
    assert "Sort" not in plan, plan


# ---------------------------------------------------------------------------------------------------------- parquet


def parquet(client, query: str = "") -> pa.Table:
    answer = client.get(f"/data?format=parquet&{query}")
    assert answer.status_code == 200 and answer["Content-Type"] == "application/vnd.apache.parquet"
    return pq.read_table(io.BytesIO(answer.getvalue()))


def test_parquet_says_what_json_says(client):
    load(
        "coingecko",
        record("a", "=A", 'A, "quoted"\nname', price_usd="0.00000000000000001234", market_cap="12345678901234", rank=1),
        record("b", "", "NULL", price_usd="68123.450000000000000001"),
    )
    load("csv", record("bare"))
    rows = client.get("/data?ordering=id").content.decode()
    expected = json.loads(rows, parse_float=Decimal, parse_int=Decimal)["data"]
    table = parquet(client)
    assert table.column_names == list(expected[0])
    for row, other in zip(table.to_pylist(), expected, strict=True):
        for name, value in row.items():
            if isinstance(value, datetime):
                assert value == datetime.fromisoformat(other[name]), name
            else:
                assert value == other[name], name


def test_a_figure_in_parquet_is_a_decimal_with_room_for_the_longest(client):
    load("coingecko", record("a", price_usd="0." + "0" * 40 + "1", market_cap="5"), record("b", price_usd="2"))
    kinds = parquet(client).schema
    assert kinds.field("price_usd").type == pa.decimal256(76, 41)
    assert kinds.field("market_cap").type == pa.decimal128(38, 0)
    assert kinds.field("updated_at").type == pa.timestamp("us", tz="UTC")
    load("coingecko", record("c", price_usd="1" + "0" * 90))
    assert parquet(client, "fields=price_usd&ordering=price_usd").column("price_usd").to_pylist()[-1] == "1" + "0" * 90


@pytest.mark.parametrize("field", ["market_cap", "rank", "name"])
def test_a_null_that_is_alone_in_its_row_is_a_row(client, field):
    load("coingecko", record("a", "A", "A", rank=1, market_cap="2"), record("b", "B"), record("c", "C"))
    wanted = [{field: row[field]} for row in client.get("/data?ordering=id").json()["data"]]
    assert [row[field] for row in wanted][1:] == [None, None]
    assert [
        None if cell is None else str(cell) for cell in parquet(client, f"fields={field}").column(0).to_pylist()
    ] == [None if row[field] is None else str(row[field]) for row in wanted]
    assert [row[field] or None for row in rows_of(client, f"fields={field}")] == [
        None if row[field] is None else str(row[field]) for row in wanted
    ]


def test_parquet_comes_in_row_groups_of_one_snapshot(client, monkeypatch):
    monkeypatch.setattr("assets.parquet.GROUP", 100)
    monkeypatch.setattr("assets.parquet.BLOCK", 4096)
    coins("coingecko", 450)
    stream = client.get("/data?format=parquet&source=coingecko&fields=id,price_usd").streaming_content
    first = next(stream)
    coins("coingecko", 500)
    file = pq.ParquetFile(io.BytesIO(first + b"".join(stream)))
    assert file.metadata.num_rows == 450, "what was written meanwhile is of another snapshot"
    assert file.metadata.num_row_groups >= 2
    assert file.schema_arrow.names == ["id", "price_usd"]


def test_an_empty_list_is_a_whole_file(client):
    assert parquet(client, "symbol=none").num_rows == 0


def test_who_stops_reading_parquet_frees_the_connection(client):
    coins("coingecko", 500)
    answer = client.get("/data?format=parquet")
    next(answer.streaming_content)
    answer.close()
    wait_for(lambda: copies() == 0, "the COPY is over")
    assert export.FREE._value == export.AT_A_TIME


def test_fields_are_picked_in_files_too(client):
    coins("coingecko", 2)
    assert [list(row) for row in rows_of(client, "fields=price_usd,symbol")] == [["symbol", "price_usd"]] * 2
    lines = client.get("/data?format=ndjson&fields=symbol").getvalue().decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"symbol": "C0001"}, {"symbol": "C0002"}]


def test_what_is_asked_before_is_of_the_same_snapshot_as_the_rows():
    coins("coingecko", 3)

    def before(cursor) -> None:
        cursor.execute("SELECT count(*) FROM assets_quote")
        assert cursor.fetchone() == (3,)
        coins("coingecko", 5)

    assert b"".join(Export("COPY (SELECT count(*) FROM assets_quote) TO STDOUT", [], before)) == b"3\n"
