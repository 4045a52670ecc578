"""What survives: workers, beat, Redis and PostgreSQL are killed for real in mid-run, and the tables come out the same.

A clock is never waited for: where a lease has to run out, its time is set back in the database.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from assets.models import Asset, Quote, Source
from assets.tests.factories import load, record
from cryptoetl.demo import Fault
from cryptoetl.local.throwaway import Throwaway
from ingestion import attempts, lease, normalizing, pipeline, reconciling, replaying, runs, tasks
from ingestion.errors import Refused, Unavailable
from ingestion.models import Checkpoint, RawPayload, Run
from ingestion.tests.conftest import COINS, PAGES, run_to_end
from ingestion.tests.crew import nothing_is_left_open, pass_time, reconcile_until_ended, tables, wait_for

pytestmark = pytest.mark.faults


class Died(BaseException):
    """SIGKILL, as far as the code behind it is concerned."""


def test_a_worker_killed_in_mid_sweep_is_taken_over_and_nothing_is_lost(market, workers, undisturbed):
    market.fail("coingecko", Fault.HANG, match={"page": 3})
    doomed = workers.start()
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    # Page 3 is called for while page 2 is stored.
    wait_for(lambda: any(call.params.get("page") == "3" for call in market.calls), "page 3 was asked for")
    wait_for(lambda: Checkpoint.objects.get(source=run.source).cursor == "500", "page 2 is stored")
    workers.kill(doomed)
    workers.start()
    reconcile_until_ended(run)
    assert (run.status, run.processed) == ("completed", COINS)
    assert run.takeovers >= 1
    assert tables() == undisturbed
    nothing_is_left_open()
    # What was stored is not fetched again.
    assert [call.params["page"] for call in market.calls] == ["1", "2", "3", "3", "4"]


def test_a_worker_that_dies_behind_the_last_page_leaves_nothing_to_be_fetched_again(market, undisturbed):
    def die_behind_the_last(page_id: int) -> None:
        normalizing.normalize(page_id)
        if RawPayload.objects.count() == PAGES:
            raise Died

    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    with pytest.raises(Died):
        tasks.carry(run.pk, die_behind_the_last)
    tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert (run.status, run.pages, run.processed) == ("completed", PAGES, COINS)
    assert [call.params["page"] for call in market.calls] == ["1", "2", "3", "4"]
    assert tables() == undisturbed


def test_every_message_lost_in_mid_load_needs_no_hand(market, workers, undisturbed, servers: Throwaway):
    import redis

    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    # Every page is stored, and not one of the messages about them arrives.
    tasks.carry(run.pk, lambda page_id: tasks.send(tasks.normalize, page_id))
    redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
    assert RawPayload.objects.filter(state="stored").count() == PAGES
    workers.start()
    reconcile_until_ended(run)
    assert run.status == "completed"
    assert tables() == undisturbed


def test_redis_killed_and_started_again_in_mid_run(market, workers, undisturbed, servers: Throwaway):
    market.fail("coingecko", Fault.SLOW_START, match={"page": 2}, delay=2)
    workers.start()
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    wait_for(lambda: len(market.calls) >= 2, "page 2 was asked for")
    servers.kill("redis")
    servers.start_redis()
    reconcile_until_ended(run)
    assert run.status == "completed"
    assert tables() == undisturbed
    nothing_is_left_open()


def test_postgresql_killed_and_started_again_in_mid_run(market, workers, undisturbed, servers: Throwaway):
    market.fail("coingecko", Fault.SLOW_START, match={"page": 3}, delay=2)
    with connection.cursor() as cursor:
        # What a long session of tests left to be made good is not what is tested here.
        cursor.execute("CHECKPOINT")
    workers.start()
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    wait_for(lambda: len(market.calls) >= 3, "page 3 was asked for")
    servers.kill("postgres")
    servers.start_postgres()
    connection.close()
    reconcile_until_ended(run)
    assert run.status == "completed"
    assert tables() == undisturbed
    nothing_is_left_open()


def test_the_broker_is_away_and_the_run_is_carried_out_later(market, workers, undisturbed, servers: Throwaway):
    servers.kill("redis")
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.ADMIN)
    began = time.monotonic()
    tasks.send(tasks.fetch, run.pk)
    assert time.monotonic() - began < 2
    run.refresh_from_db()
    assert run.status == "queued"
    servers.start_redis()
    workers.start()
    reconcile_until_ended(run)
    assert run.status == "completed"
    assert tables() == undisturbed


def test_a_client_of_the_broker_that_stumbles_fails_no_run(market, undisturbed, monkeypatch):
    """As kombu does when Redis is killed between two of its lines."""

    def stumble(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'client'")

    monkeypatch.setattr(tasks.normalize, "apply_async", stumble)
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.carry(run.pk, lambda page_id: tasks.send(tasks.normalize, page_id))
    for page_id in RawPayload.objects.values_list("pk", flat=True):
        normalizing.normalize(page_id)
    run.refresh_from_db()
    assert (run.status, run.error) == ("completed", "")
    assert tables() == undisturbed


def test_a_holder_that_lost_its_lease_can_write_nothing(market):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)

    def stolen(page_id: int) -> None:
        pass_time()
        assert lease.claim(run.pk) is not None

    tasks.carry(run.pk, stolen)
    run.refresh_from_db()
    assert (run.status, run.pages, run.takeovers) == ("running", 1, 1)
    assert Checkpoint.objects.get(source=run.source).cursor == "250"


@pytest.mark.parametrize(
    "trouble", [OperationalError("gone"), Refused("no"), Unavailable("later"), ZeroDivisionError("a bug")], ids=repr
)
def test_a_holder_that_lost_its_lease_says_nothing_of_the_run(market, trouble: Exception):
    def sleep_past_the_lease(_: int) -> None:
        pass_time()
        assert lease.claim(run.pk) is not None
        raise trouble

    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    with suppress(type(trouble)):
        tasks.carry(run.pk, sleep_past_the_lease)
    run.refresh_from_db()
    assert (run.status, run.fetched_at, run.error, run.retries, run.strikes) == ("running", None, "", 0, 0)


def test_a_page_that_kills_its_worker_is_set_aside_and_stops_nothing_else(market, settings, monkeypatch):
    monkeypatch.setattr(attempts, "GRACE", 0.0)
    poison = {}

    def normalize(page_id: int) -> None:
        # The second page kills whoever reads it, before anything can be said about it.
        if RawPayload.objects.get(pk=page_id).number == 2:
            poison["page"] = page_id
            assert normalizing.begin_attempts(page_id)
        else:
            normalizing.normalize(page_id)

    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.carry(run.pk, normalize)
    for _ in range(settings.ETL_RETRY_ATTEMPTS - 1):
        assert normalizing.begin_attempts(poison["page"])
    pass_time()
    assert reconciling.reconcile().pages == [poison["page"]]
    assert not normalizing.normalize(poison["page"])
    run.refresh_from_db()
    assert (run.status, run.processed) == ("partial", COINS - 250)
    assert "Set aside: 3 attempts" in run.error
    page = RawPayload.objects.get(pk=poison["page"])
    assert page.state == "failed"
    assert replaying.requeue(page)
    assert normalizing.normalize(page.pk)
    assert Quote.objects.count() == COINS


def test_a_page_that_two_workers_take_up_is_normalized_once(market):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    pages: list[int] = []
    tasks.carry(run.pk, pages.append)

    def work(page_id: int) -> int:
        try:
            return normalizing.normalize(page_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, pages * 3))
    assert sum(done) == PAGES
    run.refresh_from_db()
    assert (run.status, run.processed, run.inserted) == ("completed", COINS, COINS)


def test_pages_in_any_order_and_twice_give_the_same_tables(market, undisturbed):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    pages: list[int] = []
    tasks.carry(run.pk, pages.append)
    for page_id in [*reversed(pages), *pages]:
        normalizing.normalize(page_id)
    assert tables() == undisturbed


def test_two_beats_make_one_run_per_slot(tables):
    source = Source.objects.get(slug="coingecko")
    for slot in range(20):
        barrier = threading.Barrier(4)

        def tick(barrier: threading.Barrier = barrier) -> int:
            try:
                barrier.wait()
                return runs.start_slot("coingecko") is not None
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            made = sum(pool.map(lambda _, tick=tick: tick(), range(4)))
        assert made == 1, slot
        run = Run.objects.get(source=source, status="queued")
        assert runs.cancel(run)
        assert runs.start_slot("coingecko") is None, "the slot has had its run"
        Run.objects.filter(pk=run.pk).update(slot=run.slot.replace(year=2000 + slot))


def test_only_what_nobody_can_have_in_hand_any_more_is_sent_again(market):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    hour, its = timedelta(hours=1), Run.objects.filter(pk=run.pk)
    assert reconciling.reconcile().runs == [], "its message is on its way"
    its.update(queued_at=Now() - hour, due_at=Now() - hour)
    assert reconciling.reconcile().runs == [run.pk]
    its.update(due_at=Now() + hour)
    assert reconciling.reconcile().runs == []
    its.update(due_at=Now() - hour, lease_token="8c0d2d1c-3b5e-4a52-8b7e-000000000000", lease_until=Now() + hour)
    assert reconciling.reconcile().runs == []
    its.update(lease_until=Now() - hour)
    assert reconciling.reconcile().runs == [run.pk], "whoever held it is dead"
    pages: list[int] = []
    tasks.carry(run.pk, pages.append)
    left = reconciling.reconcile()
    assert (left.runs, left.pages) == ([], [])
    RawPayload.objects.update(received_at=Now() - 2 * reconciling.LOST_AFTER)
    assert reconciling.reconcile().pages == pages


def test_a_slot_whose_message_was_lost_is_made_up_for(tables, monkeypatch):
    from django_celery_beat.models import PeriodicTask

    sent: list[int] = []
    monkeypatch.setattr(tasks, "send", lambda task, *args: sent.extend(args if task is tasks.fetch else ()))
    schedule = PeriodicTask.objects.filter(name="ingest coingecko")
    PeriodicTask.objects.exclude(name="ingest coingecko").update(enabled=False)

    tasks.reconcile()
    assert not Run.objects.exists(), "its first slot is still to come"
    schedule.update(date_changed=Now() - timedelta(days=2))
    assert reconciling.reconcile().slots == ["coingecko"], "beat has never sent"
    schedule.update(date_changed=Now())

    # Beat says that it sent, and nobody has heard of it: the database, or the broker, was away.
    schedule.update(last_run_at=Now() - 2 * reconciling.LOST_AFTER)
    tasks.reconcile()
    run = Run.objects.get()
    assert (run.source.slug, run.trigger, sent) == ("coingecko", "schedule", [run.pk])
    Run.objects.update(queued_at=Now() - timedelta(hours=2))
    sent.clear()
    assert reconciling.reconcile().slots == [], "a run that is under way is its slot's"

    # The run ends. Within the interval nothing is due; an interval and a little later something was lost again.
    assert runs.cancel(run)
    assert reconciling.reconcile().slots == []
    interval = timedelta(seconds=run.source.interval_seconds)
    Run.objects.update(finished_at=Now() - interval - 2 * reconciling.LOST_AFTER)
    assert reconciling.reconcile().slots == ["coingecko"]
    schedule.update(enabled=False)
    assert reconciling.reconcile().slots == []
    schedule.update(enabled=True)
    Source.objects.filter(slug="coingecko").update(enabled=False)
    assert reconciling.reconcile().slots == []


def test_a_cancelled_run_stops_after_its_page_and_the_next_goes_on(market):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.ADMIN)

    def cancel_after_the_first(page_id: int) -> None:
        normalizing.normalize(page_id)
        assert runs.cancel(Run.objects.get(pk=run.pk))

    tasks.carry(run.pk, cancel_after_the_first)
    run.refresh_from_db()
    assert (run.status, run.pages, run.processed) == ("cancelled", 1, 250)
    again = run_to_end("coingecko")
    assert (again.status, again.pages, again.processed) == ("completed", 3, 750)
    queued = runs.start_run(run.source, Run.Trigger.ADMIN)
    assert runs.cancel(queued)
    queued.refresh_from_db()
    assert queued.status == "cancelled"


def test_a_run_cancelled_while_it_waits_ends_when_its_pages_are_done(market):
    market.fail("coingecko", Fault.UNAVAILABLE, match={"page": 2})
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.ADMIN)
    pages: list[int] = []
    with pytest.raises(Unavailable):
        tasks.carry(run.pk, pages.append)
    assert runs.cancel(run)
    run.refresh_from_db()
    assert (run.status, run.outcome) == ("running", "cancelled"), "its page waits"
    assert tasks.claim(run.pk) is None
    normalizing.normalize(pages[0])
    run.refresh_from_db()
    last = RawPayload.objects.get().last_id
    assert (run.status, run.processed, run.last_processed_id) == ("cancelled", 250, last)
    assert run_to_end("coingecko").processed == 750


def test_a_run_cancelled_while_its_source_asks_it_to_wait_does_not_wait(market):
    market.fail("coingecko", Fault.RATE_LIMITED_SECONDS, seconds=86_400)
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.ADMIN)
    Run.objects.filter(pk=run.pk).update(cancel_requested=True)
    tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert (run.status, run.error) == ("cancelled", "Cancelled by a person.")


def test_a_run_cancelled_in_the_moment_it_begins_to_wait_does_not_wait(market):
    market.fail("coingecko", Fault.RATE_LIMITED_SECONDS, seconds=86_400)
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.ADMIN)
    with pytest.raises(Unavailable):
        tasks.carry(run.pk, normalizing.normalize)
    # It had made up its mind to wait, and still held the run.
    Run.objects.filter(pk=run.pk).update(cancel_requested=True)
    reconciling.reconcile()
    run.refresh_from_db()
    assert (run.status, run.error) == ("cancelled", "Cancelled by a person.")


def test_our_own_fault_fails_at_once_and_loudly(market, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pipeline, "store_page", broken)
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    with pytest.raises(ZeroDivisionError):
        tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert (run.status, run.retries) == ("failed", 0)
    assert "A fault of cryptoetl itself: ZeroDivisionError" in run.error
    monkeypatch.undo()


def test_our_own_fault_in_a_page_sets_the_page_aside_and_fails_the_run(market, monkeypatch):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    pages: list[int] = []
    tasks.carry(run.pk, pages.append)
    keep_rejects = normalizing.keep_rejects

    def broken(rejected: Iterable[tuple[RawPayload, list]]) -> None:
        rejected = list(rejected)
        return 1 / 0 if pages[0] in [payload.pk for payload, _ in rejected] else keep_rejects(rejected)

    monkeypatch.setattr(normalizing, "keep_rejects", broken)
    with pytest.raises(ZeroDivisionError):
        normalizing.normalize(pages[0])
    monkeypatch.undo()
    for page_id in pages:
        normalizing.normalize(page_id)
    run.refresh_from_db()
    assert (run.status, run.processed) == ("failed", COINS - 250)
    assert "Page 1: A fault of cryptoetl itself: ZeroDivisionError" in run.error
    page = RawPayload.objects.get(pk=pages[0])
    assert replaying.requeue(page)
    assert normalizing.normalize(page.pk)
    assert Quote.objects.count() == COINS


def test_a_run_whose_last_worker_died_before_it_could_say_so_is_ended(market, monkeypatch):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    monkeypatch.setattr(normalizing, "finish_if_done", lambda run_id: False)
    monkeypatch.setattr("ingestion.finish.finish_if_done", lambda run_id: False)
    tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert run.finished_at is None
    monkeypatch.undo()
    reconciling.reconcile()
    run.refresh_from_db()
    assert run.status == "completed"


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(market, undisturbed):
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
               END $$;
               CREATE TRIGGER no_room BEFORE INSERT ON ingestion_rawpayload FOR EACH ROW EXECUTE FUNCTION no_room()"""
        )
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    try:
        with pytest.raises(OperationalError):
            tasks.carry(run.pk, normalizing.normalize)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION no_room CASCADE")
    run.refresh_from_db()
    assert (run.status, run.error) == (
        "running",
        "PostgreSQL has no room left on its disk; the run goes on once there is.",
    )
    assert not Quote.objects.exists()
    tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert (run.status, run.error) == ("completed", "")
    assert tables() == undisturbed


