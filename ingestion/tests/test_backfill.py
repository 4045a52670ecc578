"""A backfill: nothing fetched twice, nothing lost, never over what was observed, never over the plan or the budget."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import psycopg2
import pytest
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st

from assets import backfilled, candles, history
from assets.models import DayCandle, HourCandle, Listing, PricePoint, Source
from assets.tests.factories import load, record
from cryptoetl.demo import Fault, ProviderServer
from cryptoetl.demo.coins import bundled_coins
from ingestion import backfilling, retention, tasks
from ingestion.errors import Malformed
from ingestion.management.commands import backfill
from ingestion.models import BackfillPiece, CallMonth, RawBody, RawPayload
from ingestion.registry import configured
from ingestion.sources import coingecko_past, coinpaprika_past
from ingestion.tests import crew
from ingestion.tests.conftest import point_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def provider(settings):
    """Some coins: what is tested here goes coin by coin."""
    with ProviderServer(bundled_coins()[:60]) as server:
        point_at(server, settings)
        yield server


@pytest.fixture
def known(ingest, provider, monkeypatch):
    """Both sources were run once; calls from here on are the backfill's. No hour ends while a test runs."""
    now = datetime.now(UTC)
    monkeypatch.setattr(backfill, "database_clock", lambda: now)
    for slug in ("coingecko", "coinpaprika"):
        ingest(slug)
    provider.forget_calls()
    return provider


def asked(provider) -> Counter:
    """How often each stretch of each coin was asked for."""
    return Counter((call.path, *sorted(call.params.items())) for call in provider.calls)


def points() -> list[tuple]:
    fields = ("listing__source_asset_id", "observed_at", "price_usd", "market_cap", "volume_24h", "page_id")
    return list(PricePoint.objects.order_by("listing_id", "observed_at").values_list(*fields))


def candles_hold_the_points() -> None:
    hours, count = Counter(), PricePoint.objects.count()
    for listing_id, at in PricePoint.objects.values_list("listing_id", "observed_at"):
        hours[listing_id, history.floor(at, HOUR)] += 1
    candles.catch_up()
    assert {(one.listing_id, one.start): one.count for one in HourCandle.objects.all()} == hours
    assert sum(DayCandle.objects.values_list("count", flat=True)) == count


@pytest.mark.parametrize(
    ("slug", "days", "coins", "calls", "step"),
    [
        ("coingecko", 200, ["bitcoin", "ethereum"], 6, HOUR),
        ("coinpaprika", 200, ["btc-bitcoin", "eth-ethereum"], 2, DAY),
    ],
)
def test_the_past_of_two_coins(manage, known, slug, days, coins, calls, step):
    observed = points()
    said = manage("backfill", slug, "--days", str(days), "--coins", *coins, "--yes")
    assert said.code == 0, said
    assert f"{calls} calls" in said.out and "200 days" in said.out
    assert len(known.calls) == calls == BackfillPiece.objects.filter(state="done").count()
    new = [point for point in points() if point not in observed]
    assert {point[0] for point in new} == set(coins)
    assert all(page_id is None for *_, page_id in new)
    assert [point for point in points() if point in observed] == observed
    moments = sorted(at for own, at, *_ in new if own == coins[0])
    assert len(moments) == days * DAY / step
    assert {later - earlier for earlier, later in pairwise(moments)} == {step}
    candles_hold_the_points()
    # Kept as received.
    assert all(json.loads(body.text) for body in RawBody.objects.filter(pk__in=BackfillPiece.objects.values("body")))
    # Again: nothing is asked for.
    known.forget_calls()
    assert "nothing to fetch" in manage("backfill", slug, "--days", str(days), "--coins", *coins, "--yes").out
    assert known.calls == []


def test_what_a_longer_backfill_adds_is_all_that_it_asks_for(manage, known):
    manage("backfill", "coingecko", "--days", "30", "--coins", "bitcoin", "--yes")
    first = BackfillPiece.objects.get()
    known.forget_calls()
    manage("backfill", "coingecko", "--days", "60", "--coins", "bitcoin,ethereum", "--yes")
    (more,) = BackfillPiece.objects.filter(listing=first.listing).exclude(pk=first.pk)
    assert (more.end, more.end - more.begin) == (first.begin, 30 * DAY)
    assert len(known.calls) == 2


