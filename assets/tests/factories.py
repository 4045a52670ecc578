"""Real rows for tests: records go in by the one writer, as the pipeline's do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from django.db import transaction

from assets import store
from assets.models import Source
from assets.records import AssetRecord

pages = count(1)
FIGURES = ("price_usd", "market_cap", "volume_24h", "percent_change_24h", "circulating_supply")


def record(own: str, symbol: str = "", name: str = "", *, at: datetime | None = None, **figures: Any) -> AssetRecord:
    """A record of that id, observed now unless told otherwise; figures are written as text."""
    exact = {key: Decimal(value) if key in FIGURES and value is not None else value for key, value in figures.items()}
    return AssetRecord(own, symbol, name, at or datetime.now(UTC), **exact)


def load(slug: str, *records: AssetRecord, page_id: int | None = None) -> Source:
    """The source has said so, in one page."""
    source = Source.objects.get(slug=slug)
    store.ensure_partitions(one.observed_at for one in records)
    with transaction.atomic():
        store.merge(source, list(enumerate(records)), page_id or next(pages))
    return source


def coins(slug: str, number: int, *, at: datetime | None = None, **figures: Any) -> Source:
    """So many coins, with ranks, prices and names of their own."""
    return load(
        slug,
        *(
            record(
                f"coin-{place:04}",
                f"C{place:04}",
                f"Coin {place:04}",
                at=at,
                **{"price_usd": f"{place}.{place:04}", "market_cap": str(10**9 - place), "rank": place} | figures,
            )
            for place in range(1, number + 1)
        ),
    )


def long_ago(slug: str) -> datetime:
    """A time at which the source's word is stale."""
    return datetime.now(UTC) - 4 * timedelta(seconds=Source.objects.get(slug=slug).interval_seconds)
