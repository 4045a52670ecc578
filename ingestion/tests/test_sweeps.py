"""What a whole sweep says about the listings that it did not hold, and which sweeps say nothing about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from assets.models import Event, Listing, Source
from assets.tests.factories import load, record
from cryptoetl.demo import Fault
from ingestion import normalizing, replaying, sweeps
from ingestion.errors import Malformed
from ingestion.models import RawPayload, Run


@pytest.mark.django_db
def test_a_listing_was_not_last_seen_before_it_was_first_seen():
    source = load("coingecko", record("new", "NEW", "New", price_usd="1"))
    Source.objects.filter(pk=source.pk).update(last_sweep_at=datetime.now(UTC) - timedelta(hours=1))
    with transaction.atomic():
        sweeps.settle(source, 99)
    listing = Listing.objects.get()
    assert (listing.missed_sweeps, listing.last_seen_at) == (1, listing.first_seen_at)


@pytest.fixture
def file(ingest, tmp_path, settings):
    """file(row, ...): one run over a CSV that holds these rows."""
    path = tmp_path / "coins.csv"
    settings.CSV_SOURCE_PATH = str(path)

    def run(*rows: str) -> Run:
        path.write_text("".join(f"{line}\n" for line in ("id,symbol,name,price_usd,observed_at", *rows)))
        return ingest("csv")

    return run


def row(coin: str, price: object = 1, hour: int = 0) -> str:
    return f"{coin},{coin.upper()},Coin {coin},{price},2026-11-19T{hour:02}:00:00Z"


def missed() -> dict[str, int]:
    """How many sweeps missed each listing that is missed."""
    return dict(Listing.objects.filter(missed_sweeps__gt=0).values_list("source_asset_id", "missed_sweeps"))


def test_a_coin_whose_record_can_not_be_read_is_not_missing(file):
    file(row("a"), row("b"))
    for hour in (1, 2, 3):
        run = file(row("a", hour=hour), row("b", f"1{hour} euro", hour))
        assert (run.status, run.rejected) == ("completed", 1)
    listing = Listing.objects.get(source_asset_id="b")
    assert (listing.missed_sweeps, listing.delisted_at, listing.last_seen_at) == (0, None, None)
    assert Source.objects.get(slug="csv").last_sweep_records == 1, "what can't be read is not kept"


def test_a_coin_of_an_api_whose_record_can_not_be_read_is_not_missing(ingest, provider):
    ingest("coingecko")
    provider.fail("coingecko", Fault.PRICE_STRING, match={"page": 1}, position=3)
    run = ingest("coingecko")
    assert (run.status, run.rejected, missed()) == ("completed", 1, {})


def test_a_record_that_does_not_say_which_coin_it_is_about_may_be_any_that_was_there_before_it(file):
    file(row("a"), row("b"))
    for hour in (1, 2, 3):
        file(row("a", hour=hour), "b,B")
    listing = Listing.objects.get(source_asset_id="b")
    assert (listing.missed_sweeps, listing.delisted_at) == (0, None)
    assert listing.last_seen_at < Source.objects.get(slug="csv").last_sweep_at
    file(row("a", hour=4))
    assert missed() == {"b": 1}
    file(row("a", hour=5), row("b", hour=5))
    listing.refresh_from_db()
    assert (listing.missed_sweeps, listing.last_seen_at) == (0, None)


def test_a_record_that_is_never_read_hides_no_coin_that_goes_after_it_came(file):
    file(row("a"), row("b"), ",,,7,")
    for hour in (1, 2, 3):
        assert file(row("a", hour=hour), ",,,7,").rejected == 1
    assert missed() == {"b": 3}
    assert Listing.objects.get(source_asset_id="b").delisted_at is not None


def test_a_coin_that_is_gone_is_delisted_once(file):
    file(row("a"), row("b"))
    for hour in (1, 2, 3):
        file(row("a", hour=hour))
    gone = Listing.objects.filter(source_asset_id="b").values("delisted_at", "missed_sweeps", "last_seen_at")
    before = gone.get()
    assert before["delisted_at"] is not None
    for hour in (4, 5):
        file(row("a", hour=hour))
    assert gone.get() == before
    assert list(Event.objects.values_list("kind", "listing__source_asset_id")) == [("delisted", "b")]


def test_a_page_that_an_earlier_run_of_the_sweep_could_not_read_leaves_the_sweep_in_part(
    file, ingest, settings, monkeypatch
):
    coins = [f"c{number}" for number in range(20)]
    settings.ETL_BATCH_SIZE = 10
    file(*map(row, coins))
    parse = normalizing.parse

    def unlucky(payload: RawPayload) -> normalizing.Parsed:
        if payload.number == 1:
            raise Malformed("Nobody can read this.")
        return parse(payload)

    settings.FAIL_AFTER_N_RECORDS = 10
    with monkeypatch.context() as patched:
        patched.setattr(normalizing, "parse", unlucky)
        assert file(*(row(coin, hour=1) for coin in coins)).status == "failed"
    settings.FAIL_AFTER_N_RECORDS = None
    run = ingest("csv")
    page = RawPayload.objects.get(state="failed")
    assert (run.status, run.error) == ("partial", f"Page 1 of run {page.run_id}: Nobody can read this.")
    assert missed() == {}
    assert replaying.requeue(page)
    assert ingest("csv").error == f"Page 1 of run {page.run_id}: It waits to be read."
    assert normalizing.normalize(page.pk)
    assert (ingest("csv").status, missed()) == ("completed", {})


def test_a_broken_page_that_a_later_run_of_the_sweep_fetched_again_holds_nothing_up(ingest, provider):
    provider.fail("coingecko", Fault.CUT_JSON, match={"page": 2})
    assert ingest("coingecko").status == "failed"
    assert (ingest("coingecko").status, RawPayload.objects.filter(state="failed").count()) == ("completed", 1)


def test_what_comes_after_an_empty_sweep_is_measured_by_the_last_one_that_held_something(file):
    coins = [f"coin{number}" for number in range(120)]
    assert file(*map(row, coins)).status == "completed"
    run = file(*(row(coin, "1 euro", hour=1) for coin in coins))
    assert (run.status, run.rejected) == ("failed", 120), run.error
    assert Source.objects.get(slug="csv").last_sweep_records == 120
    run = file(*(row(coin, hour=2) for coin in coins[:20]))
    assert (run.status, missed()) == ("partial", {}), "a hundred coins are not missing because of it"
