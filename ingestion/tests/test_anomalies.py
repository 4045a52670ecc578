"""What is out of the ordinary, and what isn't."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from assets.models import Listing, Source
from assets.tests.factories import load, record
from ingestion.anomalies import ENOUGH, MEASURES, PRICE, Measure, Ran, unusual, unusual_prices, unusual_runs

COUNT = Measure("processed", 0.05, 1.0)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def run(
    number: int,
    processed: int = 1000,
    *,
    seconds: float = 2.0,
    source: str = "coingecko",
    status="completed",
    rejected=0,
    pages=1,
):
    at = NOON + timedelta(minutes=number)
    return Ran(number, source, status, at, at + timedelta(seconds=seconds), pages, processed, rejected, None)


def test_too_little_history_says_nothing():
    assert unusual(COUNT, [1000.0] * (ENOUGH - 1), 1.0) is None
    assert unusual(COUNT, [1000.0] * ENOUGH, 1.0) is not None


def test_a_source_that_never_varies_does_not_cry_over_one_record():
    assert unusual(COUNT, [1000.0] * 50, 1001.0) is None
    assert unusual(COUNT, [0.0] * 50, 0.0) is None
    assert unusual(COUNT, [130.0] * 50, 131.0) is None


def test_a_price_that_was_zero_until_now_is_measured_by_nothing():
    assert unusual(PRICE, [0.0] * 10, 0.5) is None
    assert unusual(PRICE, [0.0] * 10, 0.0) is None


@pytest.mark.parametrize("seed", range(20))
def test_thirty_calm_days_raise_no_alarm_and_every_drop_by_half_does(seed):
    chance = random.Random(seed)
    calm = [
        run(number, 1000 + chance.randint(-3, 3), seconds=max(chance.gauss(2.0, 0.4), 0.3)) for number in range(30 * 72)
    ]
    assert unusual_runs(calm) == {}
    drop = run(9999, chance.randint(0, 500))
    assert [odd.measure for odd in unusual_runs([*calm[-100:], drop])[9999]] == ["processed"]


def test_the_tested_run_is_not_part_of_its_own_baseline():
    # With the outlier among nine points, no mean and sigma could ever call it one.
    assert 9 in unusual_runs([*(run(n) for n in range(9)), run(9, 10)])


def test_a_source_is_measured_against_itself():
    mixed = [one for n in range(20) for one in (run(2 * n, 130, source="csv"), run(2 * n + 1, 10_000))]
    assert unusual_runs(mixed) == {}


def test_a_file_that_grows_now_and_then_and_is_read_anew_once_a_day_raises_no_alarm():
    def csv(number: int, processed: int, **more):
        return run(number, processed, source="csv", **more)

    unchanged = [csv(n, 100_000, pages=0, seconds=0.1) for n in range(50)]
    grown = [csv(50 + n, 10) if n % 5 == 0 else csv(50 + n, 100_000, pages=0) for n in range(60)]
    anew = [csv(110 + n, 100_000, pages=100, seconds=60, rejected=3) for n in range(20)]
    assert unusual_runs(unchanged + grown + anew) == {}
    assert 200 in unusual_runs([*unchanged, *anew, csv(200, 100_000, rejected=50_000)])


def test_a_failed_run_is_tested_and_is_no_baseline():
    failed = [run(20 + n, 0, status="failed") for n in range(30)]
    found = unusual_runs([*(run(n) for n in range(10)), *failed, run(60)])
    assert set(found) == {one.run_id for one in failed}


def test_every_measure_is_a_figure_of_a_run():
    for measure in MEASURES:
        assert isinstance(getattr(run(1), measure.name), int | float)


@pytest.mark.django_db
def test_a_price_far_from_its_own_past_is_named_and_a_calm_one_isnt():
    chance = random.Random(1)
    now = datetime.now(UTC)
    for n in range(12):
        at = now - timedelta(minutes=20 - n)
        load(
            "coingecko",
            record("calm", "C", "Calm", at=at, rank=1, price_usd=str(100 + chance.randint(-3, 3))),
            record("jumpy", "J", "Jumpy", at=at, rank=2, price_usd="50" if n < 11 else "25"),
            record("thin", "T", "Thin", at=at, rank=5000, price_usd="50" if n < 11 else "1"),
            record("new", "N", "New", at=at, rank=3, price_usd="1" if n < 10 else "9") if n > 6 else record("x", at=at),
        )
    (found,) = unusual_prices()
    assert (found["kind"], found["asset_id"], found["source"]) == ("jump", "jumpy", "coingecko")
    assert (found["price_usd"], found["median"]) == (25, 50) and found["score"] < -5
    Source.objects.filter(slug="coingecko").update(enabled=False)
    assert unusual_prices() == [], "nobody says so any longer"
    Source.objects.filter(slug="coingecko").update(enabled=True)
    Listing.objects.filter(source_asset_id="jumpy").update(missed_sweeps=3, delisted_at=now)
    assert unusual_prices() == [], "it is no price of today"


@pytest.mark.django_db
def test_sources_that_contradict_each_other_are_named():
    supply = {"circulating_supply": "19000000"}
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="100", **supply))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100", **supply))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="120", **supply))
    (found,) = unusual_prices()
    assert (found["kind"], found["asset_id"], found["price_min"], found["price_max"]) == (
        "disagreement",
        "bitcoin",
        100,
        120,
    )
    assert found["sources"] == ["coingecko", "coinpaprika"]
    named = {of: len(unusual_prices(of)) for of in ("coingecko", "coinpaprika", "csv")}
    assert named == {"coingecko": 1, "coinpaprika": 1, "csv": 0}


@pytest.mark.django_db
def test_an_outlier_among_three_is_named(client):
    supply = {"circulating_supply": "19000000"}
    for slug, own, price in (
        ("coingecko", "bitcoin", "100"),
        ("coinpaprika", "btc-bitcoin", "100"),
        ("csv", "btc", "100"),
    ):
        load(slug, record(own, "BTC", "Bitcoin", price_usd=price, **supply))
    assert unusual_prices() == []
    load("csv", record("btc", "BTC", "Bitcoin", price_usd="150", **supply))
    (found,) = unusual_prices()
    assert found["kind"] == "outlier" and found["reason"].startswith("csv: outlier: 150")
    assert found["sources"] == ["csv"] and unusual_prices("coingecko") == []
    shown = client.get("/stats/anomalies?source=csv").json()["data"]["prices"]
    assert [one["kind"] for one in shown] == ["outlier"]
