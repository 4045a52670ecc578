"""A pair in doubt is decided again when figures come that tell, by what a person or `resolve` would see then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assets import candles, doubts
from assets.models import Asset, Candidate, Decision, Event, Listing
from assets.resolving import resolve_all
from assets.tests.factories import load, record

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC).replace(microsecond=0)


def slugs() -> set[str]:
    return set(Asset.objects.values_list("slug", flat=True))


@pytest.fixture
def renamed() -> Candidate:
    """One name under two symbols, one of them without a figure."""
    load("coingecko", record("acehigh", "ACE", "Acehigh", at=NOW, price_usd="5"))
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW))
    return Candidate.objects.get()


def settled() -> None:
    """What stands is what `resolve` would make of it."""
    found = resolve_all(dry_run=True)
    assert (found.moves, found.renamed, found.candidates_after) == ((), (), found.candidates_before)


def test_a_price_that_agrees_joins_the_two_and_the_former_id_goes_on_answering(renamed, client):
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="5.02"))
    assert doubts.decide_again() == 1
    assert (slugs(), Candidate.objects.count()) == ({"acehigh"}, 0)
    assert Asset.objects.get().quotes_count == 2
    assert Event.objects.get(kind="moved").listing.source_asset_id == "high-acehigh"
    moved = client.get("/assets/coinpaprika:high-acehigh")
    assert (moved.status_code, moved.headers["Location"].rpartition("/")[2]) == (308, "acehigh")
    settled()


def test_a_price_that_is_far_apart_takes_the_pair_off_the_list(renamed):
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="700"))
    assert doubts.decide_again() == 1
    assert (len(slugs()), Candidate.objects.count()) == (2, 0)
    settled()


def test_a_price_that_leaves_it_open_is_said_in_the_reasons_and_the_pair_keeps_its_address(renamed):
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="6"))
    assert doubts.decide_again() == 1
    pair = Candidate.objects.get()
    assert (pair.pk, pair.seen_at) == (renamed.pk, renamed.seen_at)
    assert "prices 20 % apart" in pair.reasons
    assert doubts.decide_again() == 0
    settled()


def test_what_a_third_has_to_do_with_it_is_no_news(django_assert_num_queries):
    load("coingecko", record("ace-1", "ACE", "Ace", at=NOW), record("ace-2", "ACE", "Ace", at=NOW))
    load("coinpaprika", record("x-77", "ACE", "Ace", at=NOW))
    assert {pair.reasons[-1] for pair in Candidate.objects.all()} == {"another is as good"}
    with django_assert_num_queries(2):
        assert doubts.decide_again() == 0
    load("coingecko", record("ace-2", "ACE", "Ace", at=NOW, price_usd="5"))
    load("coinpaprika", record("x-77", "ACE", "Ace", at=NOW, price_usd="5.01"))
    assert doubts.decide_again() > 0
    assert Listing.objects.get(source_asset_id="x-77").asset.slug == "ace-2"
    settled()


def test_a_persons_word_wins(renamed):
    Decision.objects.create(a=renamed.a, b=renamed.b, same=False, decided_by="test")
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="5"))
    doubts.decide_again()
    assert (len(slugs()), Candidate.objects.count()) == (2, 0)


def test_prices_that_only_cross_are_no_agreement():
    load("coingecko", record("acehigh", "ACE", "Acehigh", at=NOW, price_usd="5"))
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW, price_usd="8"))
    candles.catch_up()
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="5"))
    at_once = resolve_all(dry_run=True)
    assert len(at_once.moves) == 1, "a look at this moment alone takes it for one coin"
    assert doubts.decide_again() == 0
    assert Candidate.objects.count() == 1

    connection.cursor().execute("UPDATE assets_candle_hour SET start = start - %s", [doubts.LASTING])
    assert doubts.decide_again() == 1
    assert slugs() == {"acehigh"}


def test_one_supply_needs_no_agreement_of_days():
    load("coingecko", record("acehigh", "ACE", "Acehigh", at=NOW, price_usd="5"))
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW, price_usd="8"))
    candles.catch_up()
    supplied = {"circulating_supply": "123456789", "at": NOW + timedelta(minutes=1), "price_usd": "5"}
    load("coingecko", record("acehigh", "ACE", "Acehigh", **supplied))
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", **supplied))
    assert doubts.decide_again() == 1
    assert slugs() == {"acehigh"}


def test_many_cost_as_many_queries_as_few():
    counts = []
    for first, last in ((0, 2), (2, 42)):
        numbers = range(first, last)
        load("coingecko", *(record(f"ace{n}", f"A{n}", f"Acehigh {n}", at=NOW, price_usd="5") for n in numbers))
        load("coinpaprika", *(record(f"b{n}-ace{n}", f"B{n}", f"Acehigh {n}", at=NOW) for n in numbers))
        later = NOW + timedelta(minutes=1)
        load(
            "coinpaprika", *(record(f"b{n}-ace{n}", f"B{n}", f"Acehigh {n}", at=later, price_usd="5") for n in numbers)
        )
        with CaptureQueriesContext(connection) as queries:
            assert doubts.decide_again() == last - first
        counts.append(len(queries))
    assert counts[0] == counts[1] < 40
    assert Asset.objects.count() == 42


def test_an_asset_keeps_its_name_when_prices_that_joined_it_have_moved_apart():
    load("coingecko", record("acehigh", "ACE", "Acehigh", at=NOW, price_usd="5"))
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW, price_usd="5"))
    assert slugs() == {"acehigh"}
    load("coinpaprika", record("high-acehigh", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="700"))
    load("csv", record("HIGH", "HIGH", "Acehigh", at=NOW + timedelta(minutes=1), price_usd="700"))
    assert Listing.objects.get(source_asset_id="acehigh").asset.slug == "acehigh"
    assert Listing.objects.get(source_asset_id="HIGH").asset.slug == "coinpaprika:high-acehigh"
    settled()
