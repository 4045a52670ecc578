"""/assets/{id}/history: points as observed, candles derived from them, gaps named."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from assets import candles, history
from assets.models import PricePoint
from assets.tests.factories import load, record

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
SUPPLY = {"circulating_supply": "19000000"}


def observe(slug: str, *prices: tuple[float, str]) -> None:
    """(minutes after noon, price), one page each."""
    own = "bitcoin" if slug == "coingecko" else "btc-bitcoin"
    for minutes, price in prices:
        at = NOON + timedelta(minutes=minutes)
        load(slug, record(own, "BTC", "Bitcoin", at=at, price_usd=price, **SUPPLY))


def ask(client, query: str) -> dict:
    answer = client.get(f"/assets/bitcoin/history?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_raw_points_from_inclusive_to_exclusive(client):
    observe("coingecko", (0, "1"), (20, "2.00000000000000000001"), (40, "3"))
    query = "from=2026-10-01T12:00:00Z&to=2026-10-01T12:40:00Z"
    answer = ask(client, query)
    assert [(point["observed_at"], point["source"]) for point in answer["data"]] == [
        ("2026-10-01T12:00:00Z", "coingecko"),
        ("2026-10-01T12:20:00Z", "coingecko"),
    ]
    assert b'"price_usd":2.00000000000000000001,' in client.get(f"/assets/bitcoin/history?{query}").content
    assert (answer["derived"], answer["interval"], answer["next"], answer["gaps"]) == (False, "raw", None, [])


@pytest.mark.parametrize("interval", ["raw", "5m", "1h", "1d"])
def test_the_bounds_are_exact_to_the_microsecond_in_any_zone(client, interval):
    second = 1 / 60
    observe("coingecko", (0, "1"), (10, "2"), (10 + second / 10**6, "3"), (20, "4"))
    candles.roll_up()

    def count(begin: str, end: str) -> int:
        answer = ask(client, urlencode({"interval": interval, "from": begin, "to": end}))
        return sum(one.get("count", 1) for one in answer["data"])

    assert count("2026-10-01T12:00:00Z", "2026-10-01T12:20:00Z") == 3
    assert count("2026-10-01T12:00:00Z", "2026-10-01T12:20:00.000001Z") == 4
    assert count("2026-10-01T12:10:00.000001Z", "2026-10-01T12:20:00Z") == 1
    assert count("2026-10-01T12:10:00Z", "2026-10-01T12:10:00.000001Z") == 1
    assert count("2026-10-01T14:00:00+02:00", "2026-10-01T17:50:00+05:30") == 3
    assert count("2026-10-01T07:00:00.000001-05:00", "2026-10-02") == 3


def test_points_of_every_source_or_of_one(client):
    observe("coingecko", (0, "1"))
    observe("coinpaprika", (0, "1.1"), (1, "1.2"))
    window = "from=2026-10-01&to=2026-10-02"
    assert [point["source"] for point in ask(client, window)["data"]] == ["coingecko", "coinpaprika", "coinpaprika"]
    assert [point["price_usd"] for point in ask(client, window + "&source=coinpaprika")["data"]] == [1.1, 1.2]
    assert ask(client, window + "&source=csv")["data"] == []


def test_candles(client):
    observe("coingecko", (0, "5"), (1, "9"), (2, "1"), (4.999, "7"), (5, "8"))
    first, second = ask(client, "interval=5m&from=2026-10-01T12:00:00Z&to=2026-10-01T12:10:00Z")["data"]
    assert first == {
        "start": "2026-10-01T12:00:00Z",
        "end": "2026-10-01T12:05:00Z",
        "open": 5,
        "high": 9,
        "low": 1,
        "close": 7,
        "count": 4,
        "backfilled": 0,
        "last_at": "2026-10-01T12:04:59.94Z",
        "closed": True,
    }
    assert (second["open"], second["close"], second["count"]) == (8, 8, 1)


@pytest.mark.parametrize(("interval", "start"), [("1h", "2026-10-01T12:00:00Z"), ("1d", "2026-10-01T00:00:00Z")])
def test_candles_begin_on_the_hour_and_on_the_day_of_utc(client, interval, start):
    observe("coingecko", (10, "5"), (30, "6"))
    (candle,) = ask(client, f"interval={interval}&from=2026-09-30&to=2026-10-03")["data"]
    assert (candle["start"], candle["open"], candle["close"]) == (start, 5, 6)


def test_candles_follow_one_source_and_say_which(client):
    observe("coingecko", (0, "100"))
    observe("coinpaprika", (1, "100.5"), (70, "101"))
    window = "interval=1h&from=2026-10-01T12:00:00Z&to=2026-10-01T14:00:00Z"
    answer = ask(client, window)
    assert (answer["source"], answer["derived"]) == ("coingecko", True)
    assert [(one["high"], one["low"]) for one in answer["data"]] == [(100, 100)]
    assert [one["open"] for one in ask(client, window + "&source=coinpaprika")["data"]] == [100.5, 101]
    # Where the best-ranked source has no point the next one's series is followed.
    assert ask(client, window.replace("12:00", "13:00"))["source"] == "coinpaprika"


def test_gaps_are_named_not_filled(client):
    observe("coingecko", (0, "1"), (5, "2"), (30, "3"))
    answer = ask(client, "interval=5m&from=2026-10-01T12:00:00Z&to=2026-10-01T13:00:00Z")
    assert [one["start"][11:16] for one in answer["data"]] == ["12:00", "12:05", "12:30"]
    assert answer["gaps"] == [
        {"from": "2026-10-01T12:10:00Z", "to": "2026-10-01T12:30:00Z", "source": "coingecko"},
        {"from": "2026-10-01T12:35:00Z", "to": "2026-10-01T13:00:00Z", "source": "coingecko"},
    ]
    before = ask(client, "interval=5m&from=2026-10-01T11:50:00Z&to=2026-10-01T12:10:00Z")
    assert [(gap["from"], gap["to"]) for gap in before["gaps"]] == [("2026-10-01T11:50:00Z", "2026-10-01T12:00:00Z")]


def test_gaps_between_raw_points_and_at_the_ends_of_their_window_are_named(client, monkeypatch):
    observe("coingecko", (0, "1"), (5, "2"), (30, "3"), (300, "4"))
    observe("coinpaprika", (300, "4"))
    inner = {"from": "2026-10-01T12:30:00Z", "to": "2026-10-01T17:00:00Z", "source": "coingecko"}
    asked = "from=2026-10-01T11:00:00Z&to=2026-10-01T17:15:00Z"
    assert ask(client, f"{asked}&source=coingecko")["gaps"] == [inner], "an hour is three intervals: no gap yet"
    before, after = "2026-09-30T00:00:00Z", "2026-10-02T00:00:00Z"
    query = f"from={before}&to={after}"
    assert ask(client, query)["gaps"] == [
        {"from": before, "to": "2026-10-01T12:00:00Z", "source": "coingecko"},
        inner,
        {"from": before, "to": "2026-10-01T17:00:00Z", "source": "coinpaprika"},
        {"from": "2026-10-01T17:00:00Z", "to": after, "source": "coingecko"},
        {"from": "2026-10-01T17:00:00Z", "to": after, "source": "coinpaprika"},
    ]
    assert len(ask(client, "from=2026-10-02&to=2026-10-03")["gaps"]) == 2, "nothing but gaps"
    monkeypatch.setattr(history, "AT_MOST", 3)
    monkeypatch.setattr(history, "POINTS", history.POINTS.replace("LIMIT 10001", "LIMIT 4"))
    first = ask(client, f"{query}&source=coingecko")
    assert first["gaps"][-1] == inner, "a page ends where the next one begins"
    assert client.get(first["next"]).json()["gaps"] == [
        {"from": "2026-10-01T17:00:00Z", "to": after, "source": "coingecko"}
    ]


def test_a_gap_up_to_now_leaves_the_tag_alone(client):
    """It grows with the clock, as the window does."""
    observe("coingecko", (0, "1"))
    (now, later) = (client.get("/assets/bitcoin/history") for _ in range(2))
    assert now.json()["gaps"] != later.json()["gaps"]
    assert now["ETag"] == later["ETag"]
    query = "from=2026-10-01&to=2026-10-02"
    assert client.get(f"/assets/bitcoin/history?{query}")["ETag"] != now["ETag"]


def test_a_window_without_any_candle_is_one_gap(client):
    observe("coingecko", (0, "1"))
    window = {"from": "2025-10-01T12:30:00Z", "to": "2025-10-02T00:00:00Z"}
    query = f"interval=1h&from={window['from']}&to={window['to']}"
    answer = ask(client, query)
    assert (answer["data"], answer["source"], answer["gaps"]) == ([], None, [window | {"source": None}])
    assert ask(client, f"{query}&source=coingecko")["gaps"] == [window | {"source": "coingecko"}]
    later = datetime.now(UTC) + timedelta(days=2)
    answer = ask(client, f"interval=1d&from=2026-10-02&to={later:%Y-%m-%d}&source=coinpaprika")
    (gap,) = answer["gaps"]
    assert gap["from"] == "2026-10-02T00:00:00Z"
    assert gap["to"] in (f"{later - timedelta(days=n):%Y-%m-%d}T00:00:00Z" for n in (2, 1)), "up to now"
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert ask(client, f"interval=1h&from={tomorrow:%Y-%m-%dT%H:%M:%SZ}&to={later:%Y-%m-%d}T23:00:00Z")["gaps"] == []


def test_a_gap_ends_now_by_the_databases_clock(client, monkeypatch):
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=3)

    observe("coingecko", (0, "1"))
    now = datetime.now(UTC)
    monkeypatch.setattr(history, "datetime", Ahead)
    (gap,) = ask(
        client, f"interval=1h&from={now - timedelta(hours=5):%Y-%m-%dT%H:00:00Z}&to={now + timedelta(days=99):%Y-%m-%d}"
    )["gaps"]
    assert gap["to"] <= f"{now + timedelta(hours=1):%Y-%m-%dT%H}"


def test_a_candle_that_is_not_over_is_not_closed(client):
    now = datetime.now(UTC)
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=now - timedelta(hours=2), price_usd="1"))
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=now, price_usd="2"))
    closed = [one["closed"] for one in ask(client, "interval=1h")["data"]]
    assert closed == [True, False]
    # Nor is one of which only a part was asked for.
    observe("coingecko", (10, "1"))
    (partly,) = ask(client, "interval=1h&from=2026-10-01T12:05:00Z&to=2026-10-01T13:00:00Z")["data"]
    assert partly["closed"] is False
    (partly,) = ask(client, "interval=1h&from=2026-10-01T12:00:00Z&to=2026-10-01T12:30:00Z")["data"]
    assert partly["closed"] is False
    (whole,) = ask(client, "interval=1h&from=2026-10-01T12:00:00Z&to=2026-10-01T13:00:00Z")["data"]
    assert whole["closed"] is True


@pytest.mark.parametrize(("interval", "ending"), [("5m", ":00Z"), ("1h", ":00:00Z"), ("1d", "T00:00:00Z")])
def test_what_the_caller_leaves_open_begins_with_a_whole_candle(client, interval, ending):
    observe("coingecko", (0, "1"))
    assert ask(client, f"interval={interval}")["from"].endswith(ending)


def test_more_points_than_an_answer_holds_go_on_at_next(client, monkeypatch):
    monkeypatch.setattr(history, "AT_MOST", 4)
    monkeypatch.setattr(history, "POINTS", history.POINTS.replace("LIMIT 10001", "LIMIT 5"))
    for minute in range(6):
        observe("coingecko", (minute, str(minute + 1)))
        observe("coinpaprika", (minute, str(minute + 1)))
    seen, address = [], "/assets/bitcoin/history?from=2026-10-01&to=2026-10-02"
    while address:
        page = client.get(address).json()
        assert len(page["data"]) <= 5
        seen += [(point["observed_at"], point["source"]) for point in page["data"]]
        address = page["next"]
    assert len(seen) == len(set(seen)) == 12


def test_a_gap_between_two_pages_is_named(client, monkeypatch):
    monkeypatch.setattr(history, "AT_MOST", 2)
    monkeypatch.setattr(history, "POINTS", history.POINTS.replace("LIMIT 10001", "LIMIT 3"))
    observe("coingecko", (0, "1"), (300, "2"), (301, "3"), (302, "4"), (700, "5"))
    observe("coinpaprika", (1, "1"), (400, "2"))
    pages, address = [], "/assets/bitcoin/history?from=2026-10-01&to=2026-10-02"
    while address:
        page = client.get(address).json()
        pages += page["gaps"]
        address = page["next"]
    monkeypatch.undo()
    whole = ask(client, "from=2026-10-01&to=2026-10-02")["gaps"]
    assert len(whole) == 6
    assert all(gap in pages for gap in whole)

    def lies_in(part, gap):
        return part["source"] == gap["source"] and gap["from"] <= part["from"] and part["to"] <= gap["to"]

    # A page that begins within a gap says of it what it sees.
    assert all(any(lies_in(part, gap) for gap in whole) for part in pages)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("from=2026-10-02&to=2026-10-01", "from"),
        ("from=2026-10-01&to=2026-10-01", "from"),
        ("interval=5m&from=2000-01-01", "interval"),
        ("interval=2m", "interval"),
        ("to=0001-01-01", "to"),
        ("from=nan", "from"),
        ("page=1", "page"),
        ("source=nobody", "source"),
        ("interval=1h&source=nobody", "source"),
        ("interval=1d&from=9999-12-31T23:00:00Z&to=9999-12-31T22:00:00Z", "from"),
        ("format=xml", "format"),
        ("interval=1h&interval=1d", "interval"),
        ("frm=2026-10-01", "frm"),
    ],
)
def test_windows_that_cant_be_answered(client, query, name):
    observe("coingecko", (0, "1"))
    answer = client.get(f"/assets/bitcoin/history?{query}")
    assert answer.status_code == 400
    assert name in answer.json()["error"]["fields"]


@pytest.mark.parametrize(("interval", "queries"), [("raw", 4), ("1h", 3)])
def test_the_number_of_queries(client, django_assert_num_queries, interval, queries):
    observe("coingecko", *((minute, str(minute + 1)) for minute in range(6)))
    with django_assert_num_queries(queries):
        ask(client, f"interval={interval}&from=2026-10-01&to=2026-10-02")


def rows_of(client, query: str, kind: str) -> list[dict]:
    answer = client.get(f"/assets/bitcoin/history?{query}&format={kind}")
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()
    assert "bitcoin" in answer["Content-Disposition"] and answer["Content-Disposition"].endswith(f'.{kind}"')
    return (
        list(csv.DictReader(text.splitlines()))
        if kind == "csv"
        else [json.loads(line, parse_float=str) for line in text.splitlines()]
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("interval", ["raw", "5m", "1h", "1d"])
def test_csv_and_ndjson_say_what_json_says(client, interval):
    observe("coingecko", (0, "1"), (20, "2.00000000000000000001"), (100, "3e-30"))
    candles.roll_up()
    observe("coingecko", (1500, "4"))
    query = f"interval={interval}&from=2026-10-01&to=2026-10-05"
    answer = client.get(f"/assets/bitcoin/history?{query}")
    shown = json.loads(answer.content, parse_float=str)["data"]
    lines = rows_of(client, query, "ndjson")
    assert [{name: line[name] for name in shown[0]} for line in lines] == shown
    cells = rows_of(client, query, "csv")
    as_text = [{name: json_text(value) for name, value in line.items()} for line in lines]
    assert cells == as_text
    assert {line["source"] for line in lines} == {"coingecko"}


def json_text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_window_without_points_is_a_file_without_rows(client, kind):
    observe("coingecko", (0, "1"))
    for interval in ("raw", "1d"):
        assert rows_of(client, f"interval={interval}&from=2025-10-01&to=2025-10-02", kind) == []


@pytest.mark.django_db(transaction=True)
def test_a_file_holds_every_point_of_the_window(client, monkeypatch):
    monkeypatch.setattr(history, "AT_MOST", 4)
    observe("coingecko", *((minute, str(minute + 1)) for minute in range(12)))
    assert len(rows_of(client, "from=2026-10-01&to=2026-10-02", "csv")) == 12


def test_bad_parameters_of_a_file_are_named_in_json(client):
    observe("coingecko", (0, "1"))
    answer = client.get("/assets/bitcoin/history?interval=2m&format=csv")
    assert answer.status_code == 400
    assert "interval" in answer.json()["error"]["fields"]


def test_a_backfilled_point_says_so(client):
    observe("coingecko", (0, "1"), (1, "2"))
    PricePoint.objects.filter(price_usd=1).update(page_id=None)
    window = "from=2026-10-01&to=2026-10-02"
    assert [one["origin"] for one in ask(client, window)["data"]] == ["backfilled", "observed"]
    assert [(one["count"], one["backfilled"]) for one in ask(client, f"{window}&interval=1d")["data"]] == [(2, 1)]


def test_the_examples_of_the_schema_are_what_their_addresses_answer(client):
    """Fetched with the parameters that each example shows, over the points that it was made of."""
    for at, price in (
        ("2026-11-01T11:19:31.204Z", "68010.2"),
        ("2026-11-01T11:39:31.204Z", "67990.01"),
        ("2026-11-01T11:59:31.204Z", "68123.45"),
        ("2026-11-01T12:19:02.71Z", "68150"),
    ):
        more = SUPPLY | {"market_cap": "1345678901234", "volume_24h": "23456789012"}
        own = record("bitcoin", "BTC", "Bitcoin", at=datetime.fromisoformat(at), price_usd=price, **more)
        load("coingecko", own)
    answers = client.get("/schema").json()["paths"]["/assets/{asset_id}/history"]["get"]["responses"]["200"]
    examples = answers["content"]["application/json"]["examples"]
    assert len(examples) == 2
    for name, example in examples.items():
        value = example["value"]
        asked = {key: value[key] for key in ("interval", "from", "to")}
        answer = ask(client, urlencode(asked))
        for key in ("request_id", "api_latency_ms"):
            answer[key] = value[key]
        if value["interval"] == "raw":
            value["data"], answer["data"] = value["data"][-1:], answer["data"][-1:]
        assert answer == value, name
