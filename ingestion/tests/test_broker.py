"""The broker forgets everything, goes away, comes back: with no hand, and soon."""

from __future__ import annotations

import re
import time

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models.functions import Now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import broker, checkup, reconciling, runs, tasks
from ingestion.models import Pulse, RawPayload, Run
from ingestion.tests.browsing import Browser
from ingestion.tests.crew import nothing_is_left_open, tables, wait_for

pytestmark = pytest.mark.faults


@pytest.fixture
def often(market) -> None:
    """Beat sends nothing but the reconciler's message, every second."""
    PeriodicTask.objects.update(enabled=False)
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task="ingestion.tasks.reconcile").update(enabled=True, interval=second)


def flush(url: str) -> None:
    with broker.redis_client(url) as client:
        client.flushall()


def test_everything_in_redis_is_flushed_under_workers_and_beat_in_mid_load(market, undisturbed, workers, often):
    market.fail("coingecko", Fault.SLOW_START, match={"page": 3}, delay=2)
    workers.start()
    workers.start_beat()
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.send(tasks.fetch, run.pk)
    wait_for(lambda: len(market.calls) >= 3, "page 3 was asked for")
    flush(workers.environment["REDIS_URL"])

    def ended():
        # The messages about its pages are taken for lost.
        RawPayload.objects.update(received_at=Now() - reconciling.LOST_AFTER)
        return Run.objects.get(pk=run.pk).finished_at

    wait_for(ended, "the run went on", 60)
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert tables() == undisturbed
    nothing_is_left_open()
    # What comes later, too.
    flush(workers.environment["REDIS_URL"])
    later = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    wait_for(lambda: Run.objects.get(pk=later.pk).finished_at, "the next run was found and carried out", 60)


def test_redis_was_away_for_a_while_and_the_next_task_is_carried_out_within_ten_seconds(market, workers, servers):
    workers.start(LOG_LEVEL="ERROR")
    tasks.send(tasks.reconcile)
    wait_for(lambda: Pulse.objects.filter(name="reconcile").exists(), "a task was carried out")
    servers.kill("redis")
    try:
        wait_for(lambda: workers.log.count("Trying again in") >= 4, "the worker looks for it", 60)
    finally:
        servers.start_redis()
    Pulse.objects.all().delete()
    tasks.send(tasks.reconcile)
    took = wait_for(lambda: Pulse.objects.filter(name="reconcile").exists(), "the next task was carried out", 60)
    waits = [float(seconds) for seconds in re.findall(r"Trying again in ([\d.]+) seconds", workers.log)]
    # They would grow to half a minute.
    assert max(waits) <= 2
    assert took < 10


def test_a_redis_that_is_full_is_no_healthy_broker(market, servers, client):
    with broker.redis_client(settings.CELERY_BROKER_URL) as redis:
        redis.config_set("maxmemory", 1)
        try:
            answer = client.get("/health").json()
            (found,) = (one for one in checkup.redis_servers() if one.what == "Redis")
        finally:
            redis.config_set("maxmemory", 0)
    assert (answer["status"], answer["broker"]) == ("degraded", "unhealthy")
    assert any("takes no message (command not allowed when used memory" in reason for reason in answer["reasons"])
    assert found.level == "fail" and "takes no message" in found.says
    assert client.get("/health").json()["broker"] == "healthy"


def test_without_a_broker_reading_goes_on_and_what_is_asked_for_is_carried_out_later(
    market, undisturbed, workers, often, servers, client
):
    client.force_login(get_user_model().objects.create_superuser("root", password="known to root"))
    servers.kill("redis")
    try:
        for path, within in (("/data", 1.0), ("/health", 1.0)):
            began = time.monotonic()
            answer = client.get(path)
            assert (answer.status_code, time.monotonic() - began < within) == (200, True), path
        assert answer.json()["status"] == "degraded"
        began = time.monotonic()
        said = Browser(client).act("run_now", [Source.objects.get(slug="coingecko")])
        assert time.monotonic() - began < 2
        assert "The broker" in said[0]
    finally:
        servers.start_redis()
    run = Run.objects.get()
    assert (run.status, run.trigger) == ("queued", "admin")
    workers.start()
    workers.start_beat()
    wait_for(lambda: Run.objects.get(pk=run.pk).finished_at, "it was carried out", 60)
    assert Run.objects.get(pk=run.pk).status == "completed"
    assert tables() == undisturbed
