"""Which listings are one real-world asset: the rule as a whole, pure, standard library only.

A listing is one source's entry for a coin. Evidence, strongest first: a person's decision; a contract address; a
curated fact; symbol and name; symbol and the id a coin was listed under; names that differ by an empty word; likeness
with agreeing figures. Marks (wrapped, bridged, staked, another version) and figures far apart speak against. In doubt,
and where two are equally good, all stay apart and the pairs are listed for a person. To read it from the ground:
names, likeness, figures, evidence (two listings), blocking (which meet), rivals (who gets whom), and here the assets.

The result is a function of the SET of listings: no order, no clock, no memory. Two listings join when each is the
other's single best partner in that source, so an asset holds one listing of a source at most, unless a person says
otherwise. It is local, too: `neighbourhood` gathers the few listings that have a say in what becomes of some.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from assets.blocking import blocking_keys, meeting_keys, neighbourhood
from assets.collector import collector_paused
from assets.evidence import (
    CURATED,
    CuratedFact,
    Decision,
    Judge,
    Listing,
    Verdict,
    verdict,
)
from assets.rivals import Doubtful, Pair, Slot, doubt, mutual_best, precedence

__all__ = [
    "CURATED",
    "Belonging",
    "CuratedFact",
    "Decision",
    "Doubtful",
    "Listing",
    "Resolution",
    "Verdict",
    "asset_id",
    "blocking_keys",
    "called",
    "neighbourhood",
    "resolve",
    "verdict",
]


@dataclass(frozen=True, slots=True)
class Belonging:
    """Why a listing belongs to its asset."""

    method: str
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    groups: tuple[tuple[str, ...], ...]
    """The listing keys of each asset, the anchor first."""
    doubtful: tuple[Doubtful, ...]
    """Best first."""
    reasons: Mapping[str, Belonging]


def asset_id(listings: Iterable[Listing]) -> str:
    """The slug of the asset that holds these: its anchor's id, bare where the anchor's source ranks first."""
    anchor = min(listings, key=precedence)
    return called(anchor.identity_rank, anchor.source, anchor.source_asset_id)


def called(identity_rank: int, source: str, source_asset_id: str) -> str:
    """The slug of an asset with this anchor. A bare id with a colon might be the `source:id` of another asset."""
    bare = identity_rank == 1 and ":" not in source_asset_id
    return source_asset_id if bare else f"{source}:{source_asset_id}"


@collector_paused()
def resolve(
    listings: Iterable[Listing],
    decisions: Iterable[Decision] = (),
    curated: Iterable[CuratedFact] = CURATED,
    judge: Judge | None = None,
) -> Resolution:
    """Every listing in exactly one asset, whatever the order of the arguments' items.

    `judge` takes the place of decisions and facts.
    """
    known = {listing.key: listing for listing in listings}
    judge = judge or Judge(decisions, curated)
    decided = judge.decided
    links, doubts, contested = mutual_best(_plausible_pairs(known, judge), decided)
    links.sort(key=_link_order)
    assets, refused = _gather(known, links, decided, contested)

    groups = [
        tuple(sorted(members, key=lambda key: precedence(known[key])))
        for members in {id(members): members for members in assets.values()}.values()
    ]
    apart = {(d.a, d.b): d for d in (*doubts, *refused) if assets[d.a] is not assets[d.b]}
    return Resolution(
        groups=tuple(sorted(groups)),
        doubtful=tuple(sorted(apart.values(), key=lambda d: (-d.score, d.a, d.b))),
        reasons=_reasons(groups, links, assets),
    )


def _plausible_pairs(known: Mapping[str, Listing], judge: Judge) -> Iterator[Pair]:
    listings = list(known.values())
    blocks: dict[str, list[int]] = defaultdict(list)
    for number, listing in enumerate(listings):
        for key in meeting_keys(listing.key, listing.reading, listing.contracts, judge.facts):
            blocks[key].append(number)
    count = len(listings)  # a pair is one integer: hundreds of thousands of tuples would keep the collector busy
    sources = [listing.source for listing in listings]
    candidates = {
        i * count + j
        for block in blocks.values()
        if len(block) > 1
        for i, j in combinations(block, 2)
        if sources[i] != sources[j]
    }
    numbers = {key: number for number, key in enumerate(known)} if judge.decided else {}
    for pair in judge.decided:
        if len(pair) == 2 and pair <= numbers.keys():
            i, j = sorted(numbers[key] for key in pair)
            candidates.add(i * count + j)
    for candidate in candidates:
        i, j = divmod(candidate, count)
        if found := judge(listings[i], listings[j]):
            yield Pair(listings[i], listings[j], found)


def _link_order(pair: Pair) -> tuple[float, tuple[int, str, str], tuple[int, str, str]]:
    first, second = sorted((precedence(pair.a), precedence(pair.b)))
    return -pair.verdict.score, first, second


def _gather(
    known: Mapping[str, Listing],
    links: Iterable[Pair],
    decided: Mapping[frozenset[str], bool],
    contested: set[Slot],
) -> tuple[dict[str, set[str]], list[Doubtful]]:
    """Listing key -> the members of its asset; and the links that were refused."""
    assets = {key: {key} for key in known}
    refused = []
    for link in links:
        ours, theirs = assets[link.a.key], assets[link.b.key]
        if ours is theirs:
            continue
        if objection := _objection(known, link, ours, theirs, decided, contested):
            refused.append(doubt(link, objection))
        else:
            ours |= theirs
            for key in theirs:
                assets[key] = ours
    return assets, refused


def _objection(
    known: Mapping[str, Listing],
    link: Pair,
    ours: set[str],
    theirs: set[str],
    decided: Mapping[frozenset[str], bool],
    contested: set[Slot],
) -> str:
    """Why the assets of two linked listings are not joined all the same; empty when nothing is against it."""
    if decided and any(decided.get(frozenset((a, b))) is False for a in ours for b in theirs):
        return "a person keeps them apart"
    if link.verdict.method == "decision":
        return ""
    if both := {known[key].source for key in ours} & {known[key].source for key in theirs}:
        return f"both assets have a listing of {min(both)}"
    if len(ours) + len(theirs) > 2 and any(
        (a, known[b].source) in contested or (b, known[a].source) in contested for a in ours for b in theirs
    ):
        return "another is as good for one of the asset's listings"
    return ""


def _reasons(
    groups: Iterable[Sequence[str]], links: Iterable[Pair], assets: Mapping[str, set[str]]
) -> dict[str, Belonging]:
    """For each listing the strongest link that leads to it from its asset's anchor."""
    inside: dict[int, list[Pair]] = defaultdict(list)
    for link in links:
        if assets[link.a.key] is assets[link.b.key]:
            inside[id(assets[link.a.key])].append(link)
    reasons: dict[str, Belonging] = {}
    for anchor, *others in groups:
        reasons[anchor] = Belonging("anchor", 1.0, ())
        for _ in others:
            a, b, found = next(
                (link.a.key, link.b.key, link.verdict)
                for link in inside[id(assets[anchor])]
                if (link.a.key in reasons) != (link.b.key in reasons)
            )
            reasons[b if a in reasons else a] = Belonging(found.method, found.score, found.reasons)
    return reasons
