"""Several hands at the same rows in the same moment: each interleaving is forced by a third party that holds a lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client

from assets import searching, store
from assets.matching import IDENTITY_LOCK
from assets.models import Asset, Listing, ListingText, PricePoint, Quote, Source
from assets.pricing import reprice_due
from assets.resolving import decide
from assets.tests.factories import load, record
from ingestion import alerts, finish, normalizing, pipeline, reconciling, replaying, retention, sweeps
from ingestion.lease import claim
from ingestion.models import Pulse, RawPayload, Reject, Run
from ingestion.runs import AlreadyActive, reset_checkpoint, start_run
from ingestion.source import Gone, Page
from ingestion.tests.hands import hands, held, waiting
from ingestion.tests.receiving import receiver
from ingestion.tests.stored import stored_page

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime.now(UTC).replace(microsecond=0)
IDENTITIES = f"SELECT pg_advisory_xact_lock({IDENTITY_LOCK})"


ITEM = '{{"id":"a-coin","symbol":"a","name":"A Coin","current_price":{},"last_updated":"{:%Y-%m-%dT%H:%M:%SZ}"}}'


def source(slug: str) -> Source:
    return Source.objects.get(slug=slug)


def test_a_sweep_that_delists_and_a_person_who_decides_do_not_wait_for_each_other():
    """The one writes listings, then quotes, then assets; the other has locked quotes and assets, and moves listings."""
    load("coinpaprika", record("a-one", "ONE", "One", price_usd="1"))
    load("csv", record("two", "TWO", "Two", price_usd="2"))
    one, two = Listing.objects.order_by("pk")
    Listing.objects.filter(pk=two.pk).update(missed_sweeps=2)

    def sweep_ends() -> None:
        with transaction.atomic():
            sweeps.settle(source("csv"), 1)

    with hands() as many:
        with held(f"SELECT FROM assets_asset WHERE id IN ({one.asset_id}, {two.asset_id}) FOR UPDATE"):
            many.begin(lambda: decide(one, two, same=True, by="a person"))
            many.begin(sweep_ends)
        many.all_done()
    two.refresh_from_db()
    assert (two.delisted_at is not None, Asset.objects.count()) == (True, 1)
    assert [quote["source"] for quote in Asset.objects.get().left_out] == ["csv"]


@pytest.mark.parametrize("newer_first", [True, False])
def test_of_two_pages_that_bring_in_one_coin_the_newer_names_it(newer_first):
    older = record("coin", "OLD", "Old Name", at=NOW - timedelta(minutes=1), price_usd="1")
    newer = record("coin", "NEW", "New Name", at=NOW, price_usd="2")
    pages = [(newer, 2), (older, 1)] if newer_first else [(older, 1), (newer, 2)]
    with hands() as many:
        with held(IDENTITIES):
            for word, page_id in pages:
                many.begin(lambda word=word, page_id=page_id: load("csv", word, page_id=page_id))
        many.all_done()
    listing = Listing.objects.get()
    assert (listing.symbol, listing.name, listing.quote.price_usd) == ("NEW", "New Name", 2)
    assert (listing.asset.symbol, listing.asset.price_usd) == ("NEW", 2)


def test_of_two_who_file_a_name_at_a_time_none_files_a_former_one():
    load("csv", record("aaa", "AAA", "First", price_usd="1"), record("bbb", "BBB", "Before", price_usd="1"))
    searching.file_texts()
    first, second = Listing.objects.order_by("source_asset_id")
    Listing.objects.filter(pk=first.pk).update(name="First again")
    Listing.objects.filter(pk=second.pk).update(name="In between")
    with hands() as many:
        with held(f"SELECT FROM assets_listing_text WHERE listing_id = {first.pk} FOR UPDATE"):
            many.begin(searching.file_texts)
            Listing.objects.filter(pk=second.pk).update(name="Afterwards")
            searching.file_texts()
        many.all_done()
    searching.file_texts()
    assert "fte" in ListingText.objects.get(listing=second).grams
    assert [id_ for id_, _ in searching.listings_with("afterwards", searching.ANY)] == [second.pk]


@pytest.fixture
def boss(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_superuser("boss"))
    return client


def switch(boss: Client, slug: str, **form: str) -> None:
    answer = boss.post(f"/admin/assets/source/{source(slug).pk}/change/", form)
    assert answer.status_code == 302, answer.content


def test_a_source_is_switched_off_while_a_sweep_of_it_ends(boss):
    before = NOW - timedelta(days=1)
    Source.objects.filter(slug="csv").update(last_sweep_at=before, last_sweep_records=1)
    with hands() as many:
        with held("UPDATE assets_source SET last_sweep_at = now(), last_sweep_records = 7 WHERE slug = 'csv'"):
            many.begin(lambda: switch(boss, "csv"))
        many.all_done()
    csv = source("csv")
    assert (csv.enabled, csv.last_sweep_records) == (False, 7)
    assert csv.last_sweep_at > before


def test_a_coin_that_comes_in_while_its_source_is_switched_off_has_no_price(boss):
    load("csv", record("there", "THR", "There", price_usd="1"))
    with hands() as many:
        with held("LOCK TABLE assets_price_point IN ACCESS EXCLUSIVE MODE"):
            many.begin(lambda: load("csv", record("new", "NEW", "New", price_usd="1")))
            many.begin(lambda: switch(boss, "csv"))
        many.all_done()
    assert set(Asset.objects.values_list("symbol", "agreement", "price_usd")) == {
        ("THR", "none", None),
        ("NEW", "none", None),
    }


def test_a_source_is_switched_off_while_a_page_of_it_goes_in_and_another_has(boss):
    """Who looks whether the run has ended holds the run, for which the page waits that the switch waits for."""
    page = stored_page("coingecko", ITEM.format(1, NOW))
    Run.objects.filter(pk=page.run_id).update(
        status="running", finished_at=None, fetched_at=Now(), outcome="completed", whole=True
    )
    with hands() as many:
        with held("LOCK TABLE ingestion_sighting IN EXCLUSIVE MODE"):
            many.begin(normalizing.normalize, page.pk)
            many.begin(lambda: switch(boss, "coingecko"))
            many.begin(finish.finish_if_done, page.run_id)
        assert many.all_done()[::2] == [1, False]
    assert (Run.objects.get().status, Asset.objects.get().agreement) == ("completed", "none")


def test_a_coin_is_priced_by_its_source_as_it_is_and_not_as_the_page_found_it():
    csv = source("csv")
    Source.objects.filter(pk=csv.pk).update(enabled=False)
    store.merge(csv, [(0, record("new", "NEW", "New", at=NOW, price_usd="1"))], 1)
    assert Asset.objects.get().agreement == "none"


def test_a_coin_that_comes_in_while_its_schedule_is_edited_is_fresh_by_the_new_one():
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    now = datetime.now(UTC)
    every, _ = IntervalSchedule.objects.get_or_create(every=77, period="seconds")
    PeriodicTask.objects.filter(name="ingest csv").update(interval=every)
    with hands() as many:
        with held("LOCK TABLE assets_price_point IN ACCESS EXCLUSIVE MODE"):
            many.begin(lambda: load("csv", record("new", "NEW", "New", at=now, price_usd="1")))
            many.begin(reconciling.keep_schedules)
        many.all_done()
    reprice_due()
    assert Asset.objects.get().fresh_until == now + 3 * timedelta(seconds=77)


def test_a_page_of_an_earlier_run_and_one_of_the_newest_in_the_same_moment():
    first, second = (stored_page("coingecko", ITEM.format(price, NOW)) for price in (1, 2))
    normalizing.normalize(first.pk)
    third = stored_page("coingecko", ITEM.format(1, NOW))
    with hands() as many:
        with held(f"SELECT FROM ingestion_run WHERE id = {third.run_id} FOR UPDATE"):
            many.begin(normalizing.normalize, third.pk)
            many.begin(normalizing.normalize, second.pk)
        many.all_done()
    assert (Quote.objects.get().price_usd, PricePoint.objects.get().price_usd) == (1, 1)
    with hands() as many:
        page = RawPayload.objects.select_related("source", "body").get(pk=third.pk)
        with held(f"SELECT pg_advisory_xact_lock_shared(7634, {page.source_id})"):
            many.begin(lambda: list(replaying.replay(iter([page]))))
            assert waiting() == 1, "what is read again goes in alone"
        many.all_done()
    assert Quote.objects.get().price_usd == 1


def test_pages_of_one_run_go_in_side_by_side():
    pages = [
        stored_page("coingecko", ITEM.format(1, NOW).replace("a-coin", f"coin-{n}"), new_run=False) for n in range(2)
    ]
    for page in pages:
        normalizing.normalize(page.pk)
    RawPayload.objects.update(state="stored", attempts=1)
    with hands() as many, held(f"SELECT pg_advisory_xact_lock_shared(7634, {pages[0].source_id})"):
        assert many.begin(normalizing.normalize, pages[0].pk).result(20) == 1


def test_two_pages_with_the_same_unreadable_records_in_another_order():
    one, between, other = "1", "2", "3"
    pages = [
        stored_page("coingecko", text, new_run=False)
        for text in (f"{one},{between},{other}", f"{other},{between},{one}")
    ]
    RawPayload.objects.update(attempts=1)  # so that each goes in alone
    blocker = stored_page("coingecko", between, new_run=False)
    parsed = normalizing.parse(RawPayload.objects.select_related("source", "body").get(pk=blocker.pk))
    other_hand = threading.Event()

    def keep() -> None:
        with transaction.atomic():
            normalizing.keep_rejects([(blocker, parsed.rejects)])
            begun.set()
            assert other_hand.wait(20)
            transaction.set_rollback(True)

    begun = threading.Event()
    with hands() as many:
        many.begin(keep, until_it_waits=False)
        assert begun.wait(20)
        for page in pages:
            many.begin(normalizing.normalize, page.pk)
        other_hand.set()
        many.all_done()
    assert Reject.objects.count() == 3


@pytest.mark.parametrize("what", ["is read again", "is gone"])
def test_a_file_whose_page_goes_in_is_read_again_or_gone_in_the_same_run(what):
    """The one has the page and writes the run in the end; the other, who holds the run, marks the page."""
    page = stored_page("coingecko", ITEM.format(1, NOW), meta={"file": "coins.csv"})
    Run.objects.filter(pk=page.run_id).update(status="running", finished_at=None, pages=1)
    run, mine = claim(page.run_id)
    again = Page(b"[]", None, "", NOW, meta={"file": "coins.csv", "first_row": 1}, records=1)

    def fetch() -> None:
        if what == "is gone":
            pipeline.give_up(run, mine, Gone(("coins.csv",), ""))
        else:
            pipeline.store_page(run, mine, again)

    with hands() as many:
        with held("LOCK TABLE ingestion_sighting IN EXCLUSIVE MODE"):
            many.begin(normalizing.normalize, page.pk)
            many.begin(fetch)
        many.all_done()
    page.refresh_from_db()
    assert page.superseded


def test_a_page_that_two_workers_begin_has_been_tried_once():
    page = stored_page("coingecko", ITEM.format(1, NOW))
    mine = normalizing.begin_attempts(page.pk)
    theirs = normalizing.begin_attempts(page.pk)
    assert RawPayload.objects.get(pk=page.pk).attempts == 2
    with hands() as many:
        with held(f"SELECT FROM ingestion_run WHERE id = {page.run_id} FOR UPDATE"):
            many.begin(normalizing.put_in, mine)
            late = many.begin(normalizing.put_in, theirs)
        assert [late.result(20), *many.all_done()] == [0, 1, 0]
    page.refresh_from_db()
    assert page.state == "normalized"


def test_a_page_whose_worker_dies_while_another_has_it_too_counts_one_attempt():
    page = stored_page("coingecko", ITEM.format(1, NOW))
    for _ in range(2):
        theirs = normalizing.begin_attempts(page.pk)
    with hands() as many:
        with held(f"SELECT FROM ingestion_rawpayload WHERE id = {page.pk} FOR NO KEY UPDATE"):
            many.begin(normalizing.put_in, theirs)
        assert many.all_done() == [0]
    assert RawPayload.objects.values_list("state", "attempts").get(pk=page.pk) == ("stored", 1)


LONG_AGO = datetime(2020, 1, 5, tzinfo=UTC)


def test_a_month_is_not_dropped_under_a_page_that_writes_to_it(monkeypatch):
    monkeypatch.setattr(retention, "TRIES", 1)
    store.ensure_partitions([LONG_AGO])
    page = stored_page("coingecko", ITEM.format(1, LONG_AGO))
    with hands() as many:
        with held(IDENTITIES):
            many.begin(normalizing.normalize, page.pk)
            assert retention.drop_months(["assets_price_point_2020_01"]) == ["assets_price_point_2020_01"]
        assert many.all_done() == [1]
    page.refresh_from_db()
    assert (page.state, PricePoint.objects.count()) == ("normalized", 1)
    assert retention.drop_months(["assets_price_point_2020_01"]) == []
    assert PricePoint.objects.count() == 0


def test_what_is_read_again_brings_a_dropped_month_back_for_news_alone():
    month, page = "assets_price_point_2020_01", stored_page("coingecko", ITEM.format(1, LONG_AGO))
    normalizing.fail_page(page.pk, "set aside")
    for news in (1, 0):
        (done,) = replaying.replay(RawPayload.objects.select_related("source", "body").filter(pk=page.pk).iterator())
        assert (done.inserted, PricePoint.objects.count()) == (news, news)
        retention.drop_months([month])
        assert PricePoint.objects.count() == 0
    with connection.cursor() as cursor:
        replaying.requeue(page)
        normalizing.normalize(page.pk)
        cursor.execute("SELECT to_regclass(%s)", [month])
        assert cursor.fetchone() == (None,)


def test_a_month_that_somebody_reads_for_long_is_left_and_nobody_waits_for_it(manage, settings, monkeypatch):
    monkeypatch.setattr(retention, "PAUSE", 0.01)
    settings.HISTORY_RETENTION_DAYS = 60
    manage("prune")  # what others have left
    store.ensure_partitions([LONG_AGO])
    with held("DECLARE slow CURSOR FOR SELECT FROM assets_price_point"):
        said = manage("prune")
        assert (said.code, waiting()) == (0, 0)
        assert said.out.splitlines()[-1] == "Points are being read all the time: these months go another day: 2020-01."
        load("csv", record("new", "NEW", "New", price_usd="1"))
    assert manage("prune").out.splitlines()[-1].endswith("of 1 month older than 60 days: 2020-01.")


@pytest.fixture
def slow_receiver(settings) -> Iterator[tuple[list[dict], threading.Event, threading.Event]]:
    """(what it was told, it is being told something, it may answer)."""
    told: list[dict] = []
    asked, answer = threading.Event(), threading.Event()

    def hear(message: dict) -> None:
        told.append(message)
        asked.set()
        answer.wait(20)

    with receiver(hear) as address:
        settings.ALERT_WEBHOOK_URL = address
        yield told, asked, answer
        answer.set()


def test_a_checkpoint_is_not_reset_under_a_run_that_begins_meanwhile():
    """Its first page would put the checkpoint back where it was, and nobody would know."""
    with hands() as many:
        with held(f"SELECT FROM ingestion_checkpoint WHERE source_id = {source('csv').pk} FOR UPDATE"):
            resetting = many.begin(reset_checkpoint, source("csv"))
            start_run(source("csv"), Run.Trigger.COMMAND)
        with pytest.raises(AlreadyActive):
            resetting.result(60)


def test_a_receiver_slower_than_the_reconciler_is_told_once(slow_receiver):
    told, asked, answer = slow_receiver
    assert alerts.tell() == 0
    run = start_run(source("csv"), Run.Trigger.COMMAND)
    Run.objects.filter(pk=run.pk).update(status="failed", started_at=Now(), finished_at=Now(), error="gone")
    with hands() as many:
        many.begin(alerts.tell, until_it_waits=False)
        assert asked.wait(20)
        again = many.begin(alerts.tell, until_it_waits=False)
        assert again.result(10) == 0
        answer.set()
        assert many.all_done() == [1, 0]
    assert len(told) == 1
    assert alerts.tell() == 0


def test_who_dies_while_he_tells_is_followed_by_another(slow_receiver):
    told, _, answer = slow_receiver
    answer.set()
    assert alerts.tell() == 0
    run = start_run(source("csv"), Run.Trigger.COMMAND)
    Run.objects.filter(pk=run.pk).update(status="failed", started_at=Now(), finished_at=Now(), error="gone")
    Pulse.objects.filter(name="telling").update(at=Now())
    assert (alerts.tell(), told) == (0, [])
    Pulse.objects.filter(name="telling").update(at=Now() - 2 * alerts.DIED)
    assert (alerts.tell(), len(told)) == (1, 1)
