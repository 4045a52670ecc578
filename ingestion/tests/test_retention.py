"""Retention: what is old goes, pages in small chunks and price points by whole months, and what is stood on stays."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from assets import candles, store
from assets.models import DayCandle, Event, HourCandle, PricePoint, Quote
from assets.tests.factories import load, record
from cryptoetl.demo import Fault
from ingestion import replaying, retention
from ingestion.models import BackfillPiece, Checkpoint, RawBody, RawPayload, Reject

LONG_AGO = timedelta(days=40)
POINTS = "assets_price_point"


def months() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent::regclass::text = %s", [POINTS]
        )
        return {name for (name,) in cursor.fetchall()}


def stood_on() -> set[int]:
    """The pages of current quotes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT page_id FROM assets_quote")
        return {page for (page,) in cursor.fetchall()}


@pytest.fixture
def old(ingest, provider) -> list[int]:
    """Pages of four sweeps of CoinGecko, all received long ago; the ids of the first sweep's."""
    for _ in range(4):
        ingest("coingecko")
        provider.change_prices()
    RawPayload.objects.update(received_at=Now() - LONG_AGO)
    RawBody.objects.update(stored_at=Now() - LONG_AGO)
    return list(RawPayload.objects.filter(sweep=RawPayload.objects.earliest("pk").sweep).values_list("pk", flat=True))


def test_a_page_that_retention_removes_before_a_replay_comes_to_it_is_left_out(old, provider):
    provider.fail("coingecko", Fault.PRICE_STRING)
    replay = replaying.replay(RawPayload.objects.select_related("source", "body").order_by("-pk").iterator())
    assert next(replay).pages == 1
    removed = retention.prune().pages
    assert removed
    *_, done = replay
    assert (done.pages, done.failed) == (RawPayload.objects.count(), 0)


def test_old_pages_go_with_their_bodies_and_the_latest_sweeps_stay(manage, old):
    before, bodies = RawPayload.objects.count(), RawBody.objects.count()
    assert manage("prune", "--dry-run").out.startswith("Would remove")
    assert (RawPayload.objects.count(), RawBody.objects.count()) == (before, bodies)
    said = manage("prune").out
    gone = before - RawPayload.objects.count()
    assert gone > 0
    assert said.startswith(f"Removed {gone:,} pages older than 30 days")
    assert not RawPayload.objects.filter(pk__in=set(old) - stood_on()).exists()
    assert RawPayload.objects.values("sweep").distinct().count() >= 2
    assert RawBody.objects.count() == RawPayload.objects.values("body").distinct().count() < bodies
    assert retention.prune().pages == 0


def test_a_page_that_waits_to_be_read_stays_whatever_its_age(old):
    pages = RawPayload.objects.filter(pk__in=set(old) - stood_on())
    count = pages.update(state="stored")
    retention.prune()
    assert pages.count() == count > 0
    pages.update(state="normalized")
    retention.prune()
    assert not pages.exists()


def test_a_dry_run_names_as_many_pages_as_the_real_one_removes(old):
    would = retention.prune(dry_run=True)
    assert would.pages == retention.prune().pages > 0


def test_the_page_of_an_open_reject_and_of_a_current_quote_stay_whatever_their_age(ingest, provider):
    provider.fail("coingecko", Fault.PRICE_STRING, match={"page": 1}, position=3)
    for _ in range(4):
        ingest("coingecko")
    RawPayload.objects.update(received_at=Now() - LONG_AGO)
    reject = Reject.objects.get()
    needed = stood_on() | {reject.payload_id}
    retention.prune()
    assert set(RawPayload.objects.filter(pk__in=needed).values_list("pk", flat=True)) == needed
    Reject.objects.update(state=Reject.State.DISCARDED)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE assets_quote SET page_id = %s", [RawPayload.objects.latest("pk").pk])
    retention.prune()
    assert not RawPayload.objects.filter(pk=reject.payload_id).exists()


