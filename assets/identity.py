"""Which listings are one real-world asset: the whole rule, pure, standard library only.

A listing is one source's entry for a coin. Evidence, strongest first: a person's decision; a contract address; a
curated fact; symbol and name; symbol and the id a coin was listed under; a name without the word token, or shortened;
likeness with agreeing figures. Marks (wrapped, bridged, staked, another version) and figures far apart speak against.
In doubt two listings stay apart and the pair is listed for a person.

The result is a function of the SET of listings: no order, no clock, no memory. Two listings join when each is the
other's single best partner in that source, so an asset holds one listing of a source at most, unless a person says
otherwise. It is local, too: `neighbourhood` gathers the few listings that have a say in what becomes of some.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import combinations, groupby
from pathlib import Path

from assets.figures import Comparison, compare
from assets.likeness import SYMBOL_ONLY, compare_texts
from assets.names import Reading, likeness, read

SAME, DOUBTFUL, DIFFERENT = "same", "doubtful", "different"


@dataclass(frozen=True, slots=True)
class Listing:
    """The facts of one source's entry that identity may look at. None: the source did not say."""

    source: str
    source_asset_id: str
    symbol: str
    name: str
    identity_rank: int
    """Of the source; the lowest names the asset."""
    price_usd: Decimal | None = None
    market_cap: Decimal | None = None
    circulating_supply: Decimal | None = None
    total_supply: Decimal | None = None
    max_supply: Decimal | None = None
    rank: int | None = None
    contracts: tuple[str, ...] = ()
    """`chain:address`, as AssetRecord has them."""
    observed_at: datetime | None = None
    """Of the figures: prices of different days are not compared. None counts as the same time as any other."""

    @property
    def key(self) -> str:
        return f"{self.source}:{self.source_asset_id}"

    @property
    def reading(self) -> Reading:
        return read(self.source_asset_id, self.symbol, self.name)


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's word on two listing keys. It wins over every rule."""

    a: str
    b: str
    same: bool


@dataclass(frozen=True, slots=True)
class CuratedFact:
    """Two listing keys known to be one coin though their names do not show it, and why."""

    a: str
    b: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: str
    score: float
    method: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Two listings that stay apart until a person has looked."""

    a: str
    b: str
    score: float
    reasons: tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class _Pair:
    a: Listing
    b: Listing
    verdict: Verdict


def _load_curated(path: Path) -> tuple[CuratedFact, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(CuratedFact(row["a"], row["b"], row["why"]) for row in csv.DictReader(file))


CURATED = _load_curated(Path(__file__).with_name("curated_identity.csv"))


def asset_id(listings: Iterable[Listing]) -> str:
    """The slug of the asset that holds these: its anchor's id, bare where the anchor's source ranks first."""
    anchor = min(listings, key=_precedence)
    return anchor.source_asset_id if anchor.identity_rank == 1 else anchor.key


def _precedence(listing: Listing) -> tuple[int, str, str]:
    return listing.identity_rank, listing.source, listing.source_asset_id


# --- which listings are compared ----------------------------------------------------------------------------------


def blocking_keys(listing: Listing, curated: Iterable[CuratedFact] = CURATED) -> frozenset[str]:
    """Listings that share none of these are never compared, but for a decision. `listing:<key>` is one of them."""
    return _keys(listing, _facts(curated))


_NO_FACTS: frozenset[str] = frozenset()


def _facts(curated: Iterable[CuratedFact]) -> dict[str, set[str]]:
    facts: dict[str, set[str]] = defaultdict(set)
    for fact in curated:
        name = "fact:" + "=".join(sorted((fact.a, fact.b)))
        facts[fact.a].add(name)
        facts[fact.b].add(name)
    return facts


def _keys(listing: Listing, facts: Mapping[str, set[str]]) -> frozenset[str]:
    reading = listing.reading
    keys = {"listing:" + listing.key, *facts.get(listing.key, ())}
    keys.update("name:" + text for text in (reading.compact, *reading.slugs) if text)
    if reading.symbol:
        keys.add("symbol:" + reading.symbol)
    keys.update("contract:" + contract for contract in listing.contracts)
    return frozenset(keys)


# --- two listings -------------------------------------------------------------------------------------------------


def verdict(
    a: Listing, b: Listing, decisions: Iterable[Decision] = (), curated: Iterable[CuratedFact] = CURATED
) -> Verdict:
    """What the two alone say. A rival may still spoil it: that is for `resolve`."""
    found = _verdict(a, b, _decided(decisions), _facts(curated))
    return found or Verdict(DIFFERENT, 0.0, "nothing in common", ())


def _decided(decisions: Iterable[Decision]) -> dict[frozenset[str], bool]:
    """Of two words on one pair "different" wins: what is apart is joined more easily than the other way round."""
    decided: dict[frozenset[str], bool] = {}
    for decision in decisions:
        pair = frozenset((decision.a, decision.b))
        decided[pair] = decided.get(pair, True) and decision.same
    return decided


def _verdict(
    a: Listing, b: Listing, decided: Mapping[frozenset[str], bool], facts: Mapping[str, set[str]]
) -> Verdict | None:
    """None: nothing worth a person's look connects the two."""
    if decided and (same := decided.get(frozenset((a.key, b.key)))) is not None:
        return Verdict(SAME, 1.0, "decision", ("a person decided it",)) if same else None
    if a.source == b.source:
        return None
    if a.contracts and b.contracts and (shared := set(a.contracts) & set(b.contracts)):
        return Verdict(SAME, 0.98, "contract", (f"contract {min(shared)}",))
    if facts and not facts.get(a.key, _NO_FACTS).isdisjoint(facts.get(b.key, _NO_FACTS)):
        return Verdict(SAME, 0.96, "curated", ("a curated fact",))
    return _by_likeness(a, b)