def test_a_coin_may_be_named_by_its_asset(manage, known):
    assert manage("backfill", "coinpaprika", "--days", "7", "--coins", "bitcoin", "--yes").code == 0
    assert BackfillPiece.objects.get().listing.source_asset_id == "btc-bitcoin"


@pytest.mark.parametrize(
    ("slug", "name", "own_id"),
    [("coingecko", "coinpaprika:btc-bitcoin", "bitcoin"), ("coinpaprika", "coingecko:bitcoin", "btc-bitcoin")],
)
def test_a_coin_may_be_named_by_a_former_id_of_its_asset(manage, known, slug, name, own_id):
    said = manage("backfill", slug, "--days", "3", "--coins", name, own_id, "--yes")
    assert said.code == 0, said
    assert BackfillPiece.objects.get().listing.source_asset_id == own_id


def test_a_former_id_of_an_asset_that_the_source_does_not_list_is_named_as_it_was_asked_for(manage, known):
    load("coinpaprika", record("only-here", "ONLYHERE", "Only Here"))
    names = ("coinpaprika:only-here", "bitcoin")
    said = manage.refused("backfill", "coingecko", "--days", "3", "--coins", *names, "--yes")
    assert "CoinGecko lists no coinpaprika:only-here here" in said and known.calls == []


def test_all_coins_when_none_is_named_the_largest_first(manage, known):
    manage("backfill", "coinpaprika", "--days", "3", "--yes")
    listed = Listing.objects.filter(source__slug="coinpaprika", delisted_at=None).order_by("quote__rank")
    assert len(known.calls) == listed.count() > 40
    assert known.calls[0].path.split("/")[-2] == listed.first().source_asset_id


def test_backfilled_points_never_overwrite_observed_ones_and_observed_ones_replace_them(manage, known):
    """The same moment from both sides, in both orders; and a replay changes nothing of it."""
    manage("backfill", "coingecko", "--days", "3", "--coins", "bitcoin", "--yes")
    listing = Listing.objects.get(source_asset_id="bitcoin")
    backfilled_at = PricePoint.objects.filter(listing=listing, page_id=None).earliest("observed_at").observed_at
    observed_at = PricePoint.objects.filter(listing=listing, page_id__isnull=False).get().observed_at
    before = points()
    backfilled.add(listing.pk, [(observed_at, Decimal(1), None, None)])
    assert points() == before, "an observed point was overwritten"

    page = RawPayload.objects.latest("pk").pk
    for price in ("7", None):  # a price of its own; then the very price that the backfill had
        was = PricePoint.objects.get(listing=listing, observed_at=backfilled_at)
        own = record("bitcoin", "BTC", "Bitcoin", at=backfilled_at, price_usd=price or str(was.price_usd))
        load("coingecko", own, page_id=page)
        now = PricePoint.objects.get(listing=listing, observed_at=backfilled_at)
        assert (now.price_usd, now.page_id) == (Decimal(price or was.price_usd), page)
        backfilled.add(listing.pk, [(backfilled_at, was.price_usd + 1, None, None)])
        assert PricePoint.objects.get(listing=listing, observed_at=backfilled_at).price_usd == now.price_usd
        PricePoint.objects.filter(listing=listing, observed_at=backfilled_at).update(page_id=None)


def test_a_replay_never_doubles_points(manage, known, ingest):
    """Of observed pages and of a backfill's pieces, however often."""
    known.change_prices()
    ingest("coingecko")
    manage("backfill", "coingecko", "--days", "2", "--coins", "bitcoin", "ethereum", "--yes")
    candles.catch_up()
    before = points(), list(HourCandle.objects.order_by("pk").values()), list(DayCandle.objects.order_by("pk").values())
    for _ in range(2):
        said = manage("replay", "coingecko").out
        assert "2 pieces of a backfill read again" in said
        after = (
            points(),
            list(HourCandle.objects.order_by("pk").values()),
            list(DayCandle.objects.order_by("pk").values()),
        )
        assert after == before
    # What was lost comes back from what was received, and no more.
    PricePoint.objects.filter(page_id=None).delete()
    manage("replay", "coingecko")
    assert points() == before[0]