def test_an_edited_schedule_reaches_the_source_and_is_never_overwritten(tables):
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    from ingestion.registry import install_sources

    task = PeriodicTask.objects.get(name="ingest coingecko")
    task.interval, _ = IntervalSchedule.objects.get_or_create(every=2, period=IntervalSchedule.HOURS)
    task.enabled = False
    task.save()
    install_sources()
    task.refresh_from_db()
    assert (task.interval.every, task.enabled) == (2, False)
    reconciling.reconcile()
    assert Source.objects.get(slug="coingecko").interval_seconds == 7200


def test_a_schedule_that_nobody_edited_follows_the_plan_and_the_settings(tables, settings):
    from django_celery_beat.models import PeriodicTask

    from ingestion.registry import install_sources

    def schedules() -> dict[str, tuple[float, int]]:
        install_sources()
        reconciling.reconcile()
        every = {task.name: task.interval.schedule.run_every.total_seconds() for task in PeriodicTask.objects.all()}
        return {row.slug: (every[f"ingest {row.slug}"], row.interval_seconds) for row in Source.objects.all()}

    assert schedules() == {"coingecko": (1200, 1200), "coinpaprika": (300, 300), "csv": (300, 300)}
    settings.COINGECKO_PLAN, settings.COINGECKO_API_KEY, settings.ETL_INTERVAL_SECONDS = "pro", "CG-1", 60
    assert schedules() == {"coingecko": (300, 300), "coinpaprika": (300, 300), "csv": (60, 60)}
    # Back on a free plan, the cadence of the paid one would use up its month in nine days.
    settings.COINGECKO_PLAN, settings.COINGECKO_API_KEY = "public", ""
    assert schedules()["coingecko"] == (1200, 1200)