def _by_likeness(a: Listing, b: Listing) -> Verdict | None:
    ours, theirs = a.reading, b.reading
    texts = compare_texts(ours, theirs)
    if texts is None:
        return None
    figures = compare(a, b)
    reasons = (texts.method, *figures.reasons)
    clash = _clashing_chain(a, b)
    if clash:
        reasons += (f"other contracts on {clash}",)
    if clash or figures.against:
        return Verdict(DOUBTFUL, round(texts.score - 0.3, 4), texts.method, reasons) if texts.stands else None
    if texts is SYMBOL_ONLY and not (figures.price or figures.size):
        return None
    if texts.stands:
        score = texts.score + _preference(a, b, ours, theirs, figures)
        return Verdict(SAME, round(score, 4), texts.method, reasons)
    lifted = texts.lifted_by(figures)
    score = texts.score + 0.03 * (figures.price + figures.size) + 0.01 * likeness(ours, theirs) + 0.1 * lifted
    return Verdict(SAME if lifted else DOUBTFUL, round(score, 4), texts.method, reasons)


def _preference(a: Listing, b: Listing, ours: Reading, theirs: Reading, figures: Comparison) -> float:
    """What decides between namesakes; each weight is more than all below it together, so the first difference does."""
    return (
        0.03 * (figures.price + figures.size)
        + 0.01 * (_alive(a) + _alive(b))
        + 0.001 * (_prominence(a) + _prominence(b))
        + 0.0004 * (ours.spelled == theirs.spelled)
        + 0.0002 * (ours.compact == theirs.compact)
        + 0.0001 * (not ours.slugs.isdisjoint(theirs.slugs))
    )


def _alive(listing: Listing) -> bool:
    """A source keeps no figures of a coin it has given up: of two namesakes the living one is meant."""
    return not (listing.price_usd is listing.market_cap is listing.rank is None)


def _prominence(listing: Listing) -> int:
    """0 to 4: of leading coins and their namesakes far down the list the leading one is meant."""
    return max(0, 5 - len(str(listing.rank))) if listing.rank else 0


def _clashing_chain(a: Listing, b: Listing) -> str:
    """A chain on which both have contracts, and not the same; empty if there is none."""
    if not a.contracts or not b.contracts:
        return ""
    chains = {contract.partition(":")[0] for contract in a.contracts}
    return min(chains & {contract.partition(":")[0] for contract in b.contracts}, default="")


# --- all of them --------------------------------------------------------------------------------------------------


def resolve(
    listings: Iterable[Listing], decisions: Iterable[Decision] = (), curated: Iterable[CuratedFact] = CURATED
) -> Resolution:
    """Every listing in exactly one asset, whatever the order of the arguments' items."""
    known = {listing.key: listing for listing in listings}
    decided = _decided(decisions)
    links, doubts = _mutual_best(_plausible_pairs(known, decided, _facts(curated)))
    assets, refused = _gather(known, links, decided)
    groups, reasons = [], {}
    for members in {id(members): members for members in assets.values()}.values():
        group = sorted(members, key=lambda key: _precedence(known[key]))
        groups.append(tuple(group))
        reasons[group[0]] = Belonging("anchor", 1.0, ())
    for link in sorted(links, key=_link_order, reverse=True):  # so that the strongest link has the last word
        if assets[link.a.key] is assets[link.b.key]:
            later = max(link.a, link.b, key=_precedence)
            reasons[later.key] = Belonging(link.verdict.method, link.verdict.score, link.verdict.reasons)
    apart = {(d.a, d.b): d for d in (*doubts, *refused) if assets[d.a] is not assets[d.b]}
    return Resolution(tuple(sorted(groups)), tuple(sorted(apart.values(), key=lambda d: (-d.score, d.a, d.b))), reasons)


def _plausible_pairs(
    known: Mapping[str, Listing], decided: Mapping[frozenset[str], bool], facts: Mapping[str, set[str]]
) -> Iterator[_Pair]:
    listings = list(known.values())
    blocks: dict[str, list[int]] = defaultdict(list)
    for number, listing in enumerate(listings):
        for key in _keys(listing, facts):
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
    numbers = {key: number for number, key in enumerate(known)} if decided else {}
    for pair in decided:
        if len(pair) == 2 and pair <= numbers.keys():
            i, j = sorted(numbers[key] for key in pair)
            candidates.add(i * count + j)
    for candidate in candidates:
        i, j = divmod(candidate, count)
        if found := _verdict(listings[i], listings[j], decided, facts):
            yield _Pair(listings[i], listings[j], found)


