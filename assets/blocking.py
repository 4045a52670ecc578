"""Which listings are compared at all, and which of them have a say in what becomes of some.

Two listings meet where they share a blocking key: symbol, name, id, contract or curated fact. What becomes of a listing
depends on those that it may be one coin with, on those that they may be one coin with, and so on, and on no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from assets.collector import collector_paused
from assets.evidence import CURATED, CuratedFact, Decision, Judge, Listing, facts_by_key
from assets.names import Reading

_CURATED_BY_KEY = facts_by_key(CURATED)


def blocking_keys(listing: Listing, curated: Iterable[CuratedFact] = CURATED) -> frozenset[str]:
    """Listings that share none of these are never compared, but for a decision. `listing:<key>` is one of them."""
    facts = _CURATED_BY_KEY if curated is CURATED else facts_by_key(curated)
    meeting = meeting_keys(listing.key, listing.reading, listing.contracts, facts)
    return frozenset(("listing:" + listing.key, *meeting))


def meeting_keys(
    key: str, reading: Reading, contracts: Iterable[str], facts: Mapping[str, set[str]] = _CURATED_BY_KEY
) -> list[str]:
    """The keys under which a listing meets others; one may come twice. Its own name is found by other means."""
    keys = list(reading.keys)
    if contracts:
        keys.extend("contract:" + contract for contract in contracts)
    if key in facts:
        keys.extend(facts[key])
    return keys


@collector_paused()
def neighbourhood(
    seeds: Iterable[Listing],
    fetch: Callable[[frozenset[str]], Iterable[Listing]],
    former: Iterable[Listing] = (),
    decisions: Iterable[Decision] = (),
    curated: Iterable[CuratedFact] = CURATED,
    judge: Judge | None = None,
) -> tuple[Listing, ...]:
    """All listings whose asset can depend on the seeds: `resolve` over these decides them as over everything.

    Seeds are new and renamed listings, and both sides of a decision taken or undone; `former` holds what renamed or
    removed listings were before. `fetch` returns the known listings that have one of the given blocking keys; it is
    called once per step along plausible pairs, a handful of times. `judge` takes the place of decisions and facts.
    """
    judge = judge or Judge(decisions, curated)
    facts = judge.facts
    decided_with: dict[str, set[str]] = defaultdict(set)
    for pair in judge.decided:
        for key in pair:
            decided_with[key] |= {"listing:" + other for other in pair - {key}}
    known: dict[str, tuple[Listing, list[str]]] = {}
    blocks: dict[str, list[Listing]] = defaultdict(list)

    def keys_of(listing: Listing) -> list[str]:
        """Where it meets others, and those that a person set beside it."""
        keys = meeting_keys(listing.key, listing.reading, listing.contracts, facts)
        return [*keys, *decided_with[listing.key]] if listing.key in decided_with else keys

    def learn(listings: Iterable[Listing]) -> None:
        for listing in listings:
            if listing.key not in known:
                known[listing.key] = listing, (keys := keys_of(listing))
                for key in keys:
                    blocks[key].append(listing)
                if listing.key in decided_with:
                    blocks["listing:" + listing.key].append(listing)

    learn(seeds)
    inside = {key: listing for key, (listing, _) in known.items()}
    frontier = [*known.values(), *((listing, keys_of(listing)) for listing in former)]
    asked: set[str] = set()
    while frontier:
        reach, frontier = frontier, []
        wanted = frozenset(key for _, keys in reach for key in keys) - asked
        asked |= wanted
        learn(fetch(wanted))
        for listing, keys in reach:
            for key in keys:
                for other in blocks.get(key, ()):
                    if other.key not in inside and judge(listing, other):
                        inside[other.key] = other
                        frontier.append(known[other.key])
    return tuple(inside.values())
