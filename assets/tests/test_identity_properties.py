"""What holds for every set of listings: order makes no difference, and a neighbourhood decides as the whole does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from assets.identity import (
    CuratedFact,
    Decision,
    Listing,
    Resolution,
    blocking_keys,
    neighbourhood,
    resolve,
    verdict,
)

# So few words that they collide all the time: namesakes, rivals, chains over three sources.
NAMES = (
    "",
    "Ace",
    "Ace Token",
    "Ace Coin",
    "Wrapped Ace",
    "Ace [OLD]",
    "Acehigh",
    "Bee",
    "Bee Swarm Cloud",
    "Bee Swarm",
)
SYMBOLS = ("", "ACE", "BEE", "BSC")
SOURCES = (("coingecko", 1), ("coinpaprika", 2), ("csv", 3), ("sheet", 3))
FACTS = (CuratedFact("coingecko:ace-1", "coinpaprika:bee-2", "for this test"),)


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    source, rank = draw(st.sampled_from(SOURCES))
    return Listing(
        source,
        draw(st.sampled_from(("ace", "bee", "bee-swarm"))) + f"-{draw(st.integers(0, 4))}",
        draw(st.sampled_from(SYMBOLS)),
        draw(st.sampled_from(NAMES)),
        rank,
        price_usd=draw(
            st.sampled_from((None, None, Decimal(5), Decimal("5.1"), Decimal(700), Decimal("1.02"), Decimal("1.06")))
        ),
        market_cap=draw(st.sampled_from((None, None, Decimal(10**9)))),
        rank=draw(st.sampled_from((None, None, 7, 4000))),
        contracts=draw(st.sampled_from(((), (), (), ("ethereum:0xa",), ("ethereum:0xb",)))),
    )


worlds = st.lists(listings(), max_size=14, unique_by=lambda listing: listing.key)


@st.composite
def worlds_with_decisions(draw: st.DrawFn) -> tuple[list[Listing], list[Decision]]:
    world = draw(worlds)
    if len(world) < 2:
        return world, []
    keys = st.sampled_from([listing.key for listing in world])
    pairs = draw(st.lists(st.tuples(keys, keys, st.booleans()), max_size=3))
    return world, [Decision(a, b, same) for a, b, same in pairs if a != b]


def known(world: Iterable[Listing]) -> Callable[[frozenset[str]], list[Listing]]:
    """What a database would answer."""
    filed = [(listing, blocking_keys(listing, FACTS)) for listing in world]
    return lambda keys: [listing for listing, own in filed if not own.isdisjoint(keys)]


def fates(resolution: Resolution) -> dict[str, Any]:
    """For each listing its asset, why it is there, and the doubts about it."""
    fate: dict[str, Any] = {
        key: (group, resolution.reasons[key], set()) for group in resolution.groups for key in group
    }
    for doubt in resolution.doubtful:
        for key in (doubt.a, doubt.b):
            fate[key][2].add(doubt)
    return fate


@given(worlds_with_decisions(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_listings_and_decisions_makes_no_difference(
    case: tuple[list[Listing], list[Decision]], random: Any
) -> None:
    world, decisions = case
    first = resolve(world, decisions, FACTS)
    random.shuffle(world)
    random.shuffle(decisions)
    assert resolve(world, decisions, FACTS) == first


@given(worlds_with_decisions())
@settings(max_examples=150, deadline=None)
def test_every_listing_is_in_one_asset_and_an_asset_has_one_of_a_source(
    case: tuple[list[Listing], list[Decision]],
) -> None:
    world, decisions = case
    resolution = resolve(world, decisions, FACTS)
    assert sorted(key for group in resolution.groups for key in group) == sorted(listing.key for listing in world)
    assert resolution.reasons.keys() == {listing.key for listing in world}
    if not any(decision.same for decision in decisions):
        for group in resolution.groups:
            sources = [key.partition(":")[0] for key in group]
            assert len(sources) == len(set(sources))
    for decision in decisions:
        if not decision.same:
            assert not any({decision.a, decision.b} <= set(group) for group in resolution.groups)


@given(listings(), listings())
def test_a_verdict_has_no_first_and_second(a: Listing, b: Listing) -> None:
    assert verdict(a, b, curated=FACTS) == verdict(b, a, curated=FACTS)


@given(listings(), listings())
@settings(max_examples=150)
def test_listings_without_a_common_key_have_nothing_in_common(a: Listing, b: Listing) -> None:
    if blocking_keys(a, FACTS).isdisjoint(blocking_keys(b, FACTS)):
        assert verdict(a, b, curated=FACTS).outcome == "different"


@given(worlds_with_decisions(), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_newcomers_change_nothing_outside_their_neighbourhood_and_inside_it_decides_as_the_whole(
    case: tuple[list[Listing], list[Decision]], newcomers: int
) -> None:
    world, decisions = case
    seeds, rest = world[:newcomers], world[newcomers:]
    before, after = fates(resolve(rest, decisions, FACTS)), fates(resolve(world, decisions, FACTS))
    around = neighbourhood(seeds, known(rest), decisions=decisions, curated=FACTS)
    inside = {listing.key for listing in around}
    assert {listing.key for listing in seeds} <= inside
    assert all(after[key] == fate for key, fate in before.items() if key not in inside)
    assert fates(resolve(around, decisions, FACTS)) == {key: after[key] for key in inside}


@given(worlds_with_decisions(), st.sampled_from(NAMES), st.sampled_from(SYMBOLS))
@settings(max_examples=150, deadline=None)
def test_a_new_name_changes_nothing_outside_the_neighbourhood_of_both_names(
    case: tuple[list[Listing], list[Decision]], name: str, symbol: str
) -> None:
    world, decisions = case
    if not world:
        return
    old, rest = world[0], world[1:]
    new = replace(old, name=name, symbol=symbol)
    before, after = fates(resolve(world, decisions, FACTS)), fates(resolve([new, *rest], decisions, FACTS))
    around = neighbourhood([new], known(world), former=[old], decisions=decisions, curated=FACTS)
    inside = {listing.key for listing in around}
    assert all(after[key] == fate for key, fate in before.items() if key not in inside)
    assert fates(resolve(around, decisions, FACTS)) == {key: after[key] for key in inside}


@given(worlds_with_decisions(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_decision_taken_or_undone_changes_nothing_outside_the_neighbourhood_of_its_two(
    case: tuple[list[Listing], list[Decision]], same: bool
) -> None:
    world, decisions = case
    if len(world) < 2:
        return
    taken = [*decisions, Decision(world[0].key, world[1].key, same)]
    before, after = fates(resolve(world, decisions, FACTS)), fates(resolve(world, taken, FACTS))
    for those, then in ((taken, after), (decisions, before)):
        around = neighbourhood(world[:2], known(world), decisions=those, curated=FACTS)
        inside = {listing.key for listing in around}
        assert all(after[key] == fate for key, fate in before.items() if key not in inside)
        assert fates(resolve(around, those, FACTS)) == {key: then[key] for key in inside}