def _mutual_best(pairs: Iterable[_Pair]) -> tuple[list[_Pair], list[Doubtful]]:
    """The pairs in which each is the other's single best partner of that source, and those that a person should see.

    Best first: a listing that found its partner is nobody's rival further down. Two equally good ones take each other
    out, and what they contended for is given to no third.
    """
    links, doubts = [], []
    closed: set[tuple[str, str]] = set()
    for _, tier in groupby(sorted(pairs, key=lambda pair: -pair.verdict.score), key=lambda pair: pair.verdict.score):
        free = [pair for pair in tier if pair.verdict.method == "decision" or closed.isdisjoint(_slots(pair))]
        wanted = Counter(slot for pair in free for slot in _slots(pair))
        for pair in free:
            found = pair.verdict
            if found.outcome == DOUBTFUL:
                doubts.append(_doubt(pair))
            elif found.method == "decision" or all(wanted[slot] == 1 for slot in _slots(pair)):
                links.append(pair)
            else:
                doubts.append(_doubt(pair, "another is as good"))
        closed.update(slot for pair in free if pair.verdict.outcome == SAME for slot in _slots(pair))
    return links, doubts


def _slots(pair: _Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    """What a link takes: the one's place for a partner in the other's source, and the reverse."""
    return (pair.a.key, pair.b.source), (pair.b.key, pair.a.source)


def _doubt(pair: _Pair, *reasons: str) -> Doubtful:
    a, b = sorted((pair.a, pair.b), key=_precedence)
    return Doubtful(a.key, b.key, pair.verdict.score, (*pair.verdict.reasons, *reasons))


def _link_order(pair: _Pair) -> tuple[float, tuple[int, str, str], tuple[int, str, str]]:
    first, second = sorted((_precedence(pair.a), _precedence(pair.b)))
    return -pair.verdict.score, first, second


def _gather(
    known: Mapping[str, Listing], links: Iterable[_Pair], decided: Mapping[frozenset[str], bool]
) -> tuple[dict[str, set[str]], list[Doubtful]]:
    """Listing key -> the members of its asset; and the links refused, since an asset has one listing of a source."""
    assets = {key: {key} for key in known}
    refused = []
    for link in sorted(links, key=_link_order):
        ours, theirs = assets[link.a.key], assets[link.b.key]
        if ours is theirs:
            continue
        if any(decided.get(frozenset((a, b))) is False for a in ours for b in theirs if decided):
            refused.append(_doubt(link, "a person keeps them apart"))
        elif link.verdict.method != "decision" and (
            both := {known[key].source for key in ours} & {known[key].source for key in theirs}
        ):
            refused.append(_doubt(link, f"both assets have a listing of {min(both)}"))
        else:
            ours |= theirs
            for key in theirs:
                assets[key] = ours
    return assets, refused


# --- only some of them --------------------------------------------------------------------------------------------


def neighbourhood(
    seeds: Iterable[Listing],
    fetch: Callable[[frozenset[str]], Iterable[Listing]],
    former: Iterable[Listing] = (),
    decisions: Iterable[Decision] = (),
    curated: Iterable[CuratedFact] = CURATED,
) -> tuple[Listing, ...]:
    """All listings whose asset can depend on the seeds: `resolve` over these decides them as over everything.

    Seeds are new and renamed listings, and both sides of a decision taken or undone; `former` holds what renamed or
    removed listings were before. `fetch` returns the known listings that have one of the given blocking keys; it is
    called once per step along plausible pairs, a handful of times.
    """
    decided, facts = _decided(decisions), _facts(curated)
    decided_with: dict[str, set[str]] = defaultdict(set)
    for pair in decided:
        for key in pair:
            decided_with[key] |= {"listing:" + other for other in pair - {key}}
    known = {listing.key: listing for listing in seeds}
    inside = dict(known)
    frontier = [*known.values(), *former]
    blocks: dict[str, dict[str, Listing]] = defaultdict(dict)
    asked: set[str] = set()

    def file(listing: Listing) -> None:
        for key in _keys(listing, facts):
            blocks[key][listing.key] = listing

    for listing in known.values():
        file(listing)
    while frontier:
        keys_of = [(listing, _keys(listing, facts) | decided_with[listing.key]) for listing in frontier]
        wanted = frozenset().union(*(keys for _, keys in keys_of)) - asked
        asked |= wanted
        for listing in fetch(wanted):
            if listing.key not in known:
                known[listing.key] = listing
                file(listing)
        frontier = []
        for listing, keys in keys_of:
            for key in keys:
                for other in blocks.get(key, {}).values():
                    if other.key not in inside and _verdict(listing, other, decided, facts):
                        inside[other.key] = other
                        frontier.append(other)
    return tuple(inside.values())
