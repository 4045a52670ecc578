"""/metrics: what Prometheus scrapes, worked out of PostgreSQL and Redis when asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assets.models import CandleDue, Listing, Source
from assets.tests.factories import load, long_ago, record
from ingestion.models import CallMonth, Gate, Pulse, Run

pytestmark = pytest.mark.django_db


def samples(client) -> dict[tuple, float]:
    answer = client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"})
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_tables(client, settings):
    settings.COINGECKO_MONTHLY_CALLS = 1000
    source = Source.objects.get(slug="coingecko")
    at = datetime.now(UTC) - timedelta(seconds=100)
    Run.objects.create(
        source=source,
        status="completed",
        trigger="schedule",
        started_at=at,
        finished_at=at,
        processed=7,
        inserted=3,
        unchanged=4,
        retries=2,
    )
    Run.objects.create(source=source, status="failed", trigger="admin", started_at=at, finished_at=at)
    load("coingecko", record("a"), record("b", at=long_ago("coingecko")))
    Listing.objects.filter(source_asset_id="b").update(delisted_at=at, missed_sweeps=3)
    CallMonth.objects.create(source=source, month=datetime.now(UTC).date().replace(day=1), calls=164)
    Gate.objects.filter(source=source).update(open_until=datetime.now(UTC) + timedelta(minutes=1), failures=5)
    Pulse.objects.create(name="reconcile")
    found = samples(client)
    gecko = ("source", "coingecko")
    assert found["cryptoetl_runs_total", gecko, ("status", "completed")] == 1
    assert found["cryptoetl_runs_total", gecko, ("status", "failed")] == 1
    assert found["cryptoetl_records_total", ("outcome", "inserted"), gecko] == 3
    assert found["cryptoetl_records_total", ("outcome", "unchanged"), gecko] == 4
    assert found["cryptoetl_retries_total", gecko] == 2
    assert found["cryptoetl_seconds_since_success", gecko] == pytest.approx(100, abs=10)
    assert found["cryptoetl_last_success_timestamp_seconds", gecko] == pytest.approx(at.timestamp(), abs=1)
    assert (found["cryptoetl_quotes", gecko], found["cryptoetl_quotes_stale", gecko]) == (2, 1)
    assert found["cryptoetl_listings_delisted", gecko] == 1
    assert (found["cryptoetl_calls_used_this_month", gecko], found["cryptoetl_calls_left_this_month", gecko]) == (
        164,
        836,
    )
    assert found["cryptoetl_circuit_open", gecko] == 1 and found["cryptoetl_circuit_open", ("source", "csv")] == 0
    assert found["cryptoetl_source_healthy", gecko] == 0
    assert found["cryptoetl_queue_depth", ("queue", "fetch")] == 0
    assert found["cryptoetl_up", ("server", "database")] == found["cryptoetl_up", ("server", "broker")] == 1
    assert found["cryptoetl_beat_last_tick_timestamp_seconds",] == pytest.approx(datetime.now(UTC).timestamp(), abs=10)
    assert found["cryptoetl_assets",] == 2
    assert found["cryptoetl_candle_pages_due",] == CandleDue.objects.count() > 0


def test_a_source_that_never_ran_has_no_success_and_no_limit_no_rest(client):
    found = samples(client)
    assert not any(name[0] == "cryptoetl_last_success_timestamp_seconds" for name in found)
    assert ("cryptoetl_calls_left_this_month", ("source", "csv")) not in found


def test_the_number_of_queries(client, django_assert_num_queries):
    load("coingecko", *(record(f"c{n}") for n in range(50)))
    with django_assert_num_queries(5):
        client.get("/metrics")


def test_a_browser_is_shown_it_too(client):
    answer = client.get("/metrics", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain")
    assert client.get("/metrics?x=1").status_code == 400