def test_killed_in_the_middle_and_run_again_nothing_is_fetched_twice_and_nothing_is_lost(manage, known, settings):
    command = ("backfill", "coingecko", "--interval", "1d", "--days", "30", "--yes", "--coins", *largest(12))
    undisturbed = expected(manage, known, command)
    # Each answer takes a moment, so that there is a middle.
    known.fail("coingecko", Fault.SLOW_START, times=None, delay=0.5)
    crowd = crew.Crew(known)
    try:
        for calls in (3, 7):
            process = crowd.python("manage.py", *command)
            known.wait_for_calls(calls, "coingecko")
            crowd.kill(process)
    finally:
        crowd.stop()
    known.heal()
    assert 0 < BackfillPiece.objects.count() < 12
    said = manage(*command)
    assert said.code == 0, said
    often = asked(known)
    assert len(often) == 12
    # At most the call that each kill cut off was made again.
    assert sum(often.values()) <= 12 + 2
    kept = BackfillPiece.objects.values_list("listing", "interval", "begin", "end")
    assert len(kept) == len(set(kept)) == 12
    assert points() == undisturbed
    candles_hold_the_points()


def largest(count: int) -> list[str]:
    coins = Listing.objects.filter(source__slug="coingecko").order_by("quote__rank")
    return list(coins.values_list("source_asset_id", flat=True)[:count])


def expected(manage, provider, command) -> list[tuple]:
    """The points that the command leaves undisturbed; they are gone again."""
    manage(*command)
    result = points()
    PricePoint.objects.filter(page_id=None).delete()
    BackfillPiece.objects.all().delete()
    HourCandle.objects.all().delete()
    DayCandle.objects.all().delete()
    candles.due(Source.objects.get(slug="coingecko").pk, RawPayload.objects.values_list("pk", flat=True))
    provider.forget_calls()
    return result


def test_a_piece_that_was_stored_and_not_read_is_read_without_a_call(manage, known, monkeypatch):
    monkeypatch.setattr(backfilling, "read", lambda piece, past: 0)
    manage("backfill", "coingecko", "--days", "2", "--coins", "bitcoin", "--yes")
    assert (BackfillPiece.objects.get().state, len(known.calls)) == ("stored", 1)
    monkeypatch.undo()
    observed = PricePoint.objects.count()
    assert "nothing to fetch" in manage("backfill", "coingecko", "--days", "2", "--coins", "bitcoin", "--yes").out
    assert (BackfillPiece.objects.get().state, len(known.calls)) == ("done", 1)
    assert PricePoint.objects.count() == observed + BackfillPiece.objects.get().points > observed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("coingecko", "--days", "366"), "CoinGecko's public plan gives a point an hour for the last 365 days"),
        (
            ("coinpaprika", "--days", "366"),
            "CoinPaprika's free plan gives a point an hour for the last day and a point a day",
        ),
        (("coinpaprika", "--days", "30", "--interval", "1h"), "not a point an hour for 30 days."),
        (("csv", "--days", "3"), "can't be asked for its past"),
        (("nobody", "--days", "3"), "There is no source 'nobody'"),
        (("coingecko", "--days", "-3"), "--days is a whole number from 1"),
        (("coingecko", "--days", "9999999999"), "no coin has a past of more than 10,000 days"),
        (("coingecko", "--days", "3", "--coins", "nosuch", "bitcoin"), "lists no nosuch here"),
    ],
)
def test_what_cant_be_done_is_one_sentence_and_no_call(manage, known, arguments, said):
    assert said in manage.refused("backfill", *arguments, "--yes")
    assert known.calls == []


def test_without_a_yes_nothing_is_fetched(manage, known):
    said = manage("backfill", "coingecko", "--days", "90", "--coins", "bitcoin", "ethereum")
    assert said.code == 1 and "say --yes" in said.err
    assert "CoinGecko, public plan: the past of 2 coins, a point an hour" in said.out
    assert "2 calls, about 4,320 points" in said.out
    assert known.calls == [] and not BackfillPiece.objects.exists()


