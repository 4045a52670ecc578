"""The same records by this project, by COPY, by dlt and by Django's update_or_create."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice

import msgspec
import requests
from django.db import connection

from bench.database import empty, wal_bytes
from bench.providing import Provider, provider
from bench.result import Result, Size
from bench.running import run_once, timed
from ingestion.sources.coingecko import UsualMarket

ROUNDS = 2
TABLES = (
    "ingestion_rawbody",
    "ingestion_rawpayload",
    "ingestion_sighting",
    "assets_asset",
    "assets_listing",
    "assets_listing_key",
    "assets_quote",
    "assets_price_point",
)


def measured(size: Size) -> Iterator[Result]:
    with provider(size.records) as source:
        yield from against_each_other(source, size)


def against_each_other(source: Provider, size: Size) -> Iterator[Result]:
    count = size.records
    first = copy = 0.0
    # In turns, as a machine is seldom as fast now as a moment ago.
    for _ in range(ROUNDS):
        empty()
        source.warm()
        before = wal_bytes()
        first += timed(run_once) / ROUNDS
        wal_first = wal_bytes() - before
        copy += timed(Copy().work) / ROUNDS
    dlt = by_dlt(source)
    orm = timed(lambda: by_update_or_create(source, size.by_the_orm)) / size.by_the_orm * count
    yield Result("COPY of the same rows into the same indexed tables", count, copy)
    yield Result("first load", count, first, copy / first, "COPY", 0.5)
    yield Result("dlt, merge into PostgreSQL", count, dlt)
    yield Result("first load", count, first, dlt / first, "dlt", 5)
    yield Result(f"update_or_create per record (of {size.by_the_orm:,})", count, orm)
    yield Result("first load", count, first, orm / first, "update_or_create", 40)
    source.change_prices()
    source.warm()
    changed = timed(run_once)
    yield Result("all prices changed", count, changed, first / changed, "the first load", 0.6)
    before = wal_bytes()
    unchanged = timed(run_once)
    wal = wal_bytes() - before
    yield Result("unchanged", count, unchanged, first / unchanged, "the first load", 5)
    yield Result(f"unchanged: {wal / 1e6:.1f} MB of WAL", count, unchanged, wal / wal_first, "the first load's WAL")


class Copy:
    """What the tables hold, copied into empty ones with the same indexes, from text that is in memory already."""

    def __init__(self) -> None:
        self.texts = {}
        with connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"DROP TABLE IF EXISTS bench_{table}")
                cursor.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")
                self.texts[table] = io.BytesIO()
                cursor.copy_expert(f"COPY (SELECT * FROM {table}) TO STDOUT", self.texts[table])
            cursor.execute("CHECKPOINT")

    def work(self) -> None:
        with connection.cursor() as cursor:
            for table, text in self.texts.items():
                text.seek(0)
                cursor.copy_expert(f"COPY bench_{table} FROM STDIN", text)


def by_dlt(source: Provider) -> float:
    """Seconds that a pipeline of dlt takes, in a process of its own, from its first call to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.by_dlt", *source.pages()],
        env={**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def by_update_or_create(source: Provider, count: int) -> None:
    """What one writes first: for each record its listing and its quote, each by update_or_create."""
    from django.db import transaction

    from assets.models import Asset, Listing, Quote, Source

    row = Source.objects.get(slug="coinpaprika")
    for market in islice(markets(source), count):
        with transaction.atomic():
            asset, _ = Asset.objects.update_or_create(
                slug=f"orm:{market.id}", defaults={"symbol": market.symbol or "", "name": market.name or ""}
            )
            listing, _ = Listing.objects.update_or_create(
                source=row, source_asset_id=f"orm:{market.id}", defaults={"asset": asset}
            )
            Quote.objects.update_or_create(
                listing=listing,
                defaults={
                    "source": row,
                    "asset": asset,
                    "price_usd": market.current_price,
                    "market_cap": market.market_cap,
                    "volume_24h": market.total_volume,
                    "rank": market.market_cap_rank,
                    "observed_at": market.last_updated,
                    "page_id": 0,
                    "position": 0,
                    "digest": 0,
                },
            )
    Quote.objects.filter(source=row).delete()
    Listing.objects.filter(source=row).delete()
    Asset.objects.filter(slug__startswith="orm:").delete()


def markets(source: Provider) -> Iterator[UsualMarket]:
    """Every market of every page."""
    with requests.Session() as session:
        for page in source.pages():
            yield from msgspec.json.decode(session.get(page).content, type=list[UsualMarket])
