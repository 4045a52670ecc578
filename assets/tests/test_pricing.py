"""What is said set-based, and by COPY, of assets with one quote or two is what the rule says of them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from random import Random

import pytest

from assets import pricing, store
from assets.consensus import SourceQuote, consensus
from assets.models import Asset, Listing, Quote, Source
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


def test_the_newcomers_of_a_disabled_source_have_no_price():
    now = datetime.now(UTC).replace(microsecond=0)
    Source.objects.filter(slug="coingecko").update(enabled=False)
    records = cases(now)
    source = load("coingecko", *records)
    for one in records:
        assert priced(one) == expected(source, one, now)


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


def test_a_quote_is_fresh_to_the_very_end_of_three_intervals():
    now = datetime.now(UTC).replace(microsecond=0)
    source = Source.objects.get(slug="coingecko")
    interval = timedelta(seconds=source.interval_seconds)
    for agreement, age in (("single", 3 * interval), ("none", 3 * interval + timedelta(microseconds=1))):
        one = record(agreement, at=now - age, price_usd="1")
        assert agreement in pricing.of_one(source, interval, one, now)
        load("coingecko", one)
        pricing.reprice(Asset.objects.values_list("pk", flat=True), now)
        assert priced(one) == expected(source, one, now)


def pairs() -> list[tuple[str, str]]:
    """Prices of two sources: around the threshold, of many digits, and any."""
    random = Random(7)
    made = [
        *(("10", "10.2"), ("1.10", "1.1000"), ("0", "0"), ("0", "3"), ("1.00", "1.05"), ("1.00", "1.0500001")),
        *(("1.10", "1.30"), ("1.1", "1.2"), ("1e-290", "1.01e-290"), ("1", "1." + "0" * 299 + "1"), ("1e290", "2e290")),
        # Spreads that lie between two numbers of six digits.
        *(
            ("1", "1.00000123456500"),
            ("999.99", "1000.00999"),
            ("0.99995", "1.00005"),
            ("99993.827175", "100006.172825"),
        ),
    ]
    for _ in range(150):
        price = Decimal(random.randrange(1, 10 ** random.randrange(1, 25))).scaleb(-random.randrange(30))
        factor = Decimal(random.choice((random.uniform(0.9, 1.1), random.uniform(0.999, 1.001), random.uniform(0, 9))))
        made.append((str(price), str(Context(prec=random.randrange(3, 40)).multiply(price, factor))))
    return made


def digits(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"


def test_two_quotes_are_priced_as_the_rule_says():
    now = datetime.now(UTC).replace(microsecond=0)
    figures = ({"market_cap": "5", "rank": 3}, {"market_cap": "6", "volume_24h": "7.5", "percent_change_24h": "-1"})
    sources = {"coingecko": [], "coinpaprika": []}
    prices_of = [("10", "10.2")] * 4 + pairs()
    for number, prices in enumerate(prices_of):
        for (slug, records), price, told, age in zip(sources.items(), prices, figures, (0, 60), strict=True):
            symbol, at = f"T{number}", now - timedelta(seconds=age)
            records.append(record(f"{slug}-{number}", symbol, f"Token {number}", at=at, price_usd=price, **told))
    # The second price of the first two does not count; the third has a third price; of the fourth one is delisted.
    sources["coinpaprika"][0] = sources["coinpaprika"][0]._replace(observed_at=now - timedelta(days=3))
    sources["coinpaprika"][1] = sources["coinpaprika"][1]._replace(price_usd=None)
    for slug, records in sources.items():
        load(slug, *records)
    load("csv", record("third", "T2", "Token 2", at=now, price_usd="1"))
    Listing.objects.filter(source_asset_id="coinpaprika-3").update(delisted_at=now, missed_sweeps=3)
    # Prices that are far apart may keep names of their own apart; here it is about the price.
    of_symbol = defaultdict(list)
    for symbol, listing_id, asset_id in Listing.objects.order_by("pk").values_list("symbol", "pk", "asset"):
        of_symbol[symbol].append((listing_id, asset_id))
    for pairs_of in of_symbol.values():
        ids, (asset, *_) = zip(*pairs_of, strict=True)
        Listing.objects.filter(pk__in=ids).update(asset=asset)
        Quote.objects.filter(pk__in=ids).update(asset=asset)
    wanted = list(Quote.objects.order_by("asset").values_list("asset", flat=True).distinct())
    Asset.objects.update(price_usd=Decimal(99), agreement="median", quotes_count=7, symbol="?")
    pricing.reprice(wanted, now)
    rule = {id_: rest for id_, *rest in pricing.priced(wanted, now)}
    assert len(rule) == len(prices_of)
    for id_, *stored in Asset.objects.filter(pk__in=wanted).values_list("pk", *pricing.COLUMNS):
        said = [
            json.loads(value) if name in ("sources_used", "left_out") else value
            for name, value in zip(pricing.COLUMNS, rule[id_], strict=True)
        ]
        assert stored == said
        assert [digits(value) for value in stored[:7]] == [digits(value) for value in said[:7]]
    agreements = Counter(Asset.objects.filter(pk__in=wanted).values_list("agreement", flat=True))
    assert min(agreements[one] for one in ("single", "agree", "disagree")) >= 3 and agreements["agree"] > 50


def test_a_price_that_does_not_change_writes_no_asset():
    now = datetime.now(UTC)
    source = load("coingecko", *cases(now))
    before = list(Asset.objects.order_by("pk").values_list("pk", "changed_at"))
    pricing.reprice([pk for pk, _ in before], now)
    assert list(Asset.objects.order_by("pk").values_list("pk", "changed_at")) == before
    assert store.known_listings(source, ["full"])["full"].digest is not None
