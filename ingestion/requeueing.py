"""A second chance for what could not be read: rejected records and failed pages are read again, or given up.

A rejected record is read again with its whole page, which is a replay: an older word never overwrites a newer one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

from django.db.models import QuerySet
from django.db.models.functions import Now

from ingestion import replaying
from ingestion.models import RawPayload, Reject


@dataclass(slots=True)
class ReadAgain:
    """What came of it so far."""

    pages: int
    """How many there are."""
    done: int = 0
    readable: int = 0
    """Rejects that are closed now: they could be read."""
    failed: int = 0
    """Pages that can't be read as a whole."""


def pages_of(rejects: QuerySet[Reject]) -> QuerySet[RawPayload]:
    """The pages that hold these rejects, in the order in which they came."""
    ids = rejects.order_by().values("payload_id").distinct()
    return RawPayload.objects.filter(pk__in=ids).select_related("source", "body").order_by("pk")


def read_again(pages: QuerySet[RawPayload], within: float | None = None) -> Iterator[ReadAgain]:
    """Pages that were normalized are normalized again; stops after `within` seconds, at least one page further."""
    until = None if within is None else monotonic() + within
    ids = list(pages.values_list("pk", flat=True))
    open_rejects = Reject.objects.filter(payload__in=ids, state=Reject.State.OPEN)
    so_far = ReadAgain(len(ids))
    before = open_rejects.count()
    for replayed in replaying.replay(pages.iterator(chunk_size=20)):
        so_far.done, so_far.failed = replayed.pages, replayed.failed
        so_far.readable = before - open_rejects.count()
        yield so_far
        if until is not None and monotonic() > until:
            return


def discard(rejects: QuerySet[Reject]) -> int:
    """The open ones among them are given up: kept with their reason, and no longer open. How many."""
    return rejects.filter(state=Reject.State.OPEN).update(state=Reject.State.DISCARDED, closed_at=Now())
