"""What is asked is in proportion to what it is about, whatever the planner believes, however much there is besides."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from assets import pricing
from assets.models import Asset, Source
from assets.tests.factories import coins
from assets.tests.plans import rows_gone_through
from ingestion import anomalies, normalizing, reconciling
from ingestion.models import RawPayload, Run

WAITING = """
INSERT INTO ingestion_rawbody (sha256, text, encoding, size) VALUES ('', '', 'utf-8', 0);
INSERT INTO ingestion_rawpayload (run_id, source_id, sweep, number, url, body_id, received_at, records)
SELECT id, source_id, 1, number, '', '', now(), 1 FROM ingestion_run, generate_series(1, 1000) number RETURNING id
"""


@pytest.fixture
def waiting(db) -> list[int]:
    """Many pages of one run that nobody has begun."""
    Run.objects.create(source=Source.objects.get(slug="csv"), trigger=Run.Trigger.COMMAND)
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return sorted(page_id for (page_id,) in cursor.fetchall())


def test_the_pages_that_wait_are_not_gone_through_for_each_of_them(waiting):
    values = {"page": waiting[0], "most": 3, "pages": normalizing.PAGES_AT_ONCE, "records": normalizing.RECORDS_AT_ONCE}
    assert rows_gone_through(normalizing.BEGIN, values) < 10 * len(waiting)
    begun = RawPayload.objects.filter(attempts=1).order_by("pk").values_list("pk", flat=True)
    assert [*begun] == waiting[: normalizing.PAGES_AT_ONCE]


def test_assets_whose_sources_agree_are_not_searched_for_contradictions(db):
    coins("coingecko", 1000)
    assert rows_gone_through(anomalies.DISAGREEING, {"source": "csv"}) < 1500


def test_another_schedule_makes_a_source_due_and_prices_nothing_at_once(db):
    coins("coingecko", 3)
    Source.objects.filter(slug="coingecko").update(interval_seconds=7)
    with CaptureQueriesContext(connection) as asked:
        reconciling.keep_schedules()
    assert Asset.objects.filter(fresh_until__lte=Now()).count() == 3
    assert len(asked) < 8, "not a statement more, however many there are"
    assert (pricing.reprice_due(limit=1), pricing.reprice_due()) == (3, 0)
