"""Pages in any order, together or alone, once or again: the tables hold the same in the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random

import pytest

from assets import store
from assets.models import PricePoint, Quote, Source
from assets.records import AssetRecord

pytestmark = pytest.mark.django_db

TIME = datetime(2026, 11, 20, tzinfo=UTC)
#: Two sources whose own ids are the same, which says nothing of their coins.
SOURCES = ("coingecko", "csv")
Pages = dict[int, list[tuple[int, AssetRecord]]]


def some_pages(random: Random, ids: list[str], page_ids: range, figures: count) -> Pages:
    """Words of few coins at few moments, no two alike: many are older than others, or of one time."""
    return {
        page_id: [
            (
                position,
                AssetRecord(
                    (own := random.choice(ids)),
                    own.upper(),
                    f"The coin {own}",
                    TIME + timedelta(minutes=random.randrange(3)),
                    Decimal(next(figures)) if random.random() < 0.8 else None,
                    volume_24h=Decimal(next(figures)),
                ),
            )
            for position in range(random.randrange(1, 5))
        ]
        for page_id in page_ids
    }


def merged_somehow(random: Random, source: Source, pages: Pages) -> None:
    """Every page goes in, some again, some with others; a record counts as news when its quote or point is of it."""
    order = [*pages, *random.sample(sorted(pages), 2)]
    random.shuffle(order)
    held: dict[object, tuple] = {}
    inserted = 0
    while order:
        together = {page_id: pages[page_id] for page_id in order[: random.randrange(1, 4)]}
        order = order[len(together) :]
        before = dict(held)
        for age, record in in_order(together):
            quote, point = record.source_asset_id, (record.source_asset_id, record.observed_at)
            held[quote] = max(age, held.get(quote, age))
            if record.price_usd is not None:
                held[point] = max(age, held.get(point, age))
        news = {age for what, age in held.items() if before.get(what) != age}
        for page_id, page in store.merge_pages(source, together).items():
            assert page.inserted + page.updated == sum(one == page_id for _, one, _ in news)
            assert page.inserted + page.updated + page.unchanged == len(pages[page_id])
            inserted += page.inserted
    assert inserted == len({record.source_asset_id for _, record in in_order(pages)})


def in_order(pages: Pages) -> list[tuple[tuple[datetime, int, int], AssetRecord]]:
    """(age, record), the newest last: its time, its page, its place."""
    words = [
        ((record.observed_at, page_id, place), record) for page_id, page in pages.items() for place, record in page
    ]
    return sorted(words)


def test_the_newest_word_is_the_quote_and_each_moment_has_the_last_price_said_of_it():
    store.ensure_partitions([TIME])
    figures, page_ids = count(1), count(1, 5)
    for seed in range(15):
        random = Random(seed)
        for slug in SOURCES:
            source, first = Source.objects.get(slug=slug), next(page_ids)
            ids = [f"coin-{seed}-{number}" for number in range(3)]
            pages = some_pages(random, ids, range(first, first + 5), figures)
            merged_somehow(random, source, pages)
            words = in_order(pages)
            newest = {record.source_asset_id: (*age, record.price_usd, record.volume_24h) for age, record in words}
            of_moment = {
                (record.source_asset_id, record.observed_at): (page_id, record.price_usd, record.volume_24h)
                for (_, page_id, _), record in words
                if record.price_usd is not None
            }
            own = "listing__source_asset_id"
            mine = {"listing__source": source, f"{own}__in": ids}
            said = ("page_id", "price_usd", "volume_24h")
            quotes = Quote.objects.filter(**mine).values_list(own, "observed_at", "position", *said)
            assert {id_: (at, page, place, *rest) for id_, at, place, page, *rest in quotes} == newest
            points = PricePoint.objects.filter(**mine).values_list(own, "observed_at", *said)
            assert {(id_, at): tuple(rest) for id_, at, *rest in points} == of_moment
