"""`manage.py doctor`: a line for everything that a start depends on, exit 1 when something needs a hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import checkup, workers
from ingestion.budget import budget, reckon
from ingestion.models import CallMonth, Pulse, Run
from ingestion.runs import start_run


@pytest.fixture
def alive(monkeypatch, tables) -> None:
    """Workers and beat as they are when all is well; what they are really is the recovery tests' matter."""
    monkeypatch.setattr(workers, "alive", lambda timeout=1.0: {"worker@here": workers.QUEUES})
    Pulse.objects.create(name="reconcile")


def findings(out: str) -> dict[str, str]:
    """What was looked at -> "ok ..." as shown."""
    return {line[6:].split(":")[0]: line[:4].strip() + line[6:].partition(":")[2] for line in out.splitlines()}


def test_all_is_well(manage, provider, alive):
    ran = manage("doctor")
    found = findings(ran.out)
    assert ran.code == 0, ran.out
    assert {"PostgreSQL", "migrations", "clock", "Redis", "disk", "workers", "beat", "coingecko", "csv"} <= set(found)
    # The throwaway Redis of the tests keeps nothing on disk, and is told so.
    assert found.pop("Redis").startswith("warn version ")
    assert all(line.startswith("ok") for line in found.values()), ran.out


def test_a_refused_key_is_said_in_plain_words(manage, provider, alive):
    provider.fail("coingecko", Fault.PRO_KEY_AT_DEMO)
    ran = manage("doctor")
    assert ran.code == 1
    assert "this is a Pro key at the public address: set COINGECKO_PLAN=pro" in findings(ran.out)["coingecko"]
    assert ran.last_line == "1 of these needs a hand."


def test_an_answer_without_data_is_no_good_one(manage, provider, alive):
    provider.fail("coingecko", Fault.HTML_200)
    provider.fail("coinpaprika", Fault.EMPTY_LIST)
    found = findings(manage("doctor").out)
    assert found["coingecko"] == "fail The body is an HTML page, not JSON"
    assert found["coinpaprika"] == "fail CoinPaprika holds nothing"


def test_what_is_asked_for_is_what_a_sweep_asks_for_and_no_more_of_it(manage, provider, alive):
    provider.forget_calls()
    found = findings(manage("doctor").out)
    assert "1 record " in found["coingecko"]
    assert [call.path for call in provider.calls_of("coingecko")] == ["/coingecko/api/v3/coins/markets"]


def test_offline_it_calls_nobody(manage, provider, alive):
    provider.forget_calls()
    assert manage("doctor", "--offline").code == 0
    assert provider.calls == []


def test_no_worker_and_no_beat_need_a_hand(manage, provider):
    ran = manage("doctor", "--offline")
    found = findings(ran.out)
    assert ran.code == 1
    assert found["workers"].startswith("fail none answers")
    assert found["beat"].startswith("warn has not ticked yet")


def test_a_silent_beat_needs_a_hand(manage, provider, alive):
    Pulse.objects.update(at=timezone.now() - checkup.PULSE_FAIL * 2)
    assert findings(manage("doctor", "--offline").out)["beat"].startswith("fail")


def test_a_queue_that_no_worker_serves_needs_a_hand(manage, provider, alive, monkeypatch):
    monkeypatch.setattr(workers, "alive", lambda timeout=1.0: {"worker@here": ("fetch", "maintenance")})
    assert findings(manage("doctor", "--offline").out)["workers"] == "fail 1 alive, and none takes work from normalize"


def test_redis_that_is_away_needs_a_hand(manage, provider, settings):
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://:secret-word@127.0.0.1:1/0"
    ran = manage("doctor", "--offline")
    assert ran.code == 1
    assert findings(ran.out)["Redis"] == "fail at 127.0.0.1:1 can't be reached (Connection refused)"
    assert "secret-word" not in ran.out


def test_a_broker_of_another_kind_is_looked_at_too(manage, provider, settings):
    settings.CELERY_BROKER_URL = "amqp://someone:secret-word@127.0.0.1:1//"
    ran = manage("doctor", "--offline")
    assert findings(ran.out)["broker"].startswith("fail The broker at 127.0.0.1:1 can't be reached")
    assert "secret-word" not in ran.out