def test_whole_months_of_price_points_are_dropped_and_one_that_is_not_over_stays(manage, ingest, provider, settings):
    ingest("coingecko")
    settings.HISTORY_RETENTION_DAYS = 365
    points = PricePoint.objects.count()
    candles.catch_up()
    hours, days = HourCandle.objects.count(), DayCandle.objects.count()
    now = datetime.now(UTC)
    ancient, edge = now - timedelta(days=500), now - timedelta(days=365)
    store.ensure_partitions([ancient, edge])
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO {POINTS}
                SELECT (jsonb_populate_record(point, jsonb_build_object('observed_at', %s))).* FROM {POINTS} point""",
            [ancient],
        )
    assert PricePoint.objects.count() == 2 * points
    with connection.cursor() as cursor:
        for table in ("hour", "day"):
            cursor.execute(
                f"""INSERT INTO assets_candle_{table}
                    SELECT (jsonb_populate_record(one, jsonb_build_object('start', %s))).*
                    FROM assets_candle_{table} one""",
                [ancient],
            )
    assert hours > 0
    name = f"assets_price_point_{ancient:%Y_%m}"
    said = manage("prune", "--dry-run").out
    assert f"{ancient:%Y-%m}" in said
    assert name in months()
    assert f"{ancient:%Y-%m}" in manage("prune").out
    assert name not in months()
    assert f"assets_price_point_{edge:%Y_%m}" in months(), "it holds points that are younger than the limit"
    assert PricePoint.objects.count() == points
    assert HourCandle.objects.count() == hours, "candles of an hour go with their points"
    assert DayCandle.objects.count() == 2 * days, "candles of a day stay"


def test_of_a_record_that_can_never_be_read_only_the_newest_page_is_held(ingest, tmp_path, settings):
    path = tmp_path / "coins.csv"
    settings.CSV_SOURCE_PATH = str(path)
    for hour in range(6):
        time = f"2026-11-19T{hour:02}:00:00Z"
        rows = (f"a,A,A,1,{time}", f"b,B,B,1{hour} euro,{time}", f",,,1{hour},{time}", f"a,A,A,{hour} euro,{time}")
        path.write_text("".join(f"{line}\n" for line in ("id,symbol,name,price_usd,observed_at", *rows)))
        assert ingest("csv", full=True).rejected == 3
    assert Reject.objects.count() == 18
    RawPayload.objects.update(received_at=Now() - LONG_AGO)
    assert retention.prune().pages == 4
    assert RawPayload.objects.count() == 2, "of the latest two sweeps"
    newest = RawPayload.objects.latest("pk")
    assert Reject.objects.filter(payload=newest, state="open").count() == 3
    Checkpoint.objects.update(sweep=F("sweep") + 5)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE assets_quote SET page_id = 0")
    assert retention.prune().pages == 1
    assert RawPayload.objects.get() == newest
    Reject.objects.update(state=Reject.State.DISCARDED)
    assert retention.prune().pages == 1


def test_a_month_that_was_dropped_does_not_come_back_for_what_is_unchanged(ingest, tmp_path, settings):
    path = tmp_path / "coins.csv"
    settings.CSV_SOURCE_PATH, settings.HISTORY_RETENTION_DAYS = str(path), 60
    month, now = "assets_price_point_2020_01", datetime.now(UTC)
    for price in (1, 2):
        path.write_text(f"id,price_usd,observed_at\nold,1,2020-01-05\nnew,{price},{now:%Y-%m-%dT%H:%M:%SZ}\n")
        assert ingest("csv").status == "completed"
        assert (month in months()) == (price == 1)
        retention.prune()
        assert month not in months()
    list(replaying.replay(RawPayload.objects.select_related("source", "body").order_by("pk").iterator()))
    assert month not in months()
    Quote.objects.all().delete()
    *_, done = replaying.replay(RawPayload.objects.select_related("source", "body").order_by("pk").iterator(), True)
    assert (done.inserted, month in months()) == (4, False), "a dry run says what is news, and makes no month for it"
    list(replaying.replay(RawPayload.objects.select_related("source", "body").order_by("pk").iterator()))
    assert retention.prune().partitions == (month,)
    path.write_text(f"id,price_usd,observed_at\nold,3,2020-01-06\nnew,2,{now:%Y-%m-%dT%H:%M:%SZ}\n")
    assert (ingest("csv").updated, month in months()) == (1, True), "this is news"
    assert retention.prune().partitions == (month,)


def test_a_body_that_is_being_stored_again_is_left_and_nobody_waits(ingest, tmp_path, settings):
    path = tmp_path / "coins.csv"
    settings.CSV_SOURCE_PATH = str(path)
    path.write_text("id,price_usd\nold,1\n")
    page = ingest("csv").payloads.get()
    again, gone = (RawBody.objects.create(sha256=mark * 32, encoding="utf-8", size=1) for mark in (b"x", b"y"))
    RawBody.objects.update(stored_at=Now() - LONG_AGO)
    page.pk, page.number, page.body = None, 2, again
    page._state.adding = True
    stored, looked = threading.Event(), threading.Event()

    def store_again() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT FROM ingestion_rawbody WHERE sha256 = %s FOR KEY SHARE", [again.pk])  # as STORE does
            page.save()
            stored.set()
            assert looked.wait(10)
        connection.close()

    with ThreadPoolExecutor(1) as other:
        storing = other.submit(store_again)
        assert stored.wait(10)
        assert retention.drop_bodies() == 1
        looked.set()
        storing.result()
    assert RawBody.objects.filter(pk=again.pk).exists()
    assert not RawBody.objects.filter(pk=gone.pk).exists()


def test_a_worker_whose_clock_is_ahead_drops_nothing(ingest, provider, monkeypatch):
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=10_000)

    for _ in range(4):
        ingest("coingecko")
        provider.change_prices()
    monkeypatch.setattr(retention, "datetime", Ahead)
    assert retention.prune() == retention.Pruned(0, 0, ())


@pytest.mark.django_db(transaction=True)
def test_a_month_that_is_being_read_is_left_and_holds_no_other_up(monkeypatch):
    monkeypatch.setattr(retention, "TRIES", 2)
    store.make_partitions(["2020-01-01", "2020-02-01"])
    with closing(psycopg2.connect(**connection.get_connection_params())) as other, other.cursor() as reader:
        reader.execute("SELECT FROM assets_price_point_2020_01")
        assert retention.drop_months([f"{POINTS}_2020_01", f"{POINTS}_2020_02"]) == [f"{POINTS}_2020_01"]
        assert f"{POINTS}_2020_01" in months() and f"{POINTS}_2020_02" not in months()
    assert retention.drop_months([f"{POINTS}_2020_01"]) == []


def test_months_in_use_are_asked_for_so_often_in_all(monkeypatch):
    asked = []
    monkeypatch.setattr(retention, "PAUSE", 0)
    monkeypatch.setattr(retention, "drop_month", asked.append)
    assert retention.drop_months(["b", "a"]) == ["a", "b"]
    assert len(asked) == retention.TRIES


def test_an_answer_is_forgotten_once(db):
    at = datetime(2020, 1, 1, tzinfo=UTC)
    source = load("coingecko", record("a-coin"))
    body = RawBody.objects.create(sha256=b"x" * 32, encoding="utf-8", size=1)
    values = {"source": source, "listing": source.listings.get(), "interval": "1h", "state": "done", "body": body}
    BackfillPiece.objects.create(**values, begin=at, end=at + LONG_AGO)
    assert [retention.forget_answers(datetime.now(UTC)) for _ in range(2)] == [1, 0]


def test_the_news_that_a_coin_went_stale_goes_with_its_points_and_all_other_news_stays(manage, settings):
    settings.HISTORY_RETENTION_DAYS = 60
    listing = load("coingecko", record("a-coin")).listings.get()
    for kind in ("stale", "delisted"):
        for days in (61, 59):
            Event.objects.create(listing=listing, kind=kind, at=datetime.now(UTC) - timedelta(days=days))
    assert "Would remove 1 event of as long ago" in manage("prune", "--dry-run").out and Event.objects.count() == 4
    assert "Removed 1 event of as long ago" in manage("prune").out
    assert sorted(Event.objects.values_list("kind", flat=True)) == ["delisted", "delisted", "stale"]
    assert "event" not in manage("prune").out
