"""What the one writer guards, whatever the order and however often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from assets import pricing, store
from assets.models import Asset, Candidate, Decision, Event, Listing, PricePoint, Quote, Source
from assets.pricing import reprice, reprice_due
from assets.records import AssetRecord
from assets.resolving import decide
from assets.tests import factories
from assets.tests.factories import load

pytestmark = pytest.mark.django_db

TIME = datetime(2026, 11, 20, tzinfo=UTC)


def record(
    id: str = "bitcoin", price: str | None = "1.5", minutes: int = 0, symbol: str = "BTC", name: str = "Bitcoin", **more
) -> AssetRecord:
    return AssetRecord(
        id, symbol, name, TIME + timedelta(minutes=minutes), None if price is None else Decimal(price), **more
    )


def merge(source: str, *records: AssetRecord, page: int = 1) -> tuple[int, int, int]:
    store.ensure_partitions([one.observed_at for one in records])
    merged = store.merge(Source.objects.get(slug=source), list(enumerate(records)), page)
    return merged.inserted, merged.updated, merged.unchanged


def price(id: str = "bitcoin") -> Decimal | None:
    return Quote.objects.get(listing__source_asset_id=id).price_usd


def test_a_record_is_inserted_then_unchanged_then_updated():
    assert merge("coingecko", record()) == (1, 0, 0)
    assert merge("coingecko", record(), page=2) == (0, 0, 1)
    assert Quote.objects.get().page_id == 1
    assert merge("coingecko", record(price="2", minutes=5), page=3) == (0, 1, 0)
    assert PricePoint.objects.count() == 2


def test_an_older_observation_is_history_and_never_the_quote():
    merge("coingecko", record(price="2", minutes=5), page=2)
    assert merge("coingecko", record(price="1"), page=3) == (0, 1, 0)
    assert price() == 2
    assert PricePoint.objects.count() == 2
    assert merge("coingecko", record(price="1"), page=3) == (0, 0, 1)


def test_of_two_words_of_one_time_the_later_page_wins_whatever_the_order():
    merge("coingecko", record(price="1"), page=1)
    merge("coingecko", record(price="2"), page=2)
    assert price() == 2
    assert merge("coingecko", record(price="1"), page=1) == (0, 0, 1)
    assert price() == 2
    assert PricePoint.objects.get().price_usd == 2


def test_one_id_twice_in_a_page_is_one_quote_the_newest_then_the_last():
    assert merge("coingecko", record(price="3", minutes=1), record(price="1"), record(price="4", minutes=1)) == (
        1,
        1,
        1,
    )
    assert price() == 4
    assert PricePoint.objects.count() == 2


def test_without_a_price_there_is_a_quote_and_no_point():
    assert merge("coingecko", record(price=None)) == (1, 0, 0)
    assert (price(), PricePoint.objects.count(), Asset.objects.get().agreement) == (None, 0, "none")


@pytest.mark.parametrize("figure", ["1.234E-17", "1e30", "1E-300", "9223372036854775807", "0.10"])
def test_a_figure_comes_back_as_it_went_in(figure):
    merge("coingecko", record(price=figure, market_cap=Decimal(figure)))
    assert (price(), Quote.objects.get().market_cap) == (Decimal(figure), Decimal(figure))


@pytest.mark.parametrize("name", ["tab\there", "new\nline", "back\\slash", "\\N", "quote'\"", "Ümläut 币", "a\rb"])
def test_a_name_is_kept_whatever_it_holds(name):
    merge("coingecko", record(name=name))
    assert Listing.objects.get().name == name


def test_sources_meet_in_one_asset_whose_slug_is_the_anchors_and_each_keeps_its_word():
    merge("coinpaprika", record("btc-bitcoin", "10"))
    assert Asset.objects.get().slug == "coinpaprika:btc-bitcoin"
    merge("coingecko", record("bitcoin", "10.2"))
    asset = Asset.objects.get()
    assert asset.slug == "bitcoin"
    assert sorted(asset.quotes.values_list("price_usd", flat=True)) == [Decimal(10), Decimal("10.2")]


def test_a_rename_is_noticed_and_decided_again():
    merge("coingecko", record("matic-network", symbol="MATIC", name="Polygon"))
    merge("coinpaprika", record("abc-abc", symbol="ABC", name="Abc Coin"))
    assert Asset.objects.count() == 2
    merge("coinpaprika", record("abc-abc", symbol="MATIC", name="Polygon", minutes=1), page=2)
    listing = Listing.objects.get(source_asset_id="abc-abc")
    assert (listing.symbol, listing.asset.slug) == ("MATIC", "matic-network")
    assert Asset.objects.count() == 1
    assert listing.events.get().kind == "moved"


def test_an_older_observation_renames_nothing_and_a_replay_leaves_the_present_name():
    older, newer = record(symbol="ALPHA", name="Alpha Finance"), record(symbol="STELLA", name="Stella", minutes=5)
    merge("coingecko", newer, page=2)
    merge("coingecko", older, page=1)
    assert Listing.objects.values_list("symbol", "name").get() == ("STELLA", "Stella")
    merge("coingecko", newer, page=2)
    merge("coingecko", record(symbol="BETA", name="Beta", minutes=5), page=3)
    assert Listing.objects.get().name == "Beta", "of two words of one time the later page wins"
    merge("coingecko", newer, page=2)
    assert Listing.objects.get().name == "Beta"


def test_a_persons_decision_wins_and_survives_the_next_merge():
    from assets.matching import place_again

    merge("coingecko", record("bitcoin"))
    merge("coinpaprika", record("btc-bitcoin"))
    a, b = Listing.objects.order_by("pk")
    Decision.objects.create(a=a, b=b, same=False, decided_by="test")
    reprice(place_again([a.pk, b.pk]))
    assert set(Asset.objects.values_list("slug", flat=True)) == {"bitcoin", "coinpaprika:btc-bitcoin"}
    merge("coinpaprika", record("btc-bitcoin", "1.6", minutes=1), page=2)
    assert Asset.objects.count() == 2
    Decision.objects.all().delete()
    reprice(place_again([a.pk, b.pk]))
    assert Asset.objects.get().quotes_count == 2
    assert not Candidate.objects.exists()


def test_the_consensus_changes_with_the_quotes_and_when_one_goes_stale():
    now = datetime.now(UTC).replace(microsecond=0)
    fresh = AssetRecord("bitcoin", "BTC", "Bitcoin", now, Decimal(100))
    merge("coingecko", fresh)
    merge("coinpaprika", AssetRecord("btc-bitcoin", "BTC", "Bitcoin", now, Decimal(102)))
    asset = Asset.objects.get()
    assert (asset.agreement, asset.price_usd, asset.sources_used) == ("agree", 101, ["coingecko", "coinpaprika"])
    assert reprice_due() == 0
    Asset.objects.update(fresh_until=now - timedelta(seconds=1))
    Quote.objects.filter(source__slug="coinpaprika").update(observed_at=now - timedelta(days=1))
    assert reprice_due() == 1
    asset.refresh_from_db()
    assert (asset.agreement, asset.price_usd) == ("single", 100)
    assert "stale" in asset.left_out[0]["reason"]


def test_a_quote_that_goes_stale_is_an_event_unless_its_source_is_silent_altogether():
    long_ago = datetime.now(UTC) - timedelta(days=1)
    for slug, own in (("coingecko", "bitcoin"), ("coinpaprika", "btc-bitcoin"), ("csv", "Bitcoin")):
        merge(slug, AssetRecord(own, "BTC", "Bitcoin", long_ago, Decimal(100)))
    Source.objects.exclude(slug="csv").update(last_sweep_at=datetime.now(UTC), interval_seconds=600)
    Source.objects.filter(slug="csv").update(last_sweep_at=long_ago, interval_seconds=600)
    Listing.objects.filter(source__slug="coinpaprika").update(missed_sweeps=1)
    # The passing of time: this consensus was worked out when all three were news.
    Asset.objects.update(fresh_until=long_ago + timedelta(seconds=3 * 600))
    assert reprice_due() == 1
    event = Event.objects.get()
    assert (event.kind, event.listing.source.slug) == ("stale", "coingecko")
    assert event.detail.startswith("last word of 20")
    assert reprice_due() == 0


def test_a_quote_that_goes_stale_is_an_event_though_another_source_speaks_first():
    now = datetime.now(UTC).replace(microsecond=0)
    Source.objects.update(last_sweep_at=now, interval_seconds=600)
    silent_since = now - timedelta(seconds=3 * 600 + 5)
    merge("coingecko", AssetRecord("bitcoin", "BTC", "Bitcoin", silent_since, Decimal(100)))
    merge("coinpaprika", AssetRecord("btc-bitcoin", "BTC", "Bitcoin", silent_since, Decimal(100)), page=2)
    Event.objects.all().delete()
    # The passing of time: when the consensus was worked out, both were news.
    Asset.objects.update(fresh_until=now - timedelta(seconds=5))
    merge("coinpaprika", AssetRecord("btc-bitcoin", "BTC", "Bitcoin", now, Decimal(101)), page=3)
    assert Asset.objects.get().agreement == "single"
    assert reprice_due() == 0
    event = Event.objects.get()
    assert (event.kind, event.listing.source.slug) == ("stale", "coingecko")


def test_an_outlier_that_goes_stale_is_one_no_longer_and_is_an_event():
    now = datetime.now(UTC).replace(microsecond=0)
    Source.objects.update(last_sweep_at=now, interval_seconds=600)
    for slug, own, price, age in (
        ("coingecko", "bitcoin", "100", 60),
        ("coinpaprika", "btc-bitcoin", "101", 60),
        ("csv", "Bitcoin", "150", 1799),
    ):
        merge(slug, AssetRecord(own, "BTC", "Bitcoin", now - timedelta(seconds=age), Decimal(price)))
    asset = Asset.objects.get()
    assert (asset.agreement, asset.fresh_until) == ("median", now + timedelta(seconds=1))
    Event.objects.all().delete()
    reprice([asset.pk], now + timedelta(seconds=2))
    asset.refresh_from_db()
    assert (asset.agreement, asset.price_usd) == ("agree", Decimal("100.5"))
    assert asset.left_out[0]["reason"].startswith("stale")
    assert Event.objects.get().listing.source.slug == "csv"


def test_a_quote_that_was_stale_before_or_whose_source_is_off_is_no_event_of_now():
    now = datetime.now(UTC).replace(microsecond=0)
    Source.objects.update(last_sweep_at=now, interval_seconds=600)
    for slug, own, age in (("coingecko", "bitcoin", 3600), ("coinpaprika", "btc-bitcoin", 1805), ("csv", "Btc", 1805)):
        merge(slug, AssetRecord(own, "BTC", "Bitcoin", now - timedelta(seconds=age), Decimal(100)))
    Source.objects.filter(slug="csv").update(enabled=False)
    Event.objects.all().delete()
    # The passing of time: the consensus was worked out after the first had gone stale, and before the others had.
    Asset.objects.update(fresh_until=now - timedelta(seconds=5))
    assert reprice_due() == 1
    assert Event.objects.get().listing.source.slug == "coinpaprika"


def test_the_database_refuses_what_must_not_be():
    merge("coingecko", record())
    with pytest.raises(IntegrityError), transaction.atomic():
        Quote.objects.update(price_usd=-1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Listing.objects.create(source=Source.objects.first(), source_asset_id="", asset=Asset.objects.first())


def test_the_number_of_queries_does_not_grow_with_the_records(django_assert_max_num_queries):
    many = [record(f"coin-{number}", symbol=f"C{number}", name=f"Coin {number}") for number in range(500)]
    store.ensure_partitions([TIME])
    source = Source.objects.get(slug="coingecko")
    with django_assert_max_num_queries(40):
        store.merge(source, list(enumerate(many)), 1)
    with django_assert_max_num_queries(1):
        store.merge(source, list(enumerate(many)), 2)


def test_a_listing_that_another_brings_in_meanwhile_is_changed_not_added_again(monkeypatch):
    merge("coingecko", record(price="1"))
    look, looks = store.known_listings, []

    def before_the_other_committed(source, ids):
        looks.append(ids)
        return {} if len(looks) == 1 else look(source, ids)

    monkeypatch.setattr(store, "known_listings", before_the_other_committed)
    assert merge("coingecko", record(price="2", minutes=5), page=2) == (0, 1, 0)
    assert len(looks) == 2
    assert Quote.objects.get().price_usd == 2
    assert Listing.objects.count() == 1


def in_threads(*works: Callable[[], object]) -> None:
    """All at a time, each with a connection of its own; what one raises is raised here."""

    def alone(work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(alone, work) for work in works]:
            done.result()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("joined", [True, False])
def test_a_quote_goes_where_its_listing_goes_though_a_page_waits_for_it_meanwhile(joined):
    now = datetime.now(UTC)
    load("coinpaprika", factories.record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100", at=now))
    load("csv", factories.record("other", "OTH", "Other", price_usd="7", at=now))
    one, other = Listing.objects.order_by("pk")
    if not joined:
        decide(one, other, same=True, by="a person")
    moved, waiting = threading.Event(), threading.Event()

    def person() -> None:
        with transaction.atomic():
            decide(one, other, same=joined, by="a person")
            moved.set()
            waiting.wait(10)

    def page() -> None:
        moved.wait(10)
        threading.Timer(0.5, waiting.set).start()
        load("csv", factories.record("other", "OTH", "Other", price_usd="8", at=now + timedelta(seconds=1)))

    in_threads(person, page)
    assert price("other") == 8
    for quote in Quote.objects.select_related("listing"):
        assert quote.asset_id == quote.listing.asset_id
    assert Asset.objects.count() == (1 if joined else 2)


@pytest.mark.django_db(transaction=True)
def test_a_page_that_gives_assets_other_names_waits_in_the_order_of_all_others(monkeypatch):
    load("coinpaprika", factories.record("aa-aaa", "AA", "Aaa", price_usd="1"))
    load("coinpaprika", factories.record("btc-bitcoin", "BTC", "Bitcoin", price_usd="90000"))
    load("coingecko", factories.record("aaa", "AA", "Aaa", price_usd="1"))
    renamed, waiting = threading.Event(), threading.Event()
    real = pricing.reprice

    def reprice_later(asset_ids, now=None):
        if not renamed.is_set():
            renamed.set()
            waiting.wait(10)
        real(asset_ids, now)

    monkeypatch.setattr(pricing, "reprice", reprice_later)

    def gecko() -> None:
        bitcoin = factories.record("bitcoin", "BTC", "Bitcoin", price_usd="90001")
        load("coingecko", factories.record("aaa", "AA", "Aaa", price_usd="2"), bitcoin)

    def paprika() -> None:
        renamed.wait(10)
        threading.Timer(0.5, waiting.set).start()
        bitcoin = factories.record("btc-bitcoin", "BTC", "Bitcoin", price_usd="90002")
        load("coinpaprika", factories.record("aa-aaa", "AA", "Aaa", price_usd="1.1"), bitcoin)

    in_threads(gecko, paprika)
    assert sorted(Asset.objects.values_list("slug", flat=True)) == ["aaa", "bitcoin"]
    assert price("btc-bitcoin") == 90002
