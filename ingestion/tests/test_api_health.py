"""/health says how it is, names every trouble, and waits for nobody."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest
import redis
from django.db import connection, connections

from assets.models import Source
from assets.tests.factories import load, record
from assets.tests.plans import rows_gone_through
from ingestion import checkup, health, heartbeat, reach
from ingestion.models import Pulse, Run
from ingestion.standing import STANDINGS, standings

SLUGS = ("coingecko", "coinpaprika", "csv")


def ended(slug: str, status: str = "completed", *, ago: timedelta = timedelta(seconds=5), error: str = "") -> Run:
    at = datetime.now(UTC) - ago
    source = Source.objects.get(slug=slug)
    return Run.objects.create(
        source=source, status=status, trigger="schedule", started_at=at, finished_at=at, error=error, whole=True
    )


def well() -> None:
    for slug in SLUGS:
        ended(slug)
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="1"))


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def nobody() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def ask(client, path: str = "/health", status: int = 200) -> dict:
    begun = time.monotonic()
    answer = client.get(path)
    assert time.monotonic() - begun < 2.5, "nobody waits longer for an answer"
    assert answer.status_code == status, answer.content
    return answer.json()


@pytest.mark.django_db
def test_all_is_well(client):
    well()
    answer = ask(client)
    assert list(answer)[:4] == ["status", "database", "broker", "etl"]
    assert {answer[part] for part in ("status", "database", "broker", "etl")} == {"healthy"}
    assert answer["reasons"] == []
    assert datetime.now(UTC) - datetime.fromisoformat(answer["timestamp"]) < timedelta(seconds=5)
    assert answer["timestamp"].endswith("Z")


@pytest.mark.django_db
def test_empty_tables_are_not_healthy(client):
    answer = ask(client)
    assert (answer["status"], answer["etl"]) == ("degraded", "unhealthy")
    assert "There is no data yet." in answer["reasons"]
    for slug in SLUGS:
        ended(slug)
    assert ask(client)["etl"] == "unhealthy", "runs that say they completed don't make up for it"


@pytest.mark.django_db
@pytest.mark.parametrize("down", SLUGS)
def test_one_source_down_neither_hides_nor_speaks_for_all(client, down):
    well()
    ended(down, "failed", error="It does not answer.")
    answer = ask(client)
    assert (answer["status"], answer["etl"], answer["database"]) == ("degraded", "degraded", "healthy")
    (reason,) = answer["reasons"]
    assert "It does not answer." in reason and Source.objects.get(slug=down).title in reason


@pytest.mark.django_db
def test_all_sources_down_are_an_unhealthy_etl_that_still_serves(client):
    well()
    for slug in SLUGS:
        ended(slug, "failed", error="No way out.")
    answer = ask(client)
    assert (answer["status"], answer["etl"]) == ("degraded", "unhealthy") and len(answer["reasons"]) == 3


@pytest.mark.django_db
def test_a_source_that_went_silent_is_degraded_though_its_last_run_went_well(client):
    well()
    Run.objects.filter(source__slug="csv").delete()
    ended("csv", ago=3 * timedelta(seconds=Source.objects.get(slug="csv").interval_seconds) + timedelta(seconds=10))
    answer = ask(client)
    assert answer["etl"] == "degraded" and "one is due every" in answer["reasons"][0]


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["partial", "cancelled"])
def test_what_is_no_failure_waits_for_the_silence_to_grow(client, status):
    well()
    ended("coingecko", status)
    assert ask(client)["etl"] == "healthy"


@pytest.mark.django_db
def test_a_good_run_after_a_failed_one_is_well_again(client):
    well()
    ended("csv", "failed")
    assert ask(client)["etl"] == "degraded"
    ended("csv")
    assert ask(client)["etl"] == "healthy"


@pytest.mark.django_db
def test_a_source_that_is_switched_off_is_no_trouble(client):
    well()
    ended("csv", "failed")
    Source.objects.filter(slug="csv").update(enabled=False)
    assert ask(client)["etl"] == "healthy"
    Source.objects.update(enabled=False)
    assert ask(client)["reasons"] == ["No source is enabled."]


@pytest.mark.django_db
def test_a_clock_that_stopped_is_noticed(client):
    well()
    pulse = Pulse.objects.create(name="reconcile", at=datetime.now(UTC) - timedelta(minutes=6))
    assert "beat or the workers are not running" in ask(client)["reasons"][0]
    Pulse.objects.filter(pk=pulse.pk).update(at=datetime.now(UTC))
    assert ask(client)["status"] == "healthy"


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["silent", "nobody"])
def test_a_broker_that_is_away_is_degraded_within_a_second(client, settings, request, kind):
    well()
    settings.CELERY_BROKER_URL = settings.REDIS_URL = f"redis://127.0.0.1:{request.getfixturevalue(kind)}/0"
    begun = time.monotonic()
    answer = ask(client)
    assert time.monotonic() - begun < 1.5
    assert (answer["status"], answer["broker"], answer["database"]) == ("degraded", "unhealthy", "healthy")
    assert "can't be reached" in answer["reasons"][0]
    assert client.get("/data").status_code == 200
    detailed = ask(client, "/health/detailed")
    assert detailed["workers"] is None and set(detailed["queues"].values()) == {None}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["silent", "nobody"])
@pytest.mark.parametrize("path", ["/health", "/health/detailed", "/health/ready"])
def test_a_database_that_is_away_is_503_soon_and_without_a_traceback(client, monkeypatch, request, kind, path):
    parameters = connection.get_connection_params() | {"host": "127.0.0.1", "port": request.getfixturevalue(kind)}
    monkeypatch.setattr(connections["default"], "get_connection_params", lambda: dict(parameters))
    answer = ask(client, path, 503)
    assert answer["status"] == "unhealthy"
    assert "PostgreSQL" in answer["reasons"][0]
    if path != "/health/ready":
        assert (answer["database"], answer["etl"], answer["broker"]) == ("unhealthy", "unhealthy", "healthy")
    assert client.get("/health/live").status_code == 200
    home = client.get("/", headers={"Accept": "text/html"})
    assert home.status_code == 200 and "unhealthy" in home.content.decode()
    metrics = client.get("/metrics").content.decode()
    assert 'cryptoetl_up{server="database"} 0.0' in metrics


@pytest.mark.django_db
def test_ready_needs_the_tables(client):
    assert ask(client, "/health/ready") == {"status": "healthy", "reasons": []}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE assets_quote RENAME TO assets_quote_away")
    assert "migrate" in ask(client, "/health/ready", 503)["reasons"][0]


@pytest.mark.django_db
def test_alive_asks_no_server(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert ask(client, "/health/live") == {"status": "healthy"}


@pytest.mark.django_db
def test_the_details(client, settings, django_assert_num_queries):
    well()
    Pulse.objects.create(name="reconcile")
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        server.delete(*(f"cryptoetl:{queue}" for queue in ("fetch", "normalize", "maintenance")))
        server.lpush("cryptoetl:fetch", "a message", "another")
        try:
            with django_assert_num_queries(4):
                answer = ask(client, "/health/detailed")
        finally:
            server.delete("cryptoetl:fetch")
    assert answer["queues"] == {"fetch": 2, "normalize": 0, "maintenance": 0}
    assert answer["beat"]["seconds_since"] < 5
    gecko = answer["sources"]["coingecko"]
    assert gecko["status"] == "healthy" and gecko["seconds_since_success"] < 60 and gecko["late_seconds"] == 0
    assert 0 < answer["disk"]["free_bytes"] < answer["disk"]["total_bytes"]
    assert answer["versions"]["postgresql"] and answer["versions"]["redis"] and answer["versions"]["cryptoetl"]


@pytest.mark.django_db
def test_the_pulse_is_measured_by_the_clock_that_it_is_written_by(monkeypatch):
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=9)

    well()
    Pulse.objects.create(name="reconcile")
    for module in (health, checkup):
        monkeypatch.setattr(module, "datetime", Ahead, raising=False)
    assert checkup.heartbeat().level == "ok"
    found = health.health()
    assert (found.etl, found.reasons) == ("healthy", []) and abs(health.details(found)["beat"]["seconds_since"]) < 60


# ---------------------------------------------------------------------------------------------------------- workers


class Heart:
    """What Celery's heartbeat sends its signal with."""

    class eventer:
        hostname = "celery@here"


