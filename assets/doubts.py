"""Pairs in doubt, decided again by the figures that came since: what is the same joins, what is different goes.

What `resolve` would say of them, without a look at all the others. One thing is asked besides: that a price which now
agrees did not lie apart in the days before. The prices of two coins cross now and then, and whoever looks after every
sweep would in time take thousands of such moments for an agreement.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from assets import pricing
from assets.evidence import SAME, Judge, Verdict
from assets.figures import PRICE_AGREES, compare
from assets.identity import Listing
from assets.matching import Neighbours, lock_identities, place_again
from assets.models import Candidate

#: For so long, as far as our own history goes back, two prices must have agreed.
LASTING = timedelta(days=3)

WERE_APART = """
SELECT DISTINCT pair.a, pair.b FROM unnest(%s::bigint[], %s::bigint[]) pair (a, b)
JOIN assets_candle_hour ours ON ours.listing_id = pair.a AND ours.start > now() - %s
JOIN assets_candle_hour theirs ON theirs.listing_id = pair.b AND theirs.start = ours.start
WHERE greatest(ours.close, theirs.close) > %s * least(ours.close, theirs.close)
"""

Ids = tuple[int, int]


def decide_again() -> int:
    """Every pair in doubt is as its figures have it now; how many were judged anew. Commits by itself.

    Most pairs are as they were: these cost a look and no lock.
    """
    changed = changed_pairs()
    if changed:
        with transaction.atomic():
            lock_identities(for_long=True)
            pricing.reprice(place_again({listing_id for pair in changed for listing_id in pair}))
    return len(changed)


def changed_pairs() -> set[Ids]:
    """The pairs in doubt of which the rule says something else than is written down."""
    before = {
        (a, b): (float(score), tuple(reasons))
        for a, b, score, reasons in Candidate.objects.values_list("a_id", "b_id", "score", "reasons")
    }
    if not before:
        return set()
    neighbours = Neighbours()
    listings = neighbours.by_id({listing_id for pair in before for listing_id in pair})
    by_id = {neighbours.stored[listing.key].listing_id: listing for listing in listings}
    judge = Judge(())
    changed, lucky = set(), []
    for ids, (score, reasons) in before.items():
        a, b = by_id.get(ids[0]), by_id.get(ids[1])
        if a is None or b is None:
            continue
        found = judge(a, b)
        # Behind the reasons of the two alone may stand what a third has to do with it.
        if found is None or round(found.score, 3) != score or found.reasons != reasons[: len(found.reasons)]:
            changed.add(ids)
            if found is not None and by_price_alone(a, b, found):
                lucky.append(ids)
    return changed - were_apart(lucky)


def by_price_alone(a: Listing, b: Listing, found: Verdict) -> bool:
    figures = compare(a, b)
    return found.outcome == SAME and figures.price and not figures.size


def were_apart(pairs: Iterable[Ids]) -> set[Ids]:
    """Those of the pairs whose prices did not agree in some hour of the last days."""
    pairs = list(pairs)
    if not pairs:
        return set()
    values: list[Any] = [[a for a, _ in pairs], [b for _, b in pairs], LASTING, PRICE_AGREES]
    with connection.cursor() as cursor:
        cursor.execute(WERE_APART, values)
        return set(cursor.fetchall())
