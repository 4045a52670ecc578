"""Statements over a batch do work in proportion to it, whatever the planner believes of tables just filled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from assets import matching, pricing
from assets.models import Quote
from assets.tests.factories import load, record

COINS = 1500


@pytest.fixture
def filled(db):
    """Two sources with the same coins, in tables of which there are no statistics."""
    with connection.cursor() as cursor:
        for table in ("assets_asset", "assets_listing", "assets_quote", "assets_source", "assets_decision"):
            cursor.execute("UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = %s::regclass", [table])
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
    now = datetime.now(UTC)
    coins = [record(f"coin-{n}", f"C{n}", f"Coin {n}", at=now, price_usd=str(n)) for n in range(1, COINS)]
    for slug in ("coingecko", "coinpaprika"):
        load(slug, *coins)
    return list(Quote.objects.values_list("asset_id", flat=True).distinct())


def rows_gone_through(sql: str, values: Any = None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
        (plan,) = cursor.fetchone()[0]

    def steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield step
        for inner in step.get("Plans", ()):
            yield from steps(inner)

    kept = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    return sum(step.get(name, 0) * step["Actual Loops"] for step in steps(plan["Plan"]) for name in kept)


@pytest.mark.parametrize(("statement", "quotes"), [(pricing.REPRICE_SINGLES, 1), (pricing.REPRICE_PAIRS, 2)])
def test_prices_are_worked_out_in_proportion_to_the_assets(filled, statement, quotes):
    names = {"ids": filled, "now": datetime.now(UTC), "quotes": quotes}
    assert rows_gone_through(statement, names) < 100 * len(filled)


def test_where_nobody_decided_anything_no_listing_is_looked_at(filled):
    assert rows_gone_through(matching.DECIDED) < 100
