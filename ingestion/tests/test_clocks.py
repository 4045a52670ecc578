"""Clocks that are wrong, or are set: PostgreSQL's is the one that counts, and one that is set back stops nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import answers, broker, gate, lease, reconciling, runs, tasks
from ingestion.models import Gate, Pulse, RawPayload, Run
from ingestion.tests.crew import BEAT, WORKER, nothing_is_left_open, tables, wait_for

pytestmark = pytest.mark.faults

HOURS = timedelta(hours=2)


def only_reconcile(seconds: int = 1) -> None:
    """Beat sends nothing but the reconciler's message, often."""
    PeriodicTask.objects.update(enabled=False)
    often, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task="ingestion.tasks.reconcile").update(enabled=True, interval=often)


def clock(folder: Path, wrong_by: timedelta) -> Path:
    file = folder / f"{wrong_by.total_seconds():.0f}"
    file.write_text(str(wrong_by.total_seconds()))
    return file


def test_workers_with_wrong_clocks_leave_the_tables_of_an_undisturbed_run(market, undisturbed, workers, tmp_path):
    only_reconcile()
    market.fail("coingecko", Fault.SLOW_START, match={"page": 2}, delay=3)
    market.fail("coingecko", Fault.UNAVAILABLE, match={"page": 3})
    workers.under(clock(tmp_path, HOURS), *WORKER, "-c", "1", "-n", "ahead@%h")
    workers.under(clock(tmp_path, -HOURS), *WORKER, "-c", "1", "-n", "behind@%h")
    workers.under(clock(tmp_path, -HOURS), *BEAT)
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    wait_for(lambda: Run.objects.get(pk=run.pk).finished_at, "the run has ended, though its message was never sent", 60)
    run.refresh_from_db()
    assert (run.status, run.takeovers) == ("completed", 0), run.error
    assert tables() == undisturbed
    nothing_is_left_open()
    assert [call.params["page"] for call in market.calls] == ["1", "2", "3", "3", "4"]
    assert not RawPayload.objects.filter(received_at__gt=Now()).exists()
    assert not RawPayload.objects.filter(received_at__lt=Now() - timedelta(minutes=5)).exists()


def test_a_beat_whose_clock_is_set_back_goes_on_sending(tables, provider, workers, tmp_path):
    only_reconcile()
    file = clock(tmp_path, timedelta(0))
    workers.under(file, *BEAT)
    with broker.redis_client(workers.environment["REDIS_URL"]) as client:

        def sent() -> int:
            return int(client.llen("cryptoetl:maintenance"))

        wait_for(lambda: sent() >= 2, "beat sends")
        file.write_text(str(-HOURS.total_seconds()))
        before = sent()
        wait_for(lambda: sent() >= before + 4, "beat goes on", 15)


def test_a_beat_that_finds_its_last_time_ahead_of_its_clock_sends(tables, provider, workers):
    only_reconcile()
    PeriodicTask.objects.update(last_run_at=Now() + HOURS)
    workers.start_beat()
    with broker.redis_client(workers.environment["REDIS_URL"]) as client:
        wait_for(lambda: client.llen("cryptoetl:maintenance") >= 2, "beat sends", 20)


def test_after_postgresqls_own_clock_was_set_back_nothing_waits_for_the_time_by_which_it_was(market, settings):
    """A clock set back by two hours, and rows whose times lie two hours ahead, are the same thing."""
    settings.ETL_RATE_LIMIT_REQUESTS = 2
    source = Source.objects.get(slug="coingecko")
    run = runs.start_slot("coingecko")
    assert run is not None
    with pytest.raises(gate.Throttled):
        tasks.carry(run.pk, lambda page_id: None)
    reconciling.reconcile()
    Run.objects.update(
        queued_at=F("queued_at") + HOURS,
        due_at=F("due_at") + HOURS,
        slot=F("slot") + HOURS,
        lease_token="8c0d2d1c-3b5e-4a52-8b7e-000000000000",
        lease_until=Now() + HOURS,
    )
    ahead = [at + HOURS for at in Gate.objects.get(source=source).recent_calls]
    Gate.objects.filter(source=source).update(recent_calls=ahead, open_until=Now() + HOURS, probing_until=Now() + HOURS)
    RawPayload.objects.update(received_at=F("received_at") + HOURS)
    Pulse.objects.update(at=F("at") + HOURS)

    reconciling.reconcile()

    now = gate.database_clock()
    run.refresh_from_db()
    assert run.queued_at <= now
    assert run.due_at <= now + gate.WINDOW
    assert run.lease_until <= now + lease.LASTS
    assert run.slot is None
    passed = Gate.objects.get(source=source)
    assert len(passed.recent_calls) == 2
    assert all(at <= now for at in passed.recent_calls), "counted as made now: no minute holds more than it may"
    assert passed.open_until <= now + gate.OPEN_AT_MOST
    assert passed.probing_until <= now + gate.PROBE_FOR
    assert not RawPayload.objects.filter(received_at__gt=Now()).exists()
    assert not Pulse.objects.filter(at__gt=Now()).exists()
    # The second time around, the slot has its run again.
    assert runs.cancel(run)
    Run.objects.filter(pk=run.pk, finished_at=None).update(finished_at=Now(), status="cancelled")
    assert runs.start_slot("coingecko") is not None


def test_an_ordinary_reconciling_moves_no_time(market):
    run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    Run.objects.filter(pk=run.pk).update(due_at=Now() + HOURS)
    due_at = Run.objects.get(pk=run.pk).due_at
    reconciling.reconcile()
    reconciling.reconcile()
    assert Run.objects.get(pk=run.pk).due_at == due_at


def test_messages_that_piled_up_while_no_worker_was_there_cost_no_reconciling_each(tables):
    def at():
        return Pulse.objects.get(name="reconcile").at

    tasks.reconcile.apply(throw=True)
    first = at()
    tasks.reconcile.apply(throw=True)
    assert at() == first
    Pulse.objects.update(at=Now() - reconciling.REPEATED)
    tasks.reconcile.apply(throw=True)
    assert at() > first


def test_a_date_to_come_back_at_is_counted_from_the_answers_own_date():
    """Both are the source's: what our clock says has no part in it."""
    headers = {"retry-after": "Sat, 21 Nov 2026 08:00:30 GMT", "date": "Sat, 21 Nov 2026 08:00:00 GMT"}
    assert answers.retry_after(headers) == 30
