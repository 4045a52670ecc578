"""What two listings alone say of being one coin: evidence in order of strength, what speaks against, and a verdict.

The kinds of likeness by text stand in `assets.likeness`, how figures are weighed in `assets.figures`; `assets.identity`
puts the verdicts on all pairs together. Nothing here knows of any third listing.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from assets.figures import RANK_TELLS, Comparison, compare
from assets.likeness import LISTED_AS, Likeness, compare_texts
from assets.names import Reading, likeness

SAME, DOUBTFUL, DIFFERENT = "same", "doubtful", "different"


@dataclass(slots=True, unsafe_hash=True)  # frozen, it would take four times as long to make, by the ten thousand
class Listing:
    """The facts of one source's entry that identity may look at. None: the source did not say. Nobody changes one."""

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
    key: str = field(init=False, repr=False, compare=False)
    """`source:source_asset_id`, asked for a million times where lists meet."""
    _reading: Reading | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.key = f"{self.source}:{self.source_asset_id}"

    @property
    def reading(self) -> Reading:
        """Its texts taken apart: once, as every listing meets many others."""
        if self._reading is None:
            self._reading = Reading(self.source_asset_id, self.symbol, self.name)
        return self._reading

    def read_as(self, reading: Reading) -> Listing:
        """Itself; its texts have been taken apart before, and this is what came of it."""
        self._reading = reading
        return self


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


class Verdict(NamedTuple):
    outcome: str
    score: float
    method: str
    reasons: tuple[str, ...]


