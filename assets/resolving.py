"""Identity decided again: for every listing with today's rule, or for two of them because a person said so.

A person's word is a row, and it wins over every rule: `--full`, a replay and `resolve` meet it again and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from assets import filing, pricing
from assets.identity import Listing as Facts
from assets.identity import resolve
from assets.matching import Neighbours, decided, lock_identities, place_again
from assets.models import Candidate, Decision, Listing
from assets.placement import Stored, planned, write


@dataclass(frozen=True, slots=True)
class Move:
    """A listing that today's rule puts into another asset."""

    listing: str
    symbol: str
    name: str
    before: str
    """The asset's slug."""
    after: str
    method: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What today's rule changes, or would change."""

    listings: int
    assets_before: int
    assets_after: int
    moves: tuple[Move, ...]
    renamed: tuple[tuple[str, str], ...]
    """Slugs of assets that keep some of their listings under another name: before, after."""
    candidates_before: int
    candidates_after: int


def resolve_all(dry_run: bool = False) -> Resolved:
    """Every listing is where today's rule and the decisions put it, and the assets touched are priced again.

    One transaction, in which nobody else decides about identities.
    """
    with transaction.atomic():
        lock_identities(for_long=True)
        neighbours = Neighbours()
        around = neighbours.everything()
        resolution = resolve(around, decisions=decided())
        placement = planned(around, resolution, neighbours.stored)
        stored = neighbours.stored
        moves, renamed = [], set()
        for (group, slug), asset in zip(placement.groups, placement.asset_ids, strict=True):
            for listing in group:
                place = stored[listing.key]
                if place.asset_id != asset:
                    why = resolution.reasons[listing.key]
                    moves.append(
                        Move(listing.key, listing.symbol, listing.name, place.slug, slug, why.method, why.reasons)
                    )
                elif place.slug != slug:
                    renamed.add((place.slug, slug))
        found = Resolved(
            listings=len(around),
            assets_before=len({place.asset_id for place in stored.values()}),
            assets_after=len(resolution.groups),
            moves=tuple(moves),
            renamed=tuple(sorted(renamed)),
            candidates_before=Candidate.objects.count(),
            candidates_after=len(resolution.doubtful),
        )
        if not dry_run:
            rewrite_keys(around, stored)
            pricing.reprice(write(around, [], resolution, stored))
    return found


def rewrite_keys(listings: Sequence[Facts], stored: Mapping[str, Stored]) -> None:
    """Every listing is filed under the keys of today's rule. A rule that did not change writes nothing."""
    before = filing.filed(place.listing_id for place in stored.values())
    filing.file_again(
        [
            (number, before.get(number, ()), filing.keys_of(listing))
            for listing in listings
            for number in [stored[listing.key].listing_id]
        ]
    )


def decide(a: Listing, b: Listing, *, same: bool, by: str, reason: str = "") -> Decision:
    """The two are one asset, or two, from now on; everything that depends on it follows. The word is kept."""
    if a.pk == b.pk:
        raise ValueError("A decision is about two listings.")
    first, second = sorted((a.pk, b.pk))
    with transaction.atomic():
        lock_identities()
        decision, _ = Decision.objects.update_or_create(
            a_id=first,
            b_id=second,
            defaults={"same": same, "reason": reason, "decided_by": by, "decided_at": Now()},
        )
        pricing.reprice(place_again([first, second]))
    return decision


def are_one(listings: Iterable[Listing]) -> bool:
    """Whether they are in one asset now: of words that contradict each other not all can be followed."""
    return Listing.objects.filter(pk__in=[one.pk for one in listings]).values("asset").distinct().count() == 1


def undo(decision: Decision) -> None:
    """The decision is gone, and the rule decides about its listings again."""
    with transaction.atomic():
        lock_identities()
        listings = [decision.a_id, decision.b_id]
        # What had followed from the decision is found along it, so it is looked for while it still stands.
        touched = neighbours_of(listings)
        decision.delete()
        pricing.reprice(place_again(touched))


def neighbours_of(listing_ids: Sequence[int]) -> list[int]:
    """These listings, and all that share an asset with one of them."""
    assets = Listing.objects.filter(pk__in=listing_ids).values("asset_id")
    return sorted(Listing.objects.filter(asset_id__in=assets).values_list("pk", flat=True))