def test_the_calls_of_the_sweeps_to_come_are_left_alone(manage, known, settings):
    """So many calls are spent as the month has beyond its sweeps, and the same command goes on later."""
    source = Source.objects.get(slug="coingecko")
    limits = backfilling.spare_calls(source, configured("coingecko"), backfill.database_clock())
    made = CallMonth.objects.get(source=source).calls
    left = 10_000 - made
    settings.COINGECKO_MONTHLY_CALLS = 10_000 - limits + 3  # three to spare
    said = manage("backfill", "coingecko", "--days", "10", "--coins", *largest(5), "--yes")
    assert (said.code, len(known.calls)) == (1, 3), said
    assert "3 calls to spare" in said.out and ": 2 calls." in said.out
    assert "the same command goes on from here" in said.err
    assert limits < left
    settings.COINGECKO_MONTHLY_CALLS = 10_000
    assert manage("backfill", "coingecko", "--days", "10", "--coins", *largest(5), "--yes").code == 0
    assert len(known.calls) == 5


def test_a_limit_is_waited_for_and_a_refusal_stops_it(manage, known, settings):
    settings.ETL_RETRY_ATTEMPTS = 3
    known.fail("coingecko", Fault.SERVER_ERROR, times=2)
    assert manage("backfill", "coingecko", "--days", "2", "--coins", "bitcoin", "--yes").code == 0
    assert len(known.calls) == 3
    known.fail("coingecko", Fault.TOO_FAR_BACK)
    said = manage("backfill", "coingecko", "--days", "2", "--coins", "ethereum", "--yes")
    assert (said.code, said.err.strip().splitlines()[-1]) == (
        1,
        "CoinGecko refuses (HTTP 401): history older than 365 days needs a paid plan.",
    )
    known.fail("coingecko", Fault.SERVER_ERROR, times=None)
    said = manage("backfill", "coingecko", "--days", "2", "--coins", "ethereum", "--yes")
    assert said.code == 1 and "the same command goes on from here" in said.err


def test_a_source_that_asks_for_no_wait_at_all_is_not_knocked_at_in_a_row(manage, known, settings, monkeypatch):
    """A backfill waits as a run does."""
    settings.ETL_RETRY_ATTEMPTS, settings.ETL_BACKOFF_SECONDS = 3, 4.0
    monkeypatch.setattr(tasks.random, "uniform", lambda low, high: high)
    waits = []
    monkeypatch.setattr(backfill, "pause", lambda seconds, *_: waits.append(seconds))
    known.fail("coingecko", Fault.RATE_LIMITED_SECONDS, seconds=0, times=3)
    assert manage("backfill", "coingecko", "--days", "2", "--coins", "bitcoin", "--yes").code == 0
    assert waits == [4.0, 8.0, 16.0]


def test_a_coin_that_the_source_does_not_know_stops_no_other(manage, known):
    known.fail("coinpaprika", Fault.NOT_FOUND)
    said = manage("backfill", "coinpaprika", "--days", "5", "--coins", "bitcoin", "ethereum", "--yes")
    assert said.code == 0 and "1 of them can't be used" in said.out
    assert sorted(BackfillPiece.objects.values_list("state", flat=True)) == ["done", "unknown"]


def test_an_answer_that_cant_be_read_is_kept_and_read_again_once_it_can(manage, known):
    known.fail("coinpaprika", Fault.HTML_200)
    said = manage("backfill", "coinpaprika", "--days", "5", "--coins", "bitcoin", "--yes")
    piece = BackfillPiece.objects.get()
    assert (piece.state, said.code) == ("failed", 0), said
    assert "HTML" in piece.error and "<html" in RawBody.objects.get(pk=piece.body_id).text.lower()
    calls = len(known.calls)
    manage("backfill", "coinpaprika", "--days", "5", "--coins", "ethereum", "--yes")
    good = BackfillPiece.objects.get(state="done")
    # As if this program had learnt to read it.
    BackfillPiece.objects.filter(pk=piece.pk).update(body=good.body_id)
    manage("backfill", "coinpaprika", "--days", "5", "--coins", "bitcoin", "--yes")
    piece.refresh_from_db()
    assert (piece.state, piece.error, piece.points, len(known.calls)) == ("done", "", good.points, calls + 1)