def test_a_full_disk_needs_a_hand(manage, provider, alive, monkeypatch):
    monkeypatch.setattr(checkup, "DISK_FAIL", 2**60)
    assert findings(manage("doctor", "--offline").out)["disk"].endswith("make room")


def test_an_older_postgresql_needs_a_hand(manage, provider, alive, monkeypatch):
    monkeypatch.setattr(checkup, "POSTGRESQL", 990_000)
    assert "15 or newer is needed" in findings(manage("doctor", "--offline").out)["PostgreSQL"]


def test_a_month_s_calls_that_run_out_are_foreseen(manage, provider, alive, settings):
    source = Source.objects.get(slug="coingecko")
    settings.COINGECKO_MONTHLY_CALLS = 100
    run = start_run(source, Run.Trigger.COMMAND)
    CallMonth.objects.create(source=source, month=timezone.now().date().replace(day=1), calls=99)
    its = budget(source, run.queued_at)
    assert (its.made, its.left) == (99, 1)
    assert budget(source, run.queued_at + timedelta(days=32)).left == 100, "another month has its own calls"
    if its.runs_out_at:  # in the last minutes of a month the month ends first
        assert findings(manage("doctor", "--offline").out)["coingecko calls"].startswith("warn 99 of 100 calls")
    CallMonth.objects.update(calls=100)
    assert "none is left until the next month" in findings(manage("doctor", "--offline").out)["coingecko calls"]


def test_calls_that_last_beyond_the_calendar_are_enough_for_the_month():
    begun = datetime(2026, 11, 1, tzinfo=UTC)
    its = reckon(1, 500_000, begun, timedelta(minutes=5), begun + timedelta(days=7))
    assert (its.left, its.runs_out_at) == (499_999, None)
    its = reckon(250_000, 500_000, begun, timedelta(minutes=5), begun + timedelta(days=7))
    assert its.runs_out_at == begun + timedelta(days=14, minutes=5)


@pytest.mark.parametrize(
    ("made", "limit", "left", "says"),
    [
        (0, 100, 100, "0 of 100 calls used this month, 0 a day: enough for the month"),
        (99, 100, 1, "99 of 100 calls used this month, 50 a day: they run out on 2026-11-02 00:29 UTC"),
        (100, 100, 0, "100 of 100 calls used this month: none is left until the next month"),
        (105, 100, 0, "105 of 100 calls used this month: none is left until the next month"),
        (5, None, None, "5 calls this month, no limit"),
    ],
)
def test_a_budget_says_what_is_left_to_the_last_call_and_beyond(made, limit, left, says):
    begun = datetime(2026, 11, 1, tzinfo=UTC)
    its = reckon(made, limit, begun, timedelta(days=1), begun + timedelta(days=1))
    assert (its.left, str(its)) == (left, says)


def test_a_schedule_within_its_plan_is_never_said_to_run_out_and_one_beyond_it_is_within_the_day():
    every, begun, calls, checks = timedelta(minutes=20), datetime(2026, 11, 1, tzinfo=UTC), 4, 6

    def at(now: timedelta, pace: timedelta = every):
        return reckon(calls * (now // pace + 1) + checks, 10_000, begun, pace, begun + now)

    assert not [now for now in range(30 * 24 * 60) if at(timedelta(minutes=now)).runs_out_at]
    assert round(at(timedelta(days=20)).a_day) == 288
    assert at(timedelta(hours=8), timedelta(minutes=5)).runs_out_at


def test_a_failed_run_is_named(manage, provider, alive):
    provider.fail("coingecko", Fault.NOT_FOUND)
    manage("ingest", "coingecko", "--inline")
    run = Run.objects.get()
    assert f"coingecko run {run.pk}" in findings(manage("doctor", "--offline").out)


def test_migrations_that_wait_need_a_hand(manage, provider, alive, monkeypatch):
    class Executor:
        def __init__(self, _: object) -> None:
            self.loader = type("Loader", (), {"graph": type("Graph", (), {"leaf_nodes": staticmethod(list)})})

        def migration_plan(self, _: object) -> list:
            return [("ingestion.0009_next", False)]

    monkeypatch.setattr(checkup, "MigrationExecutor", Executor)
    ran = manage("doctor", "--offline")
    assert findings(ran.out)["migrations"].endswith("run `python manage.py migrate`")
    # What needs the tables is left out, not stumbled over.
    assert "coingecko calls" not in findings(ran.out)