@pytest.mark.django_db
def test_a_worker_shows_that_it_is_there_until_it_leaves(client, settings, monkeypatch):
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        # Of workers that other tests killed.
        for key in server.scan_iter(heartbeat.PREFIX + "*"):
            server.delete(key)
    monkeypatch.setattr(heartbeat, "_next", 0.0)
    heartbeat.beat(Heart())
    (worker,) = ask(client, "/health/detailed")["workers"]
    assert (worker["name"], worker["pid"]) == ("celery@here", os.getpid())
    assert "cryptoetl_workers 1.0" in client.get("/metrics").content.decode()
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        assert 0 < server.ttl(heartbeat.PREFIX + "celery@here") <= heartbeat.LASTS
        server.set(heartbeat.PREFIX + "celery@here", orjson.dumps({"pid": 0}))
    heartbeat.beat(Heart())
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        assert b'"pid":0' in server.get(heartbeat.PREFIX + "celery@here"), "not oftener than every few seconds"

    class Leaving:
        hostname = "celery@here"

    heartbeat.leave(Leaving())
    assert ask(client, "/health/detailed")["workers"] == []


def test_a_redis_that_is_away_is_no_trouble_of_the_workers(settings, monkeypatch, silent):
    settings.REDIS_URL = f"redis://127.0.0.1:{silent}/0"
    monkeypatch.setattr(heartbeat, "_next", 0.0)
    begun = time.monotonic()
    heartbeat.beat(Heart())
    heartbeat.leave(Heart())
    assert time.monotonic() - begun < 2


