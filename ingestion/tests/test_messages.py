"""Messages come twice, late, in another order; workers are asked to stop; beats are many. The tables are the same."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.db import connection
from django.db.models import Count
from django.db.models.functions import Now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import broker, normalizing, runs, tasks
from ingestion.models import RawPayload, Run
from ingestion.replaying import requeue
from ingestion.tests.conftest import COINS
from ingestion.tests.crew import nothing_is_left_open, reconcile_until_ended, tables, wait_for

pytestmark = pytest.mark.faults

QUEUES = tuple(f"cryptoetl:{name}" for name in ("fetch", "normalize", "maintenance"))


@pytest.fixture
def queues(workers) -> Iterator[redis.Redis]:
    with broker.redis_client(workers.environment["REDIS_URL"]) as client:
        yield client


def drained(client: redis.Redis) -> bool:
    return not any(client.llen(queue) for queue in QUEUES) and not client.hlen("cryptoetl:unacked")


def test_messages_doubled_reordered_and_delivered_after_the_end_leave_the_same_tables(
    market, undisturbed, workers, queues
):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    tasks.carry(run.pk, lambda page_id: tasks.send(tasks.normalize, page_id))
    letters = [(queue, letter) for queue in QUEUES for letter in queues.lrange(queue, 0, -1)]
    assert len(letters) == 5
    queues.delete(*QUEUES)
    order = random.Random(4)
    many = letters * 6
    order.shuffle(many)
    for queue, letter in many:
        queues.lpush(queue, letter)
    for _ in range(2):
        workers.start()
    wait_for(lambda: Run.objects.get(pk=run.pk).finished_at, "the run has ended", 60)
    wait_for(lambda: drained(queues), "every copy was taken", 30)
    for queue, letter in reversed(letters):
        queues.rpush(queue, letter)
    wait_for(lambda: drained(queues), "what came after the end was taken", 30)
    run.refresh_from_db()
    assert (run.status, run.pages, run.processed, run.inserted) == ("completed", 4, COINS, COINS)
    assert tables() == undisturbed
    assert RawPayload.objects.filter(run=run).count() == 4
    assert len(market.calls) == 4
    nothing_is_left_open()


def test_two_beats_and_two_workers_make_one_run_a_slot_over_a_hundred_slots(tables, provider, workers):
    """Twenty sources with a slot each second, for which both beats ask; what is made is ended at once."""
    PeriodicTask.objects.update(enabled=False)
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    for number in range(20):
        source = Source.objects.create(slug=f"many{number}", title="Many", identity_rank=9, interval_seconds=1)
        PeriodicTask.objects.create(
            name=source.slug,
            task="ingestion.tasks.start",
            interval=second,
            args=f'["{source.slug}"]',
            queue="maintenance",
        )
    stop = threading.Event()

    def end_them() -> None:
        while not stop.wait(0.002):
            Run.objects.filter(status="queued").update(status="cancelled", finished_at=Now())
        connection.close()

    ending = threading.Thread(target=end_them)
    ending.start()
    try:
        for _ in range(2):
            workers.start_beat()
            workers.python("-m", "celery", "-A", "cryptoetl", "worker", "-Q", "maintenance", "-c", "1")
        wait_for(lambda: Run.objects.values("source", "slot").distinct().count() >= 100, "100 slots had a run", 60)
    finally:
        stop.set()
        ending.join()
    assert all(slot is not None and slot.microsecond == 0 for slot in Run.objects.values_list("slot", flat=True))
    assert not Run.objects.values("source", "slot").annotate(runs=Count("pk")).filter(runs__gt=1).exists()
    assert "Traceback" not in workers.log


def test_a_worker_asked_to_stop_finishes_what_it_is_at_and_another_does_the_rest(market, undisturbed, workers):
    market.fail("coingecko", Fault.SLOW_START, match={"page": 3}, delay=2)
    leaving = workers.start()
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    wait_for(lambda: len(market.calls) >= 3, "page 3 was asked for")
    leaving.send_signal(signal.SIGTERM)
    workers.start()
    wait_for(lambda: leaving.poll() is not None, "it has ended by itself", 30)
    assert leaving.returncode == 0
    wait_for(lambda: Run.objects.get(pk=run.pk).finished_at, "the run has ended", 60)
    run.refresh_from_db()
    assert (run.status, run.takeovers) == ("completed", 0)
    assert tables() == undisturbed
    assert [call.params["page"] for call in market.calls] == ["1", "2", "3", "4"]
    nothing_is_left_open()


#: As in the containers (REMAP_SIGTERM), with less time to finish than their twenty seconds.
SOON = """
from cryptoetl.celery import app
app.conf.worker_soft_shutdown_timeout = 1
app.worker_main(["worker", "-c", "2", "-Q", "fetch,normalize,maintenance", "--without-mingle"])
"""


def test_a_stopped_container_hands_back_what_it_can_not_finish(market, undisturbed, workers):
    market.fail("coingecko", Fault.HANG, match={"page": 3})
    leaving = workers.python("-c", SOON, REMAP_SIGTERM="SIGQUIT")
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    wait_for(lambda: len(market.calls) >= 3, "page 3 was asked for")
    leaving.send_signal(signal.SIGTERM)
    wait_for(lambda: leaving.poll() is not None, "it has ended", 20)
    workers.start()
    reconcile_until_ended(run)
    assert run.status == "completed"
    assert tables() == undisturbed
    nothing_is_left_open()


def test_a_page_that_many_read_at_once_is_not_taken_for_one_that_kills(market, settings, monkeypatch):
    """Doubled messages bring one page to more processes at a time than it may kill."""
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    pages: list[int] = []
    tasks.carry(run.pk, pages.append)
    parse, go_on = normalizing.parse, threading.Event()
    reading = threading.Semaphore(0)

    def slowly(payload: RawPayload) -> normalizing.Parsed:
        reading.release()
        assert go_on.wait(30)
        return parse(payload)

    def read(page_id: int) -> None:
        try:
            normalizing.normalize(page_id)
        finally:
            connection.close()

    monkeypatch.setattr(normalizing, "parse", slowly)
    with ThreadPoolExecutor(settings.ETL_RETRY_ATTEMPTS) as pool:
        for _ in range(settings.ETL_RETRY_ATTEMPTS):
            pool.submit(read, pages[0])
        # Where only one may read at a time, the others have gone.
        assert reading.acquire(timeout=30)
        wait_for(lambda: reading.acquire(timeout=1) is False, "all who may read it do", 30)
        # One message more, while nobody has died.
        threading.Timer(0.5, go_on.set).start()
        read(pages[0])
    page = RawPayload.objects.get(pk=pages[0])
    assert (page.state, page.error) == ("normalized", "")


#: The second page kills whoever reads it, as a library that crashes or a page that takes all memory would.
DEADLY = """
import os, signal
import django
django.setup()
from cryptoetl.celery import app
from ingestion import normalizing
parse = normalizing.parse
def deadly(payload):
    if payload.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return parse(payload)
normalizing.parse = deadly
app.worker_main(["worker", "-c", "2", "-Q", "fetch,normalize,maintenance", "--without-mingle"])
"""


def test_a_page_that_kills_every_process_that_reads_it_is_set_aside_and_the_rest_goes_in(market, undisturbed, workers):
    worker = workers.python("-c", DEADLY, ETL_RETRY_ATTEMPTS="3")
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    reconcile_until_ended(run)
    assert worker.poll() is None
    assert (run.status, run.processed) == ("partial", COINS - 250)
    assert "Set aside: 3 attempts" in run.error
    assert "signal 9 (SIGKILL)" in workers.log
    page = RawPayload.objects.get(run=run, number=2)
    assert page.state == "failed"
    # Once it kills nobody any more, it goes in.
    workers.kill(worker)
    assert requeue(page)
    assert normalizing.normalize(page.pk)
    assert tables() == undisturbed