def _load_curated(path: Path) -> tuple[CuratedFact, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(CuratedFact(row["a"], row["b"], row["why"]) for row in csv.DictReader(file))


CURATED = _load_curated(Path(__file__).with_name("curated_identity.csv"))


def facts_by_key(curated: Iterable[CuratedFact]) -> dict[str, set[str]]:
    """Listing key -> names of the facts that it is in; two listings with one name between them are one coin."""
    facts: dict[str, set[str]] = defaultdict(set)
    for fact in curated:
        name = "fact:" + "=".join(sorted((fact.a, fact.b)))
        facts[fact.a].add(name)
        facts[fact.b].add(name)
    return facts


def verdict(
    a: Listing, b: Listing, decisions: Iterable[Decision] = (), curated: Iterable[CuratedFact] = CURATED
) -> Verdict:
    """What the two alone say. A rival may still spoil it: that is for `resolve`."""
    decided = decided_pairs(decisions)
    return judge(a, b, decided, facts_by_key(curated)) or Verdict(DIFFERENT, 0.0, *_why_apart(a, b, decided))


def _why_apart(a: Listing, b: Listing, decided: Mapping[frozenset[str], bool]) -> tuple[str, tuple[str, ...]]:
    if decided.get(frozenset((a.key, b.key))) is False:
        return "decision", ("a person decided it",)
    if a.source == b.source:
        return "source", ("one source lists them as two",)
    ours, theirs = a.reading, b.reading
    if texts := compare_texts(ours, theirs):
        return texts.method, (texts.method, *compare(a, b).reasons)
    if ours.symbol and ours.symbol == theirs.symbol:
        marks = ", ".join(sorted(ours.parts.marks ^ theirs.parts.marks))
        return "marks", ("same symbol", f"one is marked as another token: {marks}")
    return "nothing in common", ("neither symbol nor name nor id is the same",)


def decided_pairs(decisions: Iterable[Decision]) -> dict[frozenset[str], bool]:
    """Of two words on one pair "different" wins: what is apart is joined more easily than the other way round."""
    decided: dict[frozenset[str], bool] = {}
    for decision in decisions:
        pair = frozenset((decision.a, decision.b))
        decided[pair] = decided.get(pair, True) and decision.same
    return decided


def judge(
    a: Listing, b: Listing, decided: Mapping[frozenset[str], bool], facts: Mapping[str, set[str]]
) -> Verdict | None:
    """None: nothing worth a person's look connects the two."""
    if decided and (same := decided.get(frozenset((a.key, b.key)))) is not None:
        return Verdict(SAME, 1.0, "decision", ("a person decided it",)) if same else None
    if a.source == b.source:
        return None
    if a.contracts and b.contracts and (shared := set(a.contracts) & set(b.contracts)):
        # Where a source lists two coins on one contract, the one whose texts are nearer is meant.
        texts = compare_texts(a.reading, b.reading)
        return Verdict(SAME, round(0.98 + 0.01 * (texts.score if texts else 0), 4), "contract", (min(shared),))
    if facts and (ours := facts.get(a.key)) and not ours.isdisjoint(facts.get(b.key, ())):
        return Verdict(SAME, 0.975, "curated fact", ("listed in curated_identity.csv",))
    return _by_likeness(a, b)


class Judge:
    """`judge` under these decisions and facts; what it has said of a pair it says again without looking."""

    def __init__(self, decisions: Iterable[Decision] = (), curated: Iterable[CuratedFact] = CURATED) -> None:
        self.decided = decided_pairs(decisions)
        self.facts = facts_by_key(curated)
        # By the objects, not by their keys: a renamed listing comes under both its names. It keeps them from being
        # freed, so that no other gets their number.
        self._said: dict[tuple[int, int], tuple[Verdict | None, Listing, Listing]] = {}

    def __call__(self, a: Listing, b: Listing) -> Verdict | None:
        if a.source == b.source and not self.decided:
            return None
        pair = (id(a), id(b)) if id(a) < id(b) else (id(b), id(a))
        said = self._said.get(pair)
        if said is None:
            said = self._said[pair] = judge(a, b, self.decided, self.facts), a, b
        return said[0]


def _by_likeness(a: Listing, b: Listing) -> Verdict | None:
    ours, theirs = a.reading, b.reading
    texts = compare_texts(ours, theirs)
    if texts is None:
        return None
    figures = compare(a, b)
    clash = _clashing_chain(a, b) if a.contracts and b.contracts else ""
    # Beside one name and one price another market cap is another count of the supply.
    apart = clash or (figures.apart_by > texts.bears and not (texts.stands and figures.price))
    if (apart and not texts.stands) or (texts.quiet and not (figures.price or figures.size)):
        return None
    reasons = (texts.method, *figures.reasons)
    if apart:
        against = (f"other contracts on {clash}",) if clash else ()
        return Verdict(DOUBTFUL, round(texts.score - 0.3, 4), texts.method, reasons + against)
    if texts.stands or ((texts.bare or (texts.leading and _leads(a, b))) and not figures.compared):
        score = texts.score + _preference(a, b, texts, figures)
        return Verdict(SAME, round(score, 5), texts.method, reasons)
    lifted = texts.lifted_by(figures) and not figures.rank_apart
    score = texts.score + 0.03 * (figures.price + figures.size) + 0.01 * likeness(ours, theirs) + 0.1 * lifted
    return Verdict(SAME if lifted else DOUBTFUL, round(score, 4), texts.method, reasons)


def _preference(a: Listing, b: Listing, texts: Likeness, figures: Comparison) -> float:
    """What decides between namesakes; each weight is more than all below it together, so the first difference does."""
    ours, theirs = a.reading, b.reading
    if texts is LISTED_AS:  # the id says one thing, the name another: neither is better than the other
        spelled, one_name, one_id = True, True, False
    else:
        spelled, one_name = ours.spelled == theirs.spelled, ours.compact == theirs.compact
        one_id = not ours.slugs.isdisjoint(theirs.slugs)
    return (
        0.03 * (figures.price + figures.size)
        + 0.01 * (alive(a) + alive(b))
        + 0.001 * (_prominence(a) + _prominence(b))
        + 0.0002 * (ours.renamed + theirs.renamed)
        + 0.0001 * (a.symbol.casefold() == b.symbol.casefold())
        + 0.00005 * spelled
        + 0.00002 * one_name
        + 0.00001 * one_id
    )


def alive(listing: Listing) -> bool:
    """A source keeps no figures of a coin it has given up: of two namesakes the living one is meant."""
    return listing.price_usd is not None or listing.market_cap is not None or listing.rank is not None


def _leads(a: Listing, b: Listing) -> bool:
    return any(one.rank and one.rank <= RANK_TELLS for one in (a, b))


def _prominence(listing: Listing) -> int:
    """0 to 4: of leading coins and their namesakes far down the list the leading one is meant."""
    return max(0, 5 - len(str(listing.rank))) if listing.rank else 0


def _clashing_chain(a: Listing, b: Listing) -> str:
    """A chain on which both have contracts, and not the same; empty if there is none."""
    chains = {contract.partition(":")[0] for contract in a.contracts}
    return min(chains & {contract.partition(":")[0] for contract in b.contracts}, default="")