@pytest.mark.django_db
def test_database_trouble_does_not_wait_longer_than_it_is_told(monkeypatch, silent):
    parameters = connection.get_connection_params() | {"host": "127.0.0.1", "port": silent}
    monkeypatch.setattr(connections["default"], "get_connection_params", lambda: dict(parameters))
    begun, threads = time.monotonic(), set(threading.enumerate())
    assert "no answer within 0.2 s" in reach.database_trouble(0.2)
    assert time.monotonic() - begun < 1
    assert set(threading.enumerate()) <= threads, "a thread is left behind"


@pytest.mark.django_db
def test_every_source_stands_in_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert [one.slug for one in standings()] == list(SLUGS)


@pytest.mark.django_db
def test_how_sources_stand_is_known_without_going_through_years_of_runs():
    """One source has never failed, one has never done anything else nor been run by the schedule, one has no page."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO ingestion_run (source_id, status, trigger, slot, queued_at, started_at, finished_at,
                                          last_processed_id)
               SELECT source.id, status, trigger, CASE trigger WHEN 'schedule' THEN at END, at, at, at, last
               FROM (VALUES ('coingecko', 'completed', 'schedule', 'zcash'), ('csv', 'failed', 'api', ''))
                    AS source_of (slug, status, trigger, last)
               JOIN assets_source source USING (slug)
               CROSS JOIN LATERAL (SELECT now() - n * interval '1 hour' AS at FROM generate_series(1, 2000) n) hours"""
        )
        cursor.execute("INSERT INTO ingestion_rawbody (sha256, text, encoding, size) VALUES ('x', '[]', 'utf-8', 2)")
        cursor.execute(
            """INSERT INTO ingestion_rawpayload (run_id, source_id, sweep, number, url, body_id, received_at, state)
               SELECT id, source_id, 1, 1, '', 'x', queued_at, 'normalized'
               FROM ingestion_run WHERE trigger = 'schedule'"""
        )
        cursor.execute("ANALYZE ingestion_run, ingestion_rawpayload")
    assert [one.status for one in standings()] == ["completed", None, "failed"]
    assert rows_gone_through(STANDINGS) < 400