def test_two_at_a_time_would_fetch_everything_twice(manage, known):
    other = psycopg2.connect(crew.database_url())
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [backfill.LOCK, Source.objects.get(slug="coingecko").pk])
        said = manage.refused("backfill", "coingecko", "--days", "3", "--coins", "bitcoin", "--yes")
    other.close()
    assert said == "Another process is backfilling CoinGecko."
    assert manage("backfill", "coingecko", "--days", "3", "--coins", "bitcoin", "--yes").code == 0


def test_retention_forgets_the_answer_and_not_that_it_was_asked(manage, known):
    command = ("backfill", "coinpaprika", "--days", "5", "--coins", "bitcoin", "--yes")
    manage(*command)
    long = timedelta(days=40)
    body = BackfillPiece.objects.get().body_id
    RawBody.objects.filter(pk=body).update(stored_at=F("stored_at") - long)
    retention.prune()
    assert RawBody.objects.filter(pk=body).exists(), "it is younger than RAW_RETENTION_DAYS"
    BackfillPiece.objects.update(received_at=F("received_at") - long)
    retention.prune()
    assert not RawBody.objects.filter(pk=body).exists()
    known.forget_calls()
    assert "nothing to fetch" in manage(*command).out
    assert known.calls == []


moments = st.integers(0, 60).map(lambda day: datetime(2026, 1, 1, tzinfo=UTC) + day * DAY)


@given(st.lists(st.tuples(moments, moments).map(sorted), max_size=6), moments, moments, st.integers(1, 20))
def test_the_pieces_are_what_is_not_there_no_more_and_no_less(there, begin, end, longest):
    there = sorted(tuple(one) for one in there if one[0] < one[1])
    pieces = list(backfilling.missing(begin, end, there, longest * DAY))

    def days(stretches) -> Counter:
        return Counter(left + day * DAY for left, right in stretches for day in range((right - left).days))

    wanted = set(days([(begin, end)])) - set(days(there))
    assert days(pieces) == Counter(dict.fromkeys(wanted, 1))
    assert all(timedelta() < right - left <= longest * DAY for left, right in pieces)


RECEIVED = datetime(2026, 11, 21, tzinfo=UTC)


def test_figures_are_exact_and_what_is_unknown_is_none():
    body = b"""{"prices":[[1711843200000,69702.3087473573001],[1711846800000,null],[1711850400000,3.84e-18]],
        "market_caps":[[1711843200000,0],[1711850400000,1.5]],"total_volumes":[[1711843200000,0]]}"""
    at = datetime(2024, 3, 31, tzinfo=UTC)
    assert coingecko_past.parse(body, RECEIVED) == [
        (at, Decimal("69702.3087473573001"), None, Decimal(0)),
        (at + 2 * HOUR, Decimal("3.84e-18"), Decimal("1.5"), None),
    ]
    body = b'[{"timestamp":"2024-03-31T00:00:00Z","price":0.1,"volume_24h":0,"market_cap":5}]'
    assert coinpaprika_past.parse(body, RECEIVED) == [(at, Decimal("0.1"), Decimal(5), None)]
    assert coinpaprika_past.parse(b'[{"timestamp":"2024-03-31T00:00:00Z","price":0}]', RECEIVED) == []


@pytest.mark.parametrize(
    ("past", "body", "names"),
    [
        (coingecko_past, b'{"prices":[[1711843200000,"1"]]}', "prices[0]"),
        (coingecko_past, b'{"prices":[[1711843200000,-1]]}', "prices[0]"),
        (coingecko_past, b'{"prices":[["x",1]]}', "prices[0]"),
        (coingecko_past, b'{"prices":[[9999999999999,1]]}', "prices"),
        (coingecko_past, b'{"error":"coin not found"}', "no chart"),
        (coingecko_past, b"<html>", "no chart"),
        (coinpaprika_past, b'[{"timestamp":"x","price":1}]', "timestamp"),
        (coinpaprika_past, b'[{"timestamp":"2024-03-31T00:00:00Z"}]', "price"),
        (coinpaprika_past, b'{"error":"id not found"}', "object"),
    ],
)
def test_what_cant_be_read_names_the_culprit(past, body, names):
    with pytest.raises(Malformed, match=names.replace("[", r"\[").replace("]", r"\]")):
        past.parse(body, RECEIVED)
