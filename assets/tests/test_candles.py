"""Candles kept ready say exactly what the points say: late, out of order, corrected, not rolled up yet, or twice."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets import candles, history, store
from assets.models import CandleDue, DayCandle, HourCandle, Listing, PricePoint, Source
from assets.tests.factories import load, pages, record

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
INTERVALS = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}


def observe(minutes: float, price: str, own: str = "bitcoin", page_id: int | None = None) -> None:
    at = NOON + timedelta(minutes=minutes)
    load("coingecko", record(own, own.upper(), own, at=at, price_usd=price), page_id=page_id)


def kept(model: type[HourCandle | DayCandle] = HourCandle) -> list[tuple]:
    names = ("start", "open", "high", "low", "close", "count")
    return [
        (f"{start:%d %H}", *map(int, figures)) for start, *figures in model.objects.order_by("pk").values_list(*names)
    ]


def asked(interval: str, begin: datetime, end: datetime) -> list[tuple]:
    (one,) = history.series_of(Listing.objects.get(source_asset_id="bitcoin").asset_id, None)
    with connection.cursor() as cursor:
        cursor.execute(*history.candles_of(one, history.Window(interval, begin, end, None)))
        return cursor.fetchall()


def made_by_hand(interval: str, begin: datetime, end: datetime) -> list[tuple]:
    """The same from the points, by the simplest code there is."""
    buckets = defaultdict(list)
    for at, price, page in PricePoint.objects.order_by("observed_at").values_list(
        "observed_at", "price_usd", "page_id"
    ):
        if begin <= at < end:
            buckets[at - (at - history.EPOCH) % INTERVALS[interval]].append((at, price, page is None))
    return [
        (
            start,
            inside[0][1],
            max(price for _, price, _ in inside),
            min(price for _, price, _ in inside),
            inside[-1][1],
            len(inside),
            sum(old for *_, old in inside),
            inside[-1][0],
        )
        for start, inside in sorted(buckets.items())
    ]


@pytest.mark.django_db
def test_points_go_into_the_candles_of_their_hour_and_day():
    for minutes, price in ((0, "5"), (20, "9"), (40, "1"), (59.999, "7"), (60, "8"), (12 * 60, "3")):
        observe(minutes, price)
    assert kept() == []
    assert candles.roll_up() == 6
    assert kept() == [("01 12", 5, 9, 1, 7, 4), ("01 13", 8, 8, 8, 8, 1), ("02 00", 3, 3, 3, 3, 1)]
    assert kept(DayCandle) == [("01 00", 5, 9, 1, 8, 5), ("02 00", 3, 3, 3, 3, 1)]
    assert candles.roll_up() == CandleDue.objects.count() == 0


@pytest.mark.django_db
def test_a_late_point_one_out_of_order_and_a_corrected_one_mend_their_own_bucket():
    observe(30, "5")
    observe(90, "6")
    candles.roll_up()
    observe(10, "2")  # late: the hour opens with it
    observe(20, "9")
    candles.roll_up()
    assert kept() == [("01 12", 2, 9, 2, 5, 3), ("01 13", 6, 6, 6, 6, 1)]
    observe(20, "4")  # corrected: the same moment, in a later page
    candles.roll_up()
    assert kept() == [("01 12", 2, 5, 2, 5, 3), ("01 13", 6, 6, 6, 6, 1)]
    assert kept(DayCandle) == [("01 00", 2, 6, 2, 6, 4)]


@pytest.mark.django_db
def test_pages_without_news_are_not_due_and_rolling_up_again_writes_nothing():
    observe(0, "5")
    candles.roll_up()
    observe(0, "5")
    source, (known, news) = Source.objects.get(slug="coingecko"), (next(pages), next(pages))
    words = {
        known: [(0, record("bitcoin", "BITCOIN", "bitcoin", at=NOON, price_usd="5"))],
        news: [(0, record("ethereum", "ETHEREUM", "ethereum", at=NOON, price_usd="5"))],
    }
    with transaction.atomic():
        store.merge_pages(source, words)
    assert CandleDue.objects.get().page_id == news
    candles.roll_up()

    def versions() -> list:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT xmin, ctid FROM assets_candle_hour UNION ALL SELECT xmin, ctid FROM assets_candle_day"
            )
            return cursor.fetchall()

    before = versions()
    candles.due(source.pk, [news])
    assert candles.roll_up() == 1
    assert versions() == before


@pytest.mark.django_db
def test_what_is_not_rolled_up_yet_is_in_the_answer():
    observe(0, "5")
    candles.roll_up()
    observe(5, "9")
    observe(70, "6")
    observe(26 * 60, "7")
    begin, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 4, tzinfo=UTC)
    assert CandleDue.objects.count() == 3
    for interval in INTERVALS:
        assert asked(interval, begin, end) == made_by_hand(interval, begin, end)


@pytest.mark.django_db
def test_an_answer_is_read_from_the_candles():
    """Otherwise it would be exact, and slow."""
    observe(0, "5")
    candles.roll_up()
    HourCandle.objects.update(high=77)
    DayCandle.objects.update(high=88)
    begin, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC)
    assert [row[2] for interval in INTERVALS for row in asked(interval, begin, end)] == [77, 88]


@pytest.mark.django_db
def test_the_ends_of_a_window_that_lie_within_a_bucket_are_exact():
    for minutes in (10, 20, 30, 70, 80):
        observe(minutes, str(minutes))
    candles.roll_up()
    for first, last in ((10, 30), (10, 80), (20, 30), (60, 80), (0, 70), (11, 29)):
        for interval in INTERVALS:
            window = (interval, NOON + timedelta(minutes=first), NOON + timedelta(minutes=last))
            assert asked(*window) == made_by_hand(*window)


@pytest.mark.django_db(transaction=True)
def test_one_at_a_time_rolls_up():
    """Of two, the one that read earlier could write later, and what it had not seen yet would be gone."""
    observe(0, "5")
    began, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [candles.LOCK])
                began.set()
                go_on.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert began.wait(30)
    assert (candles.roll_up(), CandleDue.objects.count(), kept()) == (0, 1, [])
    go_on.set()
    thread.join()
    assert candles.roll_up() == 1


@pytest.mark.django_db
def test_a_day_whose_points_are_gone_stays():
    observe(0, "5")
    observe(10, "6")
    candles.roll_up()
    HourCandle.objects.all().delete()
    PricePoint.objects.all().delete()
    observe(20, "1")
    candles.roll_up()
    assert kept(DayCandle) == [("01 00", 5, 6, 5, 6, 2)]


minutes_from_noon = st.integers(-2000, 2000).map(lambda number: number * 7.3)


@pytest.mark.django_db(transaction=True)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.one_of(st.just("roll up"), st.tuples(minutes_from_noon, st.integers(1, 9))), max_size=25),
    begin=minutes_from_noon,
    length=st.one_of(st.integers(1, 6000), st.sampled_from([60, 1440, 2880])),
    aligned=st.booleans(),
)
def test_whatever_comes_in_whatever_order_an_answer_says_what_the_points_say(steps, begin, length, aligned):
    for model in (CandleDue, HourCandle, DayCandle, PricePoint):
        model.objects.all().delete()
    observe(-60 * 24 * 40, "1")  # so that there is a listing; outside of every window
    for step in steps:
        if step == "roll up":
            candles.roll_up(pages=3)
        else:
            observe(step[0], str(step[1]))
    at = NOON + timedelta(minutes=begin)
    at = history.floor(at, timedelta(days=1)) if aligned else at
    for interval in INTERVALS:
        window = (interval, at, at + timedelta(minutes=length))
        assert asked(*window) == made_by_hand(*window)


@pytest.mark.django_db(transaction=True)
def test_workers_that_roll_up_side_by_side_while_points_come_in_lose_none():
    prices = {own: [str(1 + (7 * step) % 31) for step in range(60)] for own in ("bitcoin", "ethereum")}
    for own in prices:
        observe(-60 * 24, "1", own)
    done = threading.Event()
    failures: list[BaseException] = []

    def write(own: str) -> None:
        try:
            for step, price in enumerate(prices[own]):
                observe((step * 37) % 180, price, own)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    def work() -> None:
        try:
            while not done.is_set():
                candles.roll_up(pages=2)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=[own]) for own in prices]
    workers = [threading.Thread(target=work) for _ in range(3)]
    for thread in (*writers, *workers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in workers:
        thread.join()
    assert failures == []
    candles.catch_up()
    PricePoint.objects.exclude(listing__source_asset_id="bitcoin").delete()
    window = ("1h", NOON - timedelta(days=3), NOON + timedelta(days=3))
    assert asked(*window) == made_by_hand(*window)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_in_the_middle_leaves_all_to_the_next(monkeypatch):
    observe(0, "5")
    monkeypatch.setattr(candles, "DAYS", "SELECT 1 / 0, %s, %s")
    with pytest.raises(Exception, match="division by zero"):
        candles.roll_up()
    assert (kept(), CandleDue.objects.count()) == ([], 1)
    monkeypatch.undo()
    candles.roll_up()
    assert kept(DayCandle) == [("01 00", 5, 5, 5, 5, 1)]


@pytest.mark.django_db(transaction=True)
def test_points_of_a_transaction_that_has_not_ended_stay_due():
    """Its row is written with the points: whoever rolls up meanwhile sees neither, and takes neither away."""
    observe(0, "5")
    source = Source.objects.get(slug="coingecko")
    written, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        try:
            with transaction.atomic():
                late = record("bitcoin", "BITCOIN", "bitcoin", at=NOON + timedelta(minutes=1), price_usd=Decimal(9))
                store.merge(source, [(0, late)], next(pages))
                written.set()
                go_on.wait(30)
        finally:
            connection.close()

    thread = threading.Thread(target=slowly)
    thread.start()
    assert written.wait(30)
    assert candles.roll_up() == 1
    go_on.set()
    thread.join()
    assert kept() == [("01 12", 5, 5, 5, 5, 1)]
    assert candles.roll_up() == 1
    assert kept() == [("01 12", 5, 9, 5, 9, 2)]


def unsummarized() -> int:
    """Ranges of the points' blocks that the index on their pages knows nothing of; now it does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(brin_summarize_new_values(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'assets_price_point_page'::regclass"
        )
        return cursor.fetchone()[0]


def many_points() -> None:
    """A page is due behind a large load; some 40 ranges."""
    observe(0, "5")
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO assets_price_point (listing_id, observed_at, price_usd, page_id)
               SELECT 1000000 + n, %s, n, 7 FROM generate_series(1, 50000) n""",
            [NOON],
        )


@pytest.mark.django_db
def test_the_points_of_a_page_are_quickly_found_right_after_a_large_load():
    many_points()
    candles.roll_up()
    assert unsummarized() == 0
    assert candles.roll_up() == 0, "nothing is due, and nothing looked for"


@pytest.mark.django_db(transaction=True)
def test_what_is_at_the_points_is_not_disturbed():
    many_points()
    with closing(psycopg2.connect(**connection.get_connection_params())) as other, other.cursor() as cursor:
        cursor.execute("LOCK assets_price_point_2026_10 IN SHARE UPDATE EXCLUSIVE MODE")
        assert candles.roll_up() == 1
        assert kept() == [("01 12", 5, 5, 5, 5, 1)]
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