def test_of_several_schedules_the_quickest_that_is_on_counts(tables):
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    first = PeriodicTask.objects.get(name="ingest coingecko")
    for hours in (2, 3):
        interval, _ = IntervalSchedule.objects.get_or_create(every=hours, period=IntervalSchedule.HOURS)
        PeriodicTask.objects.create(name=f"every {hours} h", task=first.task, args=first.args, interval=interval)
    for off, seconds in (((), 1200), (("ingest coingecko",), 7200), (("ingest coingecko", "every 2 h"), 10800)):
        PeriodicTask.objects.filter(name__in=off).update(enabled=False)
        for _ in range(3):
            reconciling.keep_schedules()
            assert Source.objects.get(slug="coingecko").interval_seconds == seconds


def test_what_a_shorter_schedule_makes_stale_is_priced_without(tables):
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="5", at=datetime.now(UTC) - timedelta(minutes=10)))
    assert Asset.objects.get().agreement == "single"
    often, _ = IntervalSchedule.objects.get_or_create(every=60, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(name="ingest coingecko").update(interval=often)
    reconciling.reconcile()
    assert Asset.objects.get().agreement == "none"


def test_carrying_a_run_that_is_not_there_does_nothing(tables):
    tasks.carry(10**9, normalizing.normalize)
    assert not normalizing.normalize(10**9)


def test_fail_after_n_records_reaches_the_worker_from_whoever_started_the_run(market, workers, settings):
    workers.start()
    settings.FAIL_AFTER_N_RECORDS = 300
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    reconcile_until_ended(run)
    assert (run.status, run.processed) == ("failed", 500)
    assert "FAIL_AFTER_N_RECORDS=300" in run.error


def test_fail_after_n_records_counts_what_a_dead_worker_stored(market, settings):
    settings.FAIL_AFTER_N_RECORDS = 300

    def die(page_id: int) -> None:
        normalizing.normalize(page_id)
        raise Died

    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    with pytest.raises(Died):
        tasks.carry(run.pk, die)
    tasks.carry(run.pk, normalizing.normalize)
    run.refresh_from_db()
    assert (run.status, run.processed) == ("failed", 500)
