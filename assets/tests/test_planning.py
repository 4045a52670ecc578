"""Statements over a batch do work in proportion to it, whatever the planner believes of tables just filled."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from assets import candles, matching, placement, pricing
from assets.models import CandleDue, Quote
from assets.tests.factories import load, record
from assets.tests.plans import forget_statistics, rows_gone_through

COINS = 1500


@pytest.fixture
def filled(db):
    """Two sources with the same coins, in tables of which there are no statistics."""
    forget_statistics("assets_asset", "assets_listing", "assets_quote", "assets_source", "assets_decision")
    now = datetime.now(UTC)
    coins = [record(f"coin-{n}", f"C{n}", f"Coin {n}", at=now, price_usd=str(n)) for n in range(1, COINS)]
    for slug in ("coingecko", "coinpaprika"):
        load(slug, *coins)
    return list(Quote.objects.values_list("asset_id", flat=True).distinct())


@pytest.mark.parametrize(("statement", "quotes"), [(pricing.REPRICE_SINGLES, 1), (pricing.REPRICE_PAIRS, 2)])
def test_prices_are_worked_out_in_proportion_to_the_assets(filled, statement, quotes):
    names = {"ids": filled, "now": datetime.now(UTC), "quotes": quotes}
    assert rows_gone_through(statement, names) < 100 * len(filled)


def test_where_nobody_decided_anything_no_listing_is_looked_at(filled):
    assert rows_gone_through(matching.DECIDED) < 100


@pytest.mark.parametrize(
    ("statement", "rows_an_asset"), [(pricing.QUOTES, 30), (pricing.WENT_STALE, 30), (placement.LOCK_QUOTES, 15)]
)
def test_the_quotes_of_some_assets_are_looked_up(filled, statement, rows_an_asset):
    some = filled[: COINS // 10]
    values = {"ids": some, "now": datetime.now(UTC)} if "%(ids)s" in statement else [some]
    assert rows_gone_through(statement, values) < rows_an_asset * len(some)


def test_a_newcomer_is_placed_without_a_look_at_those_that_it_can_not_be(filled, monkeypatch):
    gone: list[int] = []
    read = matching.Neighbours._read

    def counted(self, sql, parameters):
        gone.append(rows_gone_through(sql, parameters))
        return read(self, sql, parameters)

    monkeypatch.setattr(matching.Neighbours, "_read", counted)
    load("csv", record("coin-7", "C7", "Coin 7", price_usd="7"))
    assert len(gone) >= 3
    assert max(gone) < 1000


def test_the_points_of_a_page_are_found_among_all(filled, monkeypatch):
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO assets_price_point (listing_id, observed_at, price_usd, page_id)
               SELECT -n, now(), 1, 0 FROM generate_series(1, %s) n""",
            [20 * COINS],
        )
    gone: list[int] = []
    monkeypatch.setattr(candles, "make", lambda _, touched, values: gone.append(rows_gone_through(touched, values)))
    load("csv", record("one-more", "ONE", "One more", price_usd="7"), page_id=10**6)
    forget_statistics("assets_price_point", *points())
    CandleDue.objects.exclude(page_id=10**6).delete()
    assert candles.roll_up() == 1
    assert gone[0] < 10 * COINS


def points() -> list[str]:
    """The partitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'assets_price_point'::regclass"
        )
        return [name for (name,) in cursor.fetchall()]


def test_where_no_price_is_due_the_assets_are_looked_at_once(filled):
    assert rows_gone_through(pricing.DUE, [5000]) < 2 * len(filled)


@pytest.fixture
def grown(db):
    """Tables that have grown a thousandfold since PostgreSQL looked at what is in them."""
    now = datetime.now(UTC)
    source = load("csv", *(record(f"first-{n}", f"F{n}", f"First {n}", at=now, price_usd="1") for n in range(10)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE assets_asset, assets_listing, assets_quote")
        cursor.execute(GROW, {"source": source.pk, "coins": 10 * COINS})
    return source


GROW = """
INSERT INTO assets_asset (slug, symbol, name) SELECT 'more:' || n, '', '' FROM generate_series(1, %(coins)s) n;
INSERT INTO assets_listing (source_id, source_asset_id, asset_id, symbol, name)
SELECT %(source)s, slug, id, '', '' FROM assets_asset WHERE slug LIKE 'more:%%';
INSERT INTO assets_quote (listing_id, source_id, asset_id, observed_at, page_id, position, digest)
SELECT id, source_id, asset_id, now(), 1, 0, 0 FROM assets_listing WHERE source_asset_id LIKE 'more:%%';
"""


def test_some_listings_of_a_source_that_has_grown_are_looked_up(grown, monkeypatch):
    gone: list[int] = []
    monkeypatch.setattr(
        matching.Neighbours, "_read", lambda _, sql, values: gone.append(rows_gone_through(sql, values)) or []
    )
    matching.Neighbours().of_source(grown, [f"more:{n}" for n in range(1, 1000)])
    assert gone[0] < 10 * COINS
