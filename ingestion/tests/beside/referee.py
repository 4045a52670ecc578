"""What must hold of the tables, whoever has been at them: each sentence says something that does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Sum
from django.test import Client

from assets import filters, pricing, searching
from assets.models import Asset, Candidate, CandleDue, Decision, HourCandle, Listing, PricePoint, Quote, Tally, Unfiled
from ingestion.models import RawPayload, Run
from ingestion.parsing import parse
from ingestion.tests.beside.actors import World

SHOWN = ("asset_id", "symbol", "name", "price_usd", "updated_at", "delisted", "source")


def wrong(world: World) -> Iterator[str]:
    yield from left_over()
    yield from assets()
    yield from prices()
    yield from texts()
    yield from candles()
    yield from words()
    rows = list(everything())
    yield from seen("walked", world.walked, rows)
    yield from seen("heard", world.heard, rows)


def left_over() -> Iterator[str]:
    for what, rows in (
        ("runs under way", Run.objects.filter(status__in=Run.ACTIVE)),
        ("leases", Run.objects.exclude(lease_token=None)),
        ("pages that wait", RawPayload.objects.filter(state="stored")),
        ("quotes in another asset than their listings", Quote.objects.exclude(asset_id=F("listing__asset_id"))),
        ("assets without a listing", Asset.objects.filter(listings=None)),
        ("doubts about what is one", Candidate.objects.filter(a__asset=F("b__asset"))),
        ("words not followed", Decision.objects.filter(same=False, a__asset=F("b__asset"))),
        ("texts not filed", Unfiled.objects.all()),
        ("pages that are in no candle", CandleDue.objects.all()),
    ):
        if rows.exists():
            yield f"{what}: {list(rows.values())}"


def assets() -> Iterator[str]:
    """Every id leads to its asset, and they are as many as is said."""
    for slug in Asset.objects.values_list("slug", flat=True):
        if (filters.resolve(slug) or ("", ""))[1] != slug:
            yield f"{slug} leads to {filters.resolve(slug)}"
    for one in Listing.objects.select_related("source", "asset"):
        if (found := filters.resolve(f"{one.source.slug}:{one.source_asset_id}")) != (one.asset_id, one.asset.slug):
            yield f"{one} leads to {found}"
    tallied = Tally.objects.aggregate(quotes=Sum("quotes", default=0), assets=Sum("assets", default=0))
    if tallied != (there := {"quotes": Quote.objects.count(), "assets": Asset.objects.count()}):
        yield f"{tallied} are counted, there are {there}"


def prices() -> Iterator[str]:
    """The consensus of every asset is that of its quotes, but for what has gone stale just now."""
    rows = Asset.objects.order_by("pk")
    before = list(rows.values_list("pk", "fresh_until", *pricing.COLUMNS))
    with transaction.atomic():
        pricing.reprice([pk for pk, *_ in before])
        for was, now in zip(before, rows.values_list("pk", "fresh_until", *pricing.COLUMNS), strict=True):
            if was != now and not (was[1] and was[1] < datetime.now(UTC)):
                yield f"an asset has {was}, and its quotes say {now}"
        transaction.set_rollback(True)


def texts() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT listing.id FROM assets_listing listing LEFT JOIN assets_listing_text filed ON listing_id = id
               WHERE grams IS DISTINCT FROM assets_grams(symbol || E'\\n' || name)"""
        )
        yield from (f"listing {id_} is not found by its name" for (id_,) in cursor.fetchall())
    for one in Listing.objects.exclude(name=""):
        if one.pk not in dict(searching.listings_with(one.name, searching.ANY) or []):
            yield f"{one} is not found by its name"


def candles() -> Iterator[str]:
    points = 0
    for hour in HourCandle.objects.all():
        within = {"observed_at__gte": hour.start, "observed_at__lt": hour.start + timedelta(hours=1)}
        its = PricePoint.objects.filter(listing_id=hour.listing_id, **within).order_by("observed_at")
        found = list(its.values_list("price_usd", flat=True))
        points += len(found)
        if (hour.open, hour.high, hour.low, hour.close) != (found[0], max(found), min(found), found[-1]):
            yield f"an hour of listing {hour.listing_id} is {hour.open} {hour.close}, and its points are {found}"
        if hour.count != len(found):
            yield f"an hour of listing {hour.listing_id} counts {hour.count} of {len(found)}"
    if points != PricePoint.objects.count():
        yield f"{points} of {PricePoint.objects.count()} points are in candles"


def words() -> Iterator[str]:
    """Of words whose pages are kept the newest is the quote, and the last on a moment its point."""
    quotes: dict[tuple[str, str], tuple] = {}
    points: dict[tuple, Any] = {}
    for page in RawPayload.objects.exclude(sighting=None).select_related("source", "body").order_by("pk"):
        for position, record in parse(page).records:
            key, age = (page.source.slug, record.source_asset_id), (record.observed_at, page.pk, position)
            if key not in quotes or age > quotes[key][0]:
                quotes[key] = (age, record.price_usd, record.name)
            if record.price_usd is not None:
                points[(*key, record.observed_at)] = record.price_usd
    for one in Quote.objects.select_related("listing__source"):
        (at, page_id, _), *said = quotes.get((one.listing.source.slug, one.listing.source_asset_id), ((NEVER, 0, 0),))
        if (one.observed_at, one.page_id) <= (at, page_id) and [one.price_usd, one.listing.name] != said:
            yield f"{one.listing} has {one.price_usd} of page {one.page_id}, and page {page_id} says {said}"
    kept = set(RawPayload.objects.values_list("pk", flat=True))
    there = {
        (point.listing.source.slug, point.listing.source_asset_id, point.observed_at): point
        for point in PricePoint.objects.select_related("listing__source")
    }
    for key, price in points.items():
        if key not in there or (there[key].price_usd != price and there[key].page_id in kept):
            yield f"the point {key} is {there.get(key) and there[key].price_usd}, and the last word on it {price}"


NEVER = datetime.min.replace(tzinfo=UTC)


def everything() -> Iterator[dict[str, Any]]:
    address = "/data?page_size=100"
    while address:
        page = Client().get(address).json()
        yield from page["data"]
        address = page["next"]


def seen(how: str, by: Mapping[int, Mapping[str, Any]], rows: list[dict[str, Any]]) -> Iterator[str]:
    """Who has followed all along knows each row as it is."""
    for row in rows:
        if [row[name] for name in SHOWN] != [by.get(row["id"], {}).get(name) for name in SHOWN]:
            yield f"who {how} has {by.get(row['id'])} for {row}"


def deadlocks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
