"""What is said set-based, and by COPY, of an asset with one quote is what the rule says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from assets import pricing, store
from assets.consensus import SourceQuote, consensus
from assets.models import Asset, Listing, Source
from assets.tests.factories import load, record

pytestmark = pytest.mark.django_db


def cases(now: datetime) -> list:
    full = {"market_cap": "5", "volume_24h": "1e30", "percent_change_24h": "-1.50", "rank": 3}
    return [
        record("full", "F", "Full", at=now, price_usd="1.10", **full),
        record("bare", "B", "Bare", at=now, price_usd="1.234E-17"),
        record("zero", "Z", "Zero", at=now, price_usd="0"),
        record("silent", "S", "Silent", at=now, **full),
        record("stale", "O", "Old\tNews\\", at=now - timedelta(days=2), price_usd="7", **full),
    ]


def expected(source: Source, one, now: datetime) -> tuple:
    quote = SourceQuote(
        source.slug,
        source.identity_rank,
        timedelta(seconds=source.interval_seconds),
        *one[3:9],
        Listing.objects.get(source=source, source_asset_id=one.source_asset_id).delisted_at is not None,
        source.enabled,
    )
    *figures, used, left_out, quotes, at, until = pricing.columns(consensus([quote], now), 1)
    return (*figures, json.loads(used), json.loads(left_out), quotes, at, until, one.symbol, one.name)


def priced(one) -> tuple:
    return Asset.objects.filter(listings__source_asset_id=one.source_asset_id).values_list(*pricing.COLUMNS).get()


@pytest.mark.parametrize("change", ["nothing", "disabled", "delisted"])
def test_one_quote_is_priced_as_the_rule_says(change):
    now = datetime.now(UTC).replace(microsecond=0)
    records = cases(now)
    source = load("coingecko", *records)
    for one in records:
        assert priced(one) == expected(source, one, now), "as the newcomer was copied"
    if change == "disabled":
        Source.objects.update(enabled=False)
        source.refresh_from_db()
    if change == "delisted":
        Listing.objects.update(delisted_at=now, missed_sweeps=3)
    Asset.objects.update(price_usd=Decimal(99), agreement="median", quotes_count=7, symbol="?")
    pricing.reprice(Asset.objects.values_list("pk", flat=True), now)
    for one in records:
        assert priced(one) == expected(source, one, now), "as it is priced again"


def test_an_asset_of_two_quotes_is_none_of_one():
    now = datetime.now(UTC)
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=now, price_usd="10"))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", at=now, price_usd="10.2"))
    assert Asset.objects.values_list("agreement", "price_usd", "quotes_count").get() == ("agree", Decimal("10.1"), 2)


def test_a_price_that_does_not_change_writes_no_asset():
    now = datetime.now(UTC)
    source = load("coingecko", *cases(now))
    before = list(Asset.objects.order_by("pk").values_list("pk", "changed_at"))
    pricing.reprice([pk for pk, _ in before], now)
    assert list(Asset.objects.order_by("pk").values_list("pk", "changed_at")) == before
    assert store.known_listings(source, ["full"])["full"].digest is not None
