"""Any sequence of pages, in any order, failed, requeued, replayed and backfilled, leaves what a little Python says.

The model knows one rule: of all words that went in, the newest counts, and of two with one time the later page's, and
in a page the later record's.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from assets import backfilled, candles, store
from assets.models import Asset, DayCandle, HourCandle, Listing, PricePoint, Quote, Source, Tally
from ingestion import normalizing, replaying
from ingestion.models import RawBody, RawPayload, Run

COINS = ("a-coin", "b-coin")
FRESH = datetime.now(UTC).replace(microsecond=0)
MIDNIGHT = (FRESH - timedelta(days=2)).replace(hour=0, minute=0, second=0)
TIMES = (MIDNIGHT - timedelta(seconds=1), MIDNIGHT, MIDNIGHT + timedelta(minutes=59), FRESH)


class Word(NamedTuple):
    coin: str
    at: datetime
    price: str
    """As JSON has it: text is no number, and a reject."""

    def item(self) -> str:
        return (
            f'{{"id":"{self.coin}","symbol":"{self.coin[0]}","name":"{self.coin.title()}",'
            f'"current_price":{self.price},"last_updated":"{self.at:%Y-%m-%dT%H:%M:%SZ}"}}'
        )


WORDS = some.lists(
    some.builds(Word, some.sampled_from(COINS), some.sampled_from(TIMES), some.sampled_from(["1", "2", "null", '"x"'])),
    min_size=1,
    max_size=3,
)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        self.source = Source.objects.get(slug="coingecko")
        now = datetime.now(UTC)
        self.run = Run.objects.create(
            source=self.source, trigger="command", status="completed", sweep=1, finished_at=now, started_at=now
        )
        self.words: dict[int, list[Word]] = {}
        self.gone_in: set[int] = set()
        self.past: dict[tuple[str, datetime], Decimal] = {}
        """What was backfilled where nothing was observed by then."""

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.example.__exit__(None, None, None)

    def of_state(self, *states: str) -> list[RawPayload]:
        pages = RawPayload.objects.filter(pk__in=self.words, state__in=states)
        return list(pages.select_related("source", "body").order_by("pk"))

    @rule(words=WORDS)
    def a_page_is_stored(self, words: list[Word]) -> None:
        text = "[" + ",".join(word.item() for word in words) + "]"
        digest = hashlib.sha256(text.encode()).digest()
        RawBody.objects.get_or_create(sha256=digest, defaults={"text": text, "encoding": "utf-8", "size": len(text)})
        page = RawPayload.objects.create(
            run=self.run,
            source=self.source,
            sweep=1,
            number=len(self.words) + 1,
            url="",
            body_id=digest,
            records=len(words),
            received_at=datetime.now(UTC),
        )
        self.words[page.pk] = words

    @precondition(lambda self: self.of_state("stored"))
    @rule(data=some.data(), alone=some.booleans())
    def a_page_is_normalized(self, data: some.DataObject, alone: bool) -> None:
        page = data.draw(some.sampled_from(self.of_state("stored")))
        if alone:
            RawPayload.objects.filter(pk=page.pk).update(attempts=1)
        normalizing.normalize(page.pk)
        self.gone_in |= {one.pk for one in self.of_state("normalized")}

    @precondition(lambda self: self.of_state("stored"))
    @rule(data=some.data())
    def a_page_is_set_aside(self, data: some.DataObject) -> None:
        normalizing.fail_page(data.draw(some.sampled_from(self.of_state("stored"))).pk, "set aside")

    @precondition(lambda self: self.of_state("failed"))
    @rule(data=some.data())
    def a_page_is_requeued(self, data: some.DataObject) -> None:
        assert replaying.requeue(data.draw(some.sampled_from(self.of_state("failed"))))

    @precondition(lambda self: self.of_state("normalized", "failed"))
    @rule(data=some.data())
    def a_page_is_replayed(self, data: some.DataObject) -> None:
        page = data.draw(some.sampled_from(self.of_state("normalized", "failed")))
        (done,) = replaying.replay(iter([page]))
        assert done.inserted + done.updated + done.unchanged + done.rejected == page.records
        self.gone_in.add(page.pk)

    @precondition(lambda self: self.gone_in and self.of_state("normalized"))
    @rule()
    def everything_is_replayed_and_changes_nothing(self) -> None:
        pages = [page for page in self.of_state("normalized", "failed") if page.pk in self.gone_in]
        *_, done = replaying.replay(iter(pages))
        assert (done.inserted, done.updated) == (0, 0)

    @precondition(lambda self: self.quotes())
    @rule(data=some.data(), at=some.sampled_from(TIMES[:-1]))
    def a_point_is_backfilled(self, data: some.DataObject, at: datetime) -> None:
        coin = data.draw(some.sampled_from(sorted(self.quotes())))
        store.ensure_partitions([at])
        backfilled.add(Listing.objects.get(source_asset_id=coin).pk, [(at, Decimal(7), None, None)])
        self.past[coin, at] = Decimal(7)

    @rule()
    def candles_are_made(self) -> None:
        candles.catch_up()

    def heard(self) -> list[Word]:
        """All words that went in and can be read, the one that wins last."""
        return [word for page in sorted(self.gone_in) for word in self.words[page] if word.price != '"x"']

    def quotes(self) -> dict[str, Word]:
        found: dict[str, Word] = {}
        for word in self.heard():
            if word.coin not in found or word.at >= found[word.coin].at:
                found[word.coin] = word
        return found

    def points(self) -> dict[tuple[str, datetime], Decimal]:
        observed = {(word.coin, word.at): Decimal(word.price) for word in self.heard() if word.price != "null"}
        return self.past | observed

    @invariant()
    def quotes_and_prices_are_the_newest_words(self) -> None:
        expected = {
            coin: (word.at, None if word.price == "null" else Decimal(word.price))
            for coin, word in self.quotes().items()
        }
        rows = Quote.objects.values_list("listing__source_asset_id", "observed_at", "price_usd")
        assert {coin: (at, price) for coin, at, price in rows} == expected
        priced = Asset.objects.filter(listings__isnull=False).values_list("listings__source_asset_id", "price_usd")
        assert dict(priced) == {coin: price if at == FRESH else None for coin, (at, price) in expected.items()}

    @invariant()
    def points_are_all_words_of_their_time(self) -> None:
        rows = PricePoint.objects.values_list("listing__source_asset_id", "observed_at", "price_usd")
        assert {(coin, at): price for coin, at, price in rows} == self.points()

    @invariant()
    def counts_add_up(self) -> None:
        self.run.refresh_from_db()
        fields = ("inserted", "updated", "unchanged", "rejected")
        pages = {page.pk: page for page in self.of_state("normalized")}
        for page in pages.values():
            assert sum(getattr(page, field) for field in fields) == page.records
            assert page.rejected == sum(word.price == '"x"' for word in self.words[page.pk])
        summed = RawPayload.objects.filter(pk__in=pages).aggregate(**{field: Sum(field, default=0) for field in fields})
        assert {field: getattr(self.run, field) for field in fields} == summed
        assert self.run.processed == sum(summed.values())
        tallied = Tally.objects.aggregate(quotes=Sum("quotes", default=0), assets=Sum("assets", default=0))
        assert tallied == {"quotes": Quote.objects.count(), "assets": Asset.objects.count()}

    @invariant()
    def candles_are_made_of_all_points(self) -> None:
        with transaction.atomic():
            candles.catch_up()
            for model, length in ((HourCandle, timedelta(hours=1)), (DayCandle, timedelta(days=1))):
                buckets: dict[tuple[str, datetime], list[tuple[datetime, Decimal]]] = defaultdict(list)
                for (coin, at), price in sorted(self.points().items()):
                    buckets[coin, at - (at - MIDNIGHT) % length].append((at, price))
                rows = model.objects.values_list(
                    "listing__source_asset_id", "start", "open", "high", "low", "close", "count", "last_at"
                )
                assert {row[:2]: row[2:] for row in rows} == {
                    key: (
                        points[0][1],
                        max(price for _, price in points),
                        min(price for _, price in points),
                        points[-1][1],
                        len(points),
                        points[-1][0],
                    )
                    for key, points in buckets.items()
                }
            transaction.set_rollback(True)


@pytest.mark.django_db
def test_any_sequence_leaves_what_the_model_says() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=20, stateful_step_count=12))
