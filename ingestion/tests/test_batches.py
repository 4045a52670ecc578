"""Pages that wait go in together, with what each would have come to by itself; one that spoils it goes alone."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from assets import store
from assets.models import Quote, Source
from cryptoetl.demo import Fault, ProviderServer
from ingestion import attempts, normalizing, runs, tasks
from ingestion.models import RawPayload, Run, Sighting
from ingestion.tests.conftest import point_at, run_to_end
from ingestion.tests.crew import wait_for


@pytest.fixture
def waiting(tables, settings):
    """A run of CoinGecko whose four pages are stored, and none of them normalized."""
    with ProviderServer(generated=1000) as server:
        point_at(server, settings)
        run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
        pages: list[int] = []
        tasks.carry(run.pk, pages.append)
    assert len(pages) == 4
    return run, pages


def counts(run: Run) -> list[tuple]:
    fields = ("number", "state", "inserted", "updated", "unchanged", "rejected", "last_id")
    return list(run.payloads.order_by("number").values_list(*fields))


def test_the_first_page_takes_the_others_along(waiting):
    run, pages = waiting
    assert normalizing.normalize(pages[0]) == len(pages)
    assert normalizing.normalize(pages[1]) == 0
    run.refresh_from_db()
    assert (run.status, run.processed) == ("completed", Quote.objects.count())
    together = counts(run)
    assert all(len(one.listing_ids) == one.payload.inserted for one in Sighting.objects.select_related("payload"))
    assert sum(page[2] for page in together) == run.inserted == run.processed
    assert [page[-1] for page in together] == [
        Quote.objects.filter(page_id=page).order_by("-position").first().listing.source_asset_id for page in pages
    ]


def test_a_page_begun_before_goes_in_alone(waiting):
    run, pages = waiting
    RawPayload.objects.filter(pk=pages[0]).update(attempts=1)
    assert normalizing.normalize(pages[0]) == 1
    RawPayload.objects.filter(pk=pages[2]).update(attempts=1)
    assert normalizing.normalize(pages[1]) == 2, "the third is left to itself"
    assert [state for _, state, *_ in counts(run)] == ["normalized", "normalized", "stored", "normalized"]
    assert normalizing.normalize(pages[2]) == 1


def test_a_batch_that_can_not_be_merged_goes_in_page_by_page_without_the_culprit(waiting, monkeypatch):
    run, pages = waiting
    culprit = pages[1]

    def spoilt(source, given):
        if culprit in given:
            raise ZeroDivisionError("ours")
        return merge_pages(source, given)

    merge_pages = store.merge_pages
    monkeypatch.setattr(store, "merge_pages", spoilt)
    with pytest.raises(ZeroDivisionError):
        normalizing.normalize(pages[0])
    run.refresh_from_db()
    assert [state for _, state, *_ in counts(run)] == ["normalized", "failed", "normalized", "normalized"]
    assert (run.status, "A fault of cryptoetl itself: ZeroDivisionError: ours" in run.error) == ("failed", True)


def test_a_body_received_before_says_nothing_new_and_is_not_read(tables, provider, monkeypatch):
    first = run_to_end("coingecko")
    monkeypatch.setattr(normalizing, "parse", lambda payload: pytest.fail("read again"))
    again = run_to_end("coingecko")
    assert (again.status, again.unchanged, again.processed) == ("completed", first.processed, first.processed)
    assert again.last_processed_id == first.last_processed_id
    held = Sighting.objects.filter(payload__run=again).order_by("pk").values_list("listing_ids", flat=True)
    assert list(held) == list(Sighting.objects.filter(payload__run=first).values_list("listing_ids", flat=True))


def test_a_body_received_before_is_read_again_when_a_record_of_it_could_not_be_read(tables, provider):
    provider.fail("coingecko", Fault.PRICE_STRING, times=None, match={"page": 1}, position=3)
    first, again = run_to_end("coingecko"), run_to_end("coingecko")
    bodies = [run.payloads.order_by("number").first().body_id for run in (first, again)]
    assert bytes(bodies[0]) == bytes(bodies[1])
    assert (again.rejected, again.unchanged) == (first.rejected, first.processed - 1) == (1, first.inserted)


@pytest.mark.parametrize("since", ["newer word", "a quote is gone"])
def test_a_body_received_before_is_read_again_when_the_tables_moved_on(tables, provider, since):
    run_to_end("coingecko")
    bitcoin = Quote.objects.get(listing__source_asset_id="bitcoin")
    if since == "newer word":
        # As though a page in between had said another price of the same time, and were now outdone by the old one.
        page = RawPayload.objects.latest("pk")
        Quote.objects.filter(pk=bitcoin.pk).update(price_usd=1, digest=0, page_id=page.pk)
        RawPayload.objects.filter(pk=page.pk).update(state="failed")
    else:
        bitcoin.delete()
    again = run_to_end("coingecko")
    assert Quote.objects.get(listing__source_asset_id="bitcoin").price_usd == bitcoin.price_usd
    assert again.inserted + again.updated == 1


def test_an_outage_in_mid_page_is_no_attempt_however_long_it_lasts(waiting, settings, monkeypatch):
    run, pages = waiting
    settings.ETL_RETRY_ATTEMPTS = 1
    commit_pages, connect, away = normalizing.commit_pages, BaseDatabaseWrapper.connect, threading.Event()

    def cut_short(payloads):
        away.set()
        connection.close()
        raise OperationalError("terminating connection due to administrator command")

    def refused(wrapper):
        if away.is_set():
            raise OperationalError("connection refused")
        connect(wrapper)

    monkeypatch.setattr(BaseDatabaseWrapper, "connect", refused)
    for _ in range(3):
        monkeypatch.setattr(normalizing, "commit_pages", cut_short)
        with pytest.raises(OperationalError):
            normalizing.normalize(pages[0])
        monkeypatch.setattr(normalizing, "commit_pages", commit_pages)
        away.clear()
        wait_for(lambda: not RawPayload.objects.exclude(attempts=0).exists(), "the attempts are given back", 10)
    assert normalizing.normalize(pages[0]) == len(pages)
    run.refresh_from_db()
    assert run.status == "completed"


def test_a_page_is_not_set_aside_while_a_living_process_owes_it_an_attempt(waiting, settings, monkeypatch):
    _, pages = waiting
    settings.ETL_RETRY_ATTEMPTS = 1
    RawPayload.objects.filter(pk=pages[0]).update(attempts=1)
    monkeypatch.setattr(normalizing, "sleep", lambda _: attempts.give_back([pages[0]]))
    assert normalizing.normalize(pages[0])
    assert RawPayload.objects.get(pk=pages[0]).state == "normalized"


def test_an_outage_among_pages_that_go_in_one_by_one_is_no_attempt_at_those_behind(waiting, monkeypatch):
    _, pages = waiting

    def spoilt_and_away(payloads):
        if len(payloads) > 1:
            raise ZeroDivisionError("a bug")
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(normalizing, "commit_pages", spoilt_and_away)
    with pytest.raises(OperationalError):
        normalizing.normalize(pages[0])
    assert not RawPayload.objects.exclude(attempts=0).exists()
