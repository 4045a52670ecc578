"""Whatever people decide while records come in, in whatever order: their word holds, no id changes its meaning, and
what stands is what the rule makes of everything at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from django.db.models import F

from assets import doubts, filters, pricing, store
from assets.identity import asset_id, resolve
from assets.matching import Neighbours, decided
from assets.models import Asset, Candidate, Decision, Listing, Quote
from assets.resolving import decide, resolve_all, undo
from assets.tests.factories import load, record

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC).replace(microsecond=0)
SOURCES = ("coingecko", "coinpaprika", "csv")
# So few that they collide all the time.
WORDS = ("ace", "bee", "bee-swarm")
NAMES = ("Ace", "Ace Token", "Ace Coin", "Wrapped Ace", "Acehigh", "Bee", "Bee Swarm", "")
SYMBOLS = ("ACE", "BEE", "ACEHIGH", "")
PRICES = ("5", "5.1", "700", "0.0001", None)
STEPS = {"page": 9, "again": 2, "other_price": 5, "word": 7, "undone": 3, "resolved": 1, "doubts": 2, "presence": 2}


class World:
    """Steps at random, and the simplest model of what they amount to."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.said: dict[tuple[str, str], tuple[str, str, str | None]] = {}
        self.words: dict[frozenset[str], bool] = {}

    def step(self, number: int) -> None:
        self.at = NOW - timedelta(minutes=2) + timedelta(seconds=number)
        getattr(self, self.random.choices(list(STEPS), list(STEPS.values()))[0])()

    def tell(self, slug: str, owns: list[str]) -> None:
        told = [(own, *self.said[slug, own]) for own in owns]
        load(slug, *(record(own, *texts, at=self.at, price_usd=price) for own, *texts, price in told))

    def page(self) -> None:
        """New listings, and known ones under another name."""
        slug = self.random.choice(SOURCES)
        owns = [f"{word}-{self.random.randrange(4)}" for word in self.random.sample(WORDS, 2)]
        for own in owns:
            *_, price = self.said.get((slug, own), (self.random.choice(PRICES),))
            self.said[slug, own] = (self.random.choice(SYMBOLS), self.random.choice(NAMES), price)
        self.tell(slug, owns)

    def again(self) -> None:
        slug = self.random.choice(SOURCES)
        self.tell(slug, [own for source, own in self.said if source == slug])

    def other_price(self) -> None:
        if self.said:
            slug, own = self.random.choice(list(self.said))
            self.said[slug, own] = (*self.said[slug, own][:2], self.random.choice(PRICES))
            self.tell(slug, [own])

    def word(self) -> None:
        if len(self.said) > 1:
            a, b = self.random.sample(list(listings().items()), 2)
            same = self.random.random() < 0.6
            decide(a[1], b[1], same=same, by="somebody")
            self.words[frozenset((a[0], b[0]))] = same

    def undone(self) -> None:
        if self.words:
            pair = self.random.choice(list(self.words))
            a, b = sorted(listings()[key].pk for key in pair)
            undo(Decision.objects.get(a=a, b=b))
            del self.words[pair]

    def resolved(self) -> None:
        resolve_all()
        stands()

    def doubts(self) -> None:
        doubts.decide_again()

    def presence(self) -> None:
        """Delisted, or back."""
        if self.said:
            _, one = self.random.choice(list(listings().items()))
            gone = {"delisted_at": NOW, "missed_sweeps": 3} if one.delisted_at is None else {}
            Listing.objects.filter(pk=one.pk).update(**{"delisted_at": None, "missed_sweeps": 0} | gone)
            pricing.reprice([one.asset_id])

    def holds(self) -> None:
        here = listings()
        assert set(here) == {f"{slug}:{own}" for slug, own in self.said}
        assert {frozenset((one.a, one.b)): one.same for one in decided()} == self.words
        for pair, same in self.words.items():
            assert same or len({here[key].asset_id for key in pair}) == 2
        for together in self.called_one():
            if not any(pair <= together for pair, same in self.words.items() if not same):
                assert len({here[key].asset_id for key in together}) == 1

    def called_one(self) -> Iterator[set[str]]:
        """The listings that lead to each other by decisions."""
        left = [pair for pair, same in self.words.items() if same]
        while left:
            together = set(left.pop())
            while found := [pair for pair in left if pair & together]:
                together |= frozenset().union(*found)
                left = [pair for pair in left if pair not in found]
            yield together


def listings() -> dict[str, Listing]:
    found = Listing.objects.select_related("source", "asset").order_by("pk")
    return {f"{one.source.slug}:{one.source_asset_id}": one for one in found}


def every_id_means_what_it_meant() -> None:
    """Whatever an asset was ever called leads to the one that holds that listing now."""
    here, facts = listings(), {listing.key: listing for listing in Neighbours().everything()}
    for key, one in here.items():
        source, _, own = key.partition(":")
        assert filters.resolve(key) == (one.asset_id, one.asset.slug)
        assert source != "coingecko" or filters.resolve(own) == (one.asset_id, one.asset.slug)
        assert one.asset.slug == asset_id(facts[k] for k, other in here.items() if other.asset_id == one.asset_id)
    assert {one.asset_id for one in here.values()} == set(Asset.objects.values_list("pk", flat=True))


def prices_follow() -> None:
    assert not Quote.objects.exclude(asset_id=F("listing__asset_id")).exists()
    assets = Asset.objects.order_by("pk")
    before = list(assets.values_list("pk", *pricing.COLUMNS))
    pricing.reprice([pk for pk, *_ in before])
    assert list(assets.values_list("pk", *pricing.COLUMNS)) == before


def stands() -> None:
    """Assets and doubts are those of the rule over everything at once."""
    here, facts = listings(), {listing.key: listing for listing in Neighbours().everything()}
    found = resolve(facts.values(), decided())
    for group in found.groups:
        assert {here[key].asset.slug for key in group} == {asset_id(facts[key] for key in group)}
    doubtful = {tuple(sorted((here[pair.a].pk, here[pair.b].pk))) for pair in found.doubtful}
    assert set(Candidate.objects.values_list("a_id", "b_id")) == doubtful


@pytest.mark.parametrize("seed", range(3))
def test_a_persons_word_holds_and_no_id_changes_its_meaning_whatever_comes(seed: int) -> None:
    store.ensure_partitions([NOW])
    world = World(seed)
    for number in range(40):
        world.step(number)
        world.holds()
        every_id_means_what_it_meant()
        prices_follow()
    world.resolved()
