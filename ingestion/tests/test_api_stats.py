"""/stats: what the runs did, as the contract shows a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assets.models import Event, Listing, Source
from assets.tests.factories import load, record
from ingestion import anomalies
from ingestion.models import CallMonth, Drift, Gate, RawPayload, Reject, Run, Sighting

pytestmark = pytest.mark.django_db

RUN = [
    *("run_id", "source", "status", "trigger", "started_at", "finished_at", "duration_seconds", "pages", "processed"),
    *("inserted", "updated", "unchanged", "rejected", "retries", "last_processed_id", "error"),
]
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def ended(slug: str, status: str = "completed", *, at: datetime = NOON, seconds: float = 2.0, **figures) -> Run:
    """A run that ended."""
    figures = {"inserted": 0, "updated": 0, "unchanged": 0, "rejected": 0} | figures
    counts = ("inserted", "updated", "unchanged", "rejected")
    return Run.objects.create(
        source=Source.objects.get(slug=slug),
        status=status,
        trigger="schedule",
        queued_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=seconds),
        processed=sum(figures[name] for name in counts),
        **figures,
    )


def page_of(run: Run, number: int = 1, **facts) -> RawPayload:
    from ingestion.models import RawBody

    body, _ = RawBody.objects.get_or_create(
        sha256=bytes([number]) * 32, defaults={"text": "[]", "encoding": "utf-8", "size": 2}
    )
    facts = {"state": "normalized", "received_at": NOON, "normalized_at": NOON + timedelta(seconds=number)} | facts
    return RawPayload.objects.create(
        run=run, source=run.source, sweep=1, number=number, url="http://x/", body=body, **facts
    )


# ------------------------------------------------------------------------------------------------------------ /stats


def test_stats_as_the_contract_has_them(client):
    ended("coingecko", inserted=10, last_processed_id="zcash", pages=4)
    failed = ended("coingecko", "failed", at=NOON + timedelta(minutes=20), error="CoinGecko does not answer.")
    ended("csv", at=NOON + timedelta(minutes=1), unchanged=5, last_processed_id="last")
    answer = client.get("/stats").json()
    assert (answer["records_processed"], answer["last_success"]) == (15, "2026-11-01T12:01:02Z")
    assert answer["last_failure"] == "2026-11-01T12:20:02Z"
    assert list(answer["sources"]) == ["coingecko", "coinpaprika", "csv"]
    gecko = answer["sources"]["coingecko"]
    assert (gecko["status"], gecko["run_id"], gecko["error"]) == ("failed", failed.pk, "CoinGecko does not answer.")
    assert gecko["last_processed_id"] == "zcash" and gecko["records_processed"] == 10
    assert gecko["last_success"] == "2026-11-01T12:00:02Z" and gecko["last_failure"] == "2026-11-01T12:20:02Z"
    paprika = answer["sources"]["coinpaprika"]
    assert (paprika["status"], paprika["run_id"], paprika["last_processed_id"]) == (None, None, None)


def test_stats_show_the_budget_the_circuit_and_what_waits(client, settings):
    settings.COINGECKO_MONTHLY_CALLS = 1000
    source = Source.objects.get(slug="coingecko")
    run = ended("coingecko")
    page = page_of(run)
    page_of(run, 2, state="stored", normalized_at=None)
    Reject.objects.create(source=source, run=run, payload=page, position=0, reason="bad", raw="{}", fingerprint=b"1")
    CallMonth.objects.create(source=source, month=datetime.now(UTC).date().replace(day=1), calls=164)
    Gate.objects.filter(source=source).update(
        failures=5, open_until=datetime.now(UTC) + timedelta(minutes=1), last_error="timed out"
    )
    gecko = client.get("/stats").json()["sources"]["coingecko"]
    assert (gecko["budget"]["calls_this_month"], gecko["budget"]["calls_left"]) == (164, 836)
    assert (gecko["circuit"]["state"], gecko["circuit"]["failures"]) == ("open", 5)
    assert (gecko["pages_waiting"], gecko["rejects_open"]) == (1, 1)
    assert gecko["last_processed_at"] == "2026-11-01T12:00:01Z"
    due = datetime.fromisoformat(gecko["next_due_at"])
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(seconds=gecko["interval_seconds"])


def test_the_next_run_is_due_whole_intervals_after_the_last_one_of_the_schedule(client):
    """Not at the beginning of a slot of the clock: beat counts from when it began."""
    Source.objects.filter(slug="coingecko").update(interval_seconds=1200)
    now = datetime.now(UTC)
    for ago, trigger in [(timedelta(minutes=45), "schedule"), (timedelta(minutes=3), "command")]:
        run = ended("coingecko")
        slot = now - ago if trigger == "schedule" else None
        Run.objects.filter(pk=run.pk).update(queued_at=now - ago, trigger=trigger, slot=slot)
    due = datetime.fromisoformat(client.get("/stats").json()["sources"]["coingecko"]["next_due_at"])
    assert abs(due - (now + timedelta(minutes=15))) < timedelta(seconds=1)


def test_the_number_of_queries_does_not_grow(client, django_assert_num_queries):
    for minute in range(30):
        ended("coingecko", at=NOON + timedelta(minutes=minute), inserted=1)
    for path, queries in [
        ("/stats", 3),
        ("/stats/events", 2),
        ("/stats/runs", 2),
        ("/stats/drift", 2),
        ("/stats/performance", 2),
        ("/stats/anomalies", 3),
        (f"/stats/runs/{Run.objects.first().pk}", 3),
        ("/stats/runs/compare?a={0}&b={0}".format(Run.objects.first().pk), 5),
    ]:
        with django_assert_num_queries(queries):
            assert client.get(path).status_code == 200, path


def test_what_became_of_listings_is_listed_the_newest_first(client):
    load("coingecko", *(record(f"coin-{number}", "C", f"Coin {number}", price_usd="1") for number in range(12)))
    load("coinpaprika", record("c-other", "OTH", "Other", price_usd="1"))
    listings = list(Listing.objects.order_by("pk"))
    Event.objects.bulk_create(Event(listing=one, kind="listed") for one in listings)
    Event.objects.create(listing=listings[0], kind="delisted", detail="missing from 3 whole sweeps")
    latest = client.get("/stats").json()["events"]
    assert len(latest) == 10
    shown = ("kind", "source", "source_asset_id", "asset_id", "symbol", "name", "detail", "row_id")
    assert [latest[0][name] for name in shown] == [
        *("delisted", "coingecko", "coin-0", "coin-0", "C", "Coin 0", "missing from 3 whole sweeps", listings[0].pk)
    ]
    kinds = lambda query: [one["kind"] for one in client.get(f"/stats/events?{query}").json()["data"]]  # noqa: E731
    assert kinds("asset_id=coin-0") == ["delisted", "listed"]
    assert kinds("kind=delisted") == ["delisted"]
    assert kinds("source=coinpaprika") == ["listed"]
    assert kinds("since=2099-01-01") == []
    assert client.get("/stats/events?page_size=5").json()["total"] == 14


# ------------------------------------------------------------------------------------------------------------- runs


def test_a_run_has_the_contracts_fields(client):
    run = ended("coingecko", inserted=1, updated=2, unchanged=3, rejected=4, pages=5, retries=6, last_processed_id="x")
    answer = client.get("/stats/runs").json()
    assert list(answer) == ["request_id", "api_latency_ms", "data", "total", "page", "page_size", "next", "previous"]
    (shown,) = answer["data"]
    assert list(shown) == RUN
    assert shown == {
        "run_id": run.pk,
        "source": "coingecko",
        "status": "completed",
        "trigger": "schedule",
        "started_at": "2026-11-01T12:00:00Z",
        "finished_at": "2026-11-01T12:00:02Z",
        "duration_seconds": 2.0,
        "pages": 5,
        "processed": 10,
        "inserted": 1,
        "updated": 2,
        "unchanged": 3,
        "rejected": 4,
        "retries": 6,
        "last_processed_id": "x",
        "error": None,
    }


def test_a_run_under_way_has_no_end_yet(client):
    Run.objects.create(source=Source.objects.get(slug="csv"), trigger="admin")
    (shown,) = client.get("/stats/runs?status=queued").json()["data"]
    assert (shown["started_at"], shown["finished_at"], shown["duration_seconds"]) == (None, None, None)
    assert shown["last_processed_id"] is None


def test_runs_are_filtered_and_paged_the_newest_first(client):
    made = [ended("coingecko" if n % 2 else "csv", at=NOON + timedelta(hours=n)).pk for n in range(6)]
    ended("csv", "failed", at=NOON - timedelta(days=1))
    ids = lambda query: [run["run_id"] for run in client.get(f"/stats/runs?{query}").json()["data"]]  # noqa: E731
    assert ids("status=completed") == made[::-1]
    assert ids("source=coingecko") == made[5::-2]
    assert len(ids("status=failed")) == 1 and ids("trigger=admin") == [] and ids("source=nobody") == []
    assert ids("since=2026-11-01T16:00:00Z") == made[:3:-1]
    page = client.get("/stats/runs?page_size=3&page=2").json()
    assert [run["run_id"] for run in page["data"]] == made[3:0:-1] and page["total"] == 7
    assert page["next"].endswith("page=3") and page["previous"].endswith("page=1")
    assert client.get("/stats/runs?status=great").status_code == 400


def test_one_run_with_its_pages_and_rejects(client):
    run = ended("coingecko", rejected=1, takeovers=1)
    page = page_of(run)
    page_of(run, 2, state="failed", error="cut off", normalized_at=None)
    Reject.objects.create(
        source=run.source,
        run=run,
        payload=page,
        position=7,
        field="current_price",
        reason="It is a text.",
        raw="{}",
        fingerprint=b"1",
    )
    data = client.get(f"/stats/runs/{run.pk}").json()["data"]
    assert list(data)[: len(RUN)] == RUN and data["takeovers"] == 1
    assert [(one["number"], one["state"], one["error"]) for one in data["payloads"]] == [
        (1, "normalized", None),
        (2, "failed", "cut off"),
    ]
    (reject,) = data["rejects"]
    assert (reject["position"], reject["field"], reject["reason"]) == (7, "current_price", "It is a text.")


def test_two_runs_side_by_side(client):
    a, b = ended("coingecko", inserted=10), ended("coingecko", inserted=7, seconds=5.5)
    data = client.get(f"/stats/runs/compare?a={a.pk}&b={b.pk}").json()["data"]
    assert (data["a"]["run_id"], data["b"]["run_id"]) == (a.pk, b.pk)
    assert data["differences"]["inserted"] == {"a": 10, "b": 7, "change": -3}
    assert data["differences"]["duration_seconds"]["change"] == 3.5
    assert "pages" not in data["differences"]


def test_what_a_run_held_is_not_known_once_a_page_of_it_is_gone(client):
    a, b = ended("coingecko", pages=2), ended("coingecko", pages=1)
    pages = [page_of(a), page_of(a, 2), page_of(b)]
    for page, listing_ids in zip(pages, ([1], [2], [1]), strict=True):
        Sighting.objects.create(payload=page, listing_ids=listing_ids)
    asked = f"/stats/runs/compare?a={a.pk}&b={b.pk}"
    assert client.get(asked).json()["data"]["only_in_a"]["count"] == 1
    RawPayload.objects.filter(pk=pages[0].pk).update(state="stored")
    assert client.get(asked).json()["data"]["only_in_b"] is None, "nobody has read it yet"
    pages[0].delete()
    data = client.get(asked).json()["data"]
    assert (data["only_in_a"], data["only_in_b"]) == (None, None), "coins of run b would be missing in run a"


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "a is missing"),
        ("a=1", 400, "b is missing"),
        ("a=x&b=1", 400, "a must be the number of a row"),
        ("a=0&b=1", 400, "a must be"),
        ("a=1&b=2&c=3", 400, "c is no parameter"),
        (f"a={'9' * 400}&b=1", 400, "a must be"),
        ("a=999&b=1", 404, "no run 999"),
    ],
)
def test_runs_that_cant_be_compared(client, query, status, words):
    answer = client.get(f"/stats/runs/compare?{query}")
    assert answer.status_code == status and words in answer.json()["error"]["message"]


def test_a_run_that_is_not_there_is_404(client):
    for id in ("1", str(2**63), "9" * 400):
        assert client.get(f"/stats/runs/{id}").status_code == 404


# ---------------------------------------------------------------------------------------- performance and anomalies


def test_performance_over_time_with_percentiles_and_anomalies_marked(client):
    now = datetime.now(UTC) - timedelta(hours=10)
    for n in range(20):
        run = ended("coingecko", at=now + timedelta(minutes=n), seconds=2 + n / 100, unchanged=1000)
        page_of(run, n + 1, received_at=now, normalized_at=now + timedelta(seconds=1))
    slow = ended("coingecko", at=now + timedelta(minutes=30), seconds=60, unchanged=1000)
    ended("csv", at=now - timedelta(days=30), unchanged=100)
    data = client.get("/stats/performance").json()["data"]
    assert list(data["sources"]) == ["coingecko"]
    figures = data["sources"]["coingecko"]
    assert figures["runs"] == 21 and figures["duration_seconds"]["p50"] == pytest.approx(2.1, abs=0.01)
    assert figures["duration_seconds"]["p99"] > figures["duration_seconds"]["p95"]
    assert figures["page_latency_seconds"] == {"pages": 20, "p50": 1.0, "p95": 1.0, "p99": 1.0}
    assert [run["run_id"] for run in data["runs"] if run["anomaly"]] == [slow.pk]
    assert data["runs"][-1]["anomalies"][0]["measure"] == "duration_seconds"
    assert client.get("/stats/performance?source=csv").json()["data"]["runs"] == []
    assert len(client.get("/stats/performance?source=csv&since=2020-01-01").json()["data"]["runs"]) == 1


def test_anomalies_name_the_run_and_the_measure(client):
    for n in range(20):
        ended("coingecko", at=NOON + timedelta(minutes=n), unchanged=1000)
        ended("csv", at=NOON + timedelta(minutes=n), unchanged=0)
    half = ended("coingecko", at=NOON + timedelta(hours=1), unchanged=500)
    data = client.get("/stats/anomalies").json()["data"]
    assert [run["run_id"] for run in data["runs"]] == [half.pk]
    (odd,) = data["runs"][0]["anomalies"]
    assert (odd["measure"], odd["value"], odd["median"]) == ("processed", 500, 1000) and odd["score"] < -5
    assert client.get("/stats/anomalies?source=csv").json()["data"]["runs"] == []
    assert client.get("/stats/anomalies?since=2030-01-01").json()["data"]["runs"] == []


def test_drift_is_listed_with_its_sample(client):
    run = ended("coingecko")
    Drift.objects.create(source=run.source, run=run, kind="added", path="new_field", detail="a text", sample='{"id":1}')
    Drift.objects.create(source=run.source, run=run, kind="removed", path="old_field", detail="gone")
    answer = client.get("/stats/drift?kind=added").json()
    (drift,) = answer["data"]
    assert (drift["source"], drift["run_id"], drift["path"]) == ("coingecko", run.pk, "new_field")
    assert drift["sample"] == '{"id":1}' and answer["total"] == 1
    assert [one["path"] for one in client.get("/stats/drift").json()["data"]] == ["old_field", "new_field"]
    assert client.get("/stats/drift?since=2099-01-01").json()["data"] == []


@pytest.mark.parametrize("path", ["/stats/performance", "/stats/anomalies"])
def test_how_far_back_it_looks_is_described(client, path):
    described = client.get("/schema").json()["paths"][path]["get"]["description"]
    assert f"the last {anomalies.LOOKED_AT} runs" in described
