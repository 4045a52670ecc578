"""Which of two listings' verdicts hold where others want the same partner: each joins the other's single best.

Nothing here is about texts or figures: a pair comes with its verdict. `assets.identity` makes assets of what is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from assets.evidence import SAME, Listing, Verdict, alive

Slot = tuple[str, str]
#: Coins of a better rank lead: of them and their namesakes far down the list they are meant.
LEADING = 1000
#: What no namesake puts in doubt.
SURE = ("decision", "contract", "curated fact")
OUTLIVED = "a leading coin of a name like it may be meant"


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Two listings that stay apart until a person has looked."""

    a: str
    b: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    a: Listing
    b: Listing
    verdict: Verdict


def precedence(listing: Listing) -> tuple[int, str, str]:
    return listing.identity_rank, listing.source, listing.source_asset_id


def mutual_best(
    pairs: Iterable[Pair], decided: Mapping[frozenset[str], bool]
) -> tuple[list[Pair], list[Doubtful], set[Slot]]:
    """The pairs in which each is the other's single best partner of that source; those that a person should see; and
    the places that equally good ones contend for.

    Best first: a listing that found its partner is nobody's rival further down. Two equally good ones take each other
    out, and what they contended for is given to no third. One whose best partner is in doubt takes no weaker one. A
    listing that its source has given up takes nobody whom a leading coin of that source may want.
    """
    one = _merged(decided)
    links, doubts = [], []
    closed: set[Slot] = set()
    in_doubt: set[Slot] = set()
    in_better_doubt: set[Slot] = set()
    contested: set[Slot] = set()
    placed = sorted(((pair, *_slots(pair, one)) for pair in pairs), key=lambda place: -place[0].verdict.score)
    leading, joining = _leading(placed)
    for _, tier in groupby(placed, key=lambda place: place[0].verdict.score):
        free = []
        for pair, ours, theirs in tier:
            if pair.verdict.method == "decision" or not (ours in closed or theirs in closed):
                if _outlived(pair, ours, theirs, joining):
                    doubts.append(doubt(pair, OUTLIVED))
                else:
                    free.append((pair, ours, theirs))
        wanted: dict[Slot, str] = {}  # by whom; empty when by several
        for pair, ours, theirs in free:
            if pair.verdict.outcome == SAME:
                for slot, other in ((ours, theirs[0]), (theirs, ours[0])):
                    wanted[slot] = other if wanted.get(slot, other) == other else ""
        for pair, ours, theirs in free:
            if pair.verdict.outcome != SAME:
                doubts.append(doubt(pair))
                in_doubt |= {ours, theirs}
            elif pair.verdict.method != "decision" and not in_better_doubt.isdisjoint((ours, theirs)):
                doubts.append(doubt(pair, "another may be better"))
            elif _outlived(pair, ours, theirs, leading):
                doubts.append(doubt(pair, OUTLIVED))
                in_doubt |= {ours, theirs}
            elif pair.verdict.method == "decision" or (wanted[ours] and wanted[theirs]):
                links.append(pair)
            else:
                doubts.append(doubt(pair, "another is as good"))
                if not wanted[ours]:
                    contested.add((pair.a.key, pair.b.source))
                if not wanted[theirs]:
                    contested.add((pair.b.key, pair.a.source))
        in_better_doubt |= in_doubt
        closed.update(wanted)
    return links, doubts, contested


def _leading(placed: Iterable[tuple[Pair, Slot, Slot]]) -> tuple[set[Slot], set[Slot]]:
    """The places that a leading coin may want which is joined to nobody else, and those of them where it joins."""
    partners: dict[Slot, set[Slot]] = defaultdict(set)
    wanted: list[tuple[Slot, Slot]] = []
    for pair, ours, theirs in placed:
        if pair.verdict.outcome == SAME:
            partners[ours].add(theirs)
            partners[theirs].add(ours)
        if pair.a.rank and pair.a.rank < LEADING:
            wanted.append((ours, theirs))
        if pair.b.rank and pair.b.rank < LEADING:
            wanted.append((theirs, ours))
    places = [(own, place) for own, place in wanted if partners[own] <= {place}]
    return {place for _, place in places}, {place for own, place in places if partners[own]}


def _outlived(pair: Pair, ours: Slot, theirs: Slot, leading: set[Slot]) -> bool:
    """Whether its source has given the one up, and lists a leading coin that the other may be as well."""
    given_up = (theirs in leading and not alive(pair.a)) or (ours in leading and not alive(pair.b))
    return given_up and pair.verdict.method not in SURE


def _slots(pair: Pair, one: Mapping[str, str]) -> tuple[Slot, Slot]:
    """What a link takes: the one's place for a partner in the other's source, and the reverse."""
    ours, theirs = pair.a.key, pair.b.key
    return (one.get(ours, ours), pair.b.source), (one.get(theirs, theirs), pair.a.source)


def _merged(decided: Mapping[frozenset[str], bool]) -> dict[str, str]:
    """Listings that a person called one are no rivals of each other: key -> the key that stands for all of them."""
    one: dict[str, str] = {}
    for pair in (pair for pair, same in decided.items() if same):
        joined = {one.get(key, key) for key in pair}
        members = pair | {key for key, stands in one.items() if stands in joined}
        one |= dict.fromkeys(members, min(joined))
    return one


def doubt(pair: Pair, *reasons: str) -> Doubtful:
    a, b = sorted((pair.a, pair.b), key=precedence)
    return Doubtful(a.key, b.key, pair.verdict.score, (*pair.verdict.reasons, *reasons))
