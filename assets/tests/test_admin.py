"""The admin's pages about assets: why a listing is where it is; a person's word wins, and can be taken back."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assets.models import Asset, Candidate, Decision, Event, Listing, Quote
from assets.resolving import resolve_all
from assets.tests.factories import coins, load, record
from ingestion.tests.browsing import Browser, list_path, row_path

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client) -> Browser:
    client.force_login(get_user_model().objects.create_superuser("root", password="known to root"))
    return Browser(client)


def listing(slug: str, own: str) -> Listing:
    return Listing.objects.get(source__slug=slug, source_asset_id=own)


def together(a: Listing, b: Listing) -> bool:
    a.refresh_from_db()
    b.refresh_from_db()
    return a.asset_id == b.asset_id


@pytest.fixture
def doubtful() -> tuple[Listing, Listing]:
    """Two listings with one symbol and one name whose figures are far apart: kept apart, and a candidate."""
    load("coingecko", record("pepe", "PEPE", "Pepe", price_usd="0.00001", market_cap="4000000000", rank=30))
    load("coinpaprika", record("pepe-pepe", "PEPE", "Pepe", price_usd="0.01", market_cap="4000", rank=3000))
    return listing("coingecko", "pepe"), listing("coinpaprika", "pepe-pepe")


@pytest.fixture
def agreeing() -> tuple[Listing, Listing]:
    """Two listings that the rule puts into one asset."""
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="91000", market_cap="1800000000000", rank=1))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="91010", market_cap="1800000000000", rank=1))
    return listing("coingecko", "bitcoin"), listing("coinpaprika", "btc-bitcoin")


def test_an_asset_shows_its_price_and_each_source_s_word(browser, agreeing):
    shown = browser.page_of(Asset.objects.get(slug="bitcoin"))
    assert "sources agree" in shown and "91,005.00" in shown
    assert "91,000.00" in shown and "91,010.00" in shown
    assert "same symbol and name" in shown


def test_what_was_left_out_of_a_price_is_said(browser):
    load("coingecko", record("bitcoin", "BTC", "Bitcoin"))
    assert "coingecko: no price" in browser.page_of(Asset.objects.get(slug="bitcoin"))


def test_a_listing_says_why_it_is_in_its_asset(browser, agreeing):
    shown = browser.page_of(agreeing[1])
    assert "same symbol and name" in shown and "prices agree" in shown
    assert "coingecko:bitcoin" in shown
    assert "None: the rule decides." in shown


def test_a_quote_leads_to_the_very_record_that_it_came_from(browser, agreeing):
    quote = Quote.objects.get(listing=agreeing[0])
    page = browser.client.get(row_path(quote)).content.decode()
    assert f"/admin/ingestion/rawpayload/{quote.page_id}/items/?at=0#item-0" in page


def test_figures_are_shown_to_the_last_digit(browser):
    load("coingecko", record("dust", "DUST", "Dust", price_usd="0.000000000000000012345678901234567890"))
    quote = Quote.objects.get()
    assert "0.000000000000000012345678901234567890" in browser.page_of(quote)
    assert 'title="0.000000000000000012345678901234567890"' in browser.client.get(list_path(Quote)).content.decode()


@pytest.mark.parametrize("figure", ["1e30", "0", "0.00000000000000000000000000000000000000000000000000000000000001"])
def test_any_figure_can_be_shown(browser, figure):
    load("coingecko", record("odd", "ODD", "Odd", price_usd=figure, market_cap=figure, percent_change_24h="-1e9"))
    for row in (Quote.objects.get(), Asset.objects.get(), Listing.objects.get()):
        browser.page_of(row)
        browser.list_of(type(row))


@pytest.mark.parametrize("model", [Asset, Listing, Quote])
def test_a_list_asks_as_many_questions_for_many_rows_as_for_few(browser, model):
    coins("coingecko", 3)
    few = browser.queries_of(list_path(model))
    coins("coinpaprika", 60)
    assert browser.queries_of(list_path(model)) == few <= 16


def test_candidates_and_decisions_ask_as_many_questions_for_many_as_for_few(browser, doubtful):
    counts = []
    for number in (1, 12):
        for place in range(number):
            name = f"Coin {place}"
            load("coingecko", record(f"x{place}", f"X{place}", name, market_cap="4000000000", rank=3))
            load("coinpaprika", record(f"y{place}", f"X{place}", name, market_cap="4000", rank=3000))
        counts.append(browser.queries_of(list_path(Candidate)))
    assert Candidate.objects.count() >= 12
    assert counts[0] == counts[1] <= 16
    browser.act("different", list(Candidate.objects.all()))
    assert Decision.objects.count() >= 12
    assert browser.queries_of(list_path(Decision)) <= 16


# ------------------------------------------------------------------------------------------------------ a person's word


def test_a_pair_in_doubt_is_shown_side_by_side_with_its_reasons(browser, doubtful):
    pair = Candidate.objects.get()
    shown = browser.page_of(pair)
    assert "coingecko:pepe" in shown and "coinpaprika:pepe-pepe" in shown
    assert "market caps apart" in shown
    assert "4,000,000,000" in shown and "4,000.00" in shown


def test_a_pair_that_stays_in_doubt_keeps_its_address(browser, doubtful):
    pair = Candidate.objects.get()
    resolve_all()
    load("coinpaprika", record("pepe-pepe", "PEPE", "PEPE", price_usd="0.01", market_cap="4000", rank=3000))
    kept = Candidate.objects.get()
    assert (kept.pk, kept.seen_at) == (pair.pk, pair.seen_at)


def test_same_makes_one_asset_of_two_and_keeps_who_said_so_and_why(browser, doubtful):
    pair = Candidate.objects.get()
    asked = browser.open(row_path(pair, "same_here"))
    assert "Are the two of each pair one coin?" in asked
    assert not together(*doubtful)

    answer = browser.client.post(row_path(pair, "same_here"), {"confirmed": "yes", "reason": "I asked them."})
    assert answer["location"] == list_path(Candidate)
    assert together(*doubtful)
    decision = Decision.objects.get()
    assert (decision.same, decision.decided_by, decision.reason) == (True, "root", "I asked them.")
    assert not Candidate.objects.exists()
    assert Asset.objects.get(pk=doubtful[0].asset_id).quotes_count == 2
    assert Event.objects.get(kind="moved").detail == "from coinpaprika:pepe-pepe to pepe"
    assert "Same coin" in LogEntry.objects.get().get_change_message()


def test_different_is_no_longer_asked_about(browser, doubtful):
    browser.act("different", [Candidate.objects.get()])
    assert not together(*doubtful)
    assert not Candidate.objects.exists()


def test_a_decision_survives_what_comes_in_and_resolve(browser, doubtful, agreeing):
    browser.act("same", [Candidate.objects.get()])
    browser.act("part", list(agreeing))
    for _ in range(2):
        load("coinpaprika", record("pepe-pepe", "PEPE", "Pepe (renamed)", price_usd="0.00001", market_cap="3900"))
        load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin (renamed)", price_usd="91010"))
        resolve_all()
        assert together(*doubtful)
        assert not together(*agreeing)


def test_undo_gives_the_rule_its_say_back(browser, doubtful):
    before = [one.asset.slug for one in doubtful]
    browser.act("same", [Candidate.objects.get()])
    assert together(*doubtful)
    answer = browser.client.post(row_path(Decision.objects.get(), "undo_here"), {"confirmed": "yes"})
    assert answer["location"] == list_path(Decision)
    assert not together(*doubtful)
    assert [Listing.objects.get(pk=one.pk).asset.slug for one in doubtful] == before
    assert Candidate.objects.count() == 1


def test_listings_are_split_and_joined_by_hand(browser, agreeing):
    assert together(*agreeing)
    said = browser.act("part", list(agreeing), reason="two chains")
    assert said == ["coingecko:bitcoin, coinpaprika:btc-bitcoin are kept apart."]
    assert not together(*agreeing)
    assert Decision.objects.get().reason == "two chains"
    browser.act("join", list(agreeing))
    assert together(*agreeing)
    # The later word on a pair replaces the earlier.
    assert Decision.objects.get().same


def test_a_word_that_contradicts_others_says_that_it_is_not_followed(browser, doubtful, agreeing):
    bitcoin, other = agreeing
    _, third = doubtful
    browser.act("part", [bitcoin, third])
    browser.act("join", [bitcoin, other])
    (said,) = browser.act("join", [other, third])
    assert together(bitcoin, other) and not together(other, third)
    assert "other decisions keep them apart" in said
    pair = Candidate.objects.get(a__in=[other, third], b__in=[other, third])
    assert "a person keeps them apart" in pair.reasons
    (said,) = browser.act("same", [pair])
    assert "other decisions keep them apart" in said
    browser.client.post(row_path(Decision.objects.get(same=False), "undo_here"), {"confirmed": "yes"})
    assert together(bitcoin, third)


def test_a_slip_of_the_hand_is_not_obeyed(browser):
    coins("coingecko", 12)
    everything = list(Listing.objects.all())
    assert browser.act("join", everything) == ["Choose 2 to 10 listings."]
    assert browser.act("part", everything[:1]) == ["Choose 2 to 10 listings."]
    assert not Decision.objects.exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("model", [Listing, Quote, Event])
@pytest.mark.parametrize("word", ["TERN", "turnal", "NOC-1", "ern noctu", "noct no"])
def test_a_listing_is_searched_by_words_of_its_texts_and_by_its_own_id(browser, model, word):
    load("csv", record("noc-1", "ETERN", "Nocturnal", price_usd="1"), record("day", "DAYS", "Diurnal", price_usd="2"))
    for each in Listing.objects.all():
        each.events.create(kind=Event.Kind.LISTED)
    with CaptureQueriesContext(connection) as asked:
        shown = browser.list_of(model, f"?q={word}")
    assert "Nocturnal" in shown and "Diurnal" not in shown
    row_by_row = any("LIKE UPPER" in query["sql"] for query in asked)
    assert row_by_row == (word == "noct no"), "only short words are no matter of the index"
