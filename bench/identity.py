"""Newcomers of one source among the coins that another has listed: every name decided, priced and committed.

The names are made up, in the mix of real lists: of the newcomers some four in ten are a coin that is there, one in ten
is one under a name a little different, and one in six shares no more than a symbol, as one in six of the others does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from django.db import connection, transaction

from assets.collector import collector_paused
from assets.models import Asset, Candidate, Source
from assets.records import AssetRecord
from assets.store import ensure_partitions, merge
from bench.database import empty
from bench.result import Result, Size
from bench.running import timed
from ingestion.normalizing import RECORDS_AT_ONCE

#: Newcomers a second: 20,000 in 5 seconds.
WANTED = 4_000
ENDINGS = ("", "", "", " Token", " Coin", " Finance", " Network", " Protocol", " Swap", " Inu", " DAO", " V2")
SYLLABLES = re.findall(r"\w+", "al be cor da el fi go hy in jo ka lu mo na or pi qua ri so tu ul ve wa xe yo za")

Coin = tuple[str, str]
"""Symbol and name."""


def measured(size: Size) -> Iterator[Result]:
    random = Random(7)
    known = made_up(size.identity_known, random)
    newcomers = drawn_from(known, size.identity_newcomers, random)
    empty()
    now = datetime.now(UTC)
    ensure_partitions([now])
    load("coinpaprika", [record(f"{symbol.lower()}-{slug(name)}", symbol, name, now) for symbol, name in known])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    records = [record(f"{slug(name)}-{number}", symbol, name, now) for number, (symbol, name) in enumerate(newcomers)]
    statements: list[str] = []

    def noted(execute: Callable[..., Any], sql: str, *others: Any) -> Any:
        statements.append(sql)
        return execute(sql, *others)

    with connection.execute_wrapper(noted):
        seconds = timed(lambda: load("coingecko", records))
    joined = len(known) + len(newcomers) - Asset.objects.count()
    what = f"newcomers among {len(known):,} listings, {joined:,} joined, {Candidate.objects.count():,} in doubt"
    against = f"{WANTED:,} a second; {len(statements)} statements"
    yield Result(what, len(records), seconds, len(records) / seconds / WANTED, against, 1, drawn=False)


def load(source: str, records: Sequence[AssetRecord]) -> None:
    """In batches as the pipeline makes them."""
    known = Source.objects.get(slug=source)
    for page, first in enumerate(range(0, len(records), RECORDS_AT_ONCE), start=1):
        with collector_paused(), transaction.atomic():
            merge(known, list(enumerate(records[first : first + RECORDS_AT_ONCE])), page)


def made_up(count: int, random: Random) -> list[Coin]:
    """Coins of which one in three shares its symbol with another, as in the lists of the sources."""
    coins = {}
    while len(coins) < count:
        words = ["".join(random.choices(SYLLABLES, k=random.choice((2, 3, 4)))) for _ in range(random.choice((1, 2)))]
        name = " ".join(words).title() + random.choice(ENDINGS)
        symbol = "".join(words)[: random.choice((5, 6, 7, 8, 9))].upper()
        coins[slug(name)] = (symbol, name)
    return list(coins.values())


def drawn_from(known: Sequence[Coin], count: int, random: Random) -> list[Coin]:
    coins = []
    for symbol, name in random.sample(known, count):
        kind = random.random()
        if kind < 0.42:
            coins.append((symbol, name))
        elif kind < 0.52:
            coins.append((symbol, f"{name.split()[0]}{random.choice(ENDINGS)}"))
        elif kind < 0.68:
            coins.append((symbol, made_up(1, random)[0][1]))
        else:
            coins.extend(made_up(1, random))
    return coins


def record(id_: str, symbol: str, name: str, now: datetime) -> AssetRecord:
    """One name has one price, somewhere between a millionth and some thousand dollars."""
    price = Decimal(repr(10 ** Random(name).uniform(-6, 3.5)))
    return AssetRecord(id_, symbol, name, now, price)


def slug(name: str) -> str:
    return name.lower().replace(" ", "-")
