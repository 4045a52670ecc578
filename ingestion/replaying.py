"""Stored pages normalized again: from the bodies as received, without network, and never over anything newer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from assets import store
from assets.store import Merged
from ingestion import merging, sightings
from ingestion.errors import Malformed
from ingestion.models import RawPayload, Reject
from ingestion.normalizing import keep_rejects, need_partitions
from ingestion.parsing import Parsed, fingerprint, parse


@dataclass(slots=True)
class Replayed:
    """What a replay wrote."""

    pages: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    failed: int = 0


def replay(pages: Iterator[RawPayload], dry_run: bool = False) -> Iterator[Replayed]:
    """Stored pages are normalized again, in the order given; the sum so far after each. A dry run rolls each back."""
    done = Replayed()
    for payload in pages:
        try:
            parsed = parse(payload)
            put_in = partial(put_in_again, payload, parsed, dry_run)
            merged = put_in() if dry_run else store.with_partitions(put_in)
            if merged is None:
                continue
            done.inserted += merged.inserted
            done.updated += merged.updated
            done.unchanged += merged.unchanged
            done.rejected += len(parsed.rejects)
        except Malformed:
            done.failed += 1
        done.pages += 1
        yield done


def put_in_again(payload: RawPayload, parsed: Parsed, dry_run: bool) -> Merged | None:
    """What became of its records; None where retention has removed it meanwhile.

    Raises NoPartition, unless nothing is to be kept.
    """
    with transaction.atomic():
        merging.take_turn(payload.source)
        if not is_kept(payload):
            return None
        records = {payload.pk: parsed.records}
        try:
            need_partitions(payload.source, records)
        except store.NoPartition as missing:
            if not dry_run:
                raise
            store.make_partitions(missing.months)  # for as long as this transaction lasts
        merged = merging.merge(payload.source, records)
        keep_rejects([(payload, parsed.rejects)])
        close_rejects(payload, parsed)
        sightings.keep(sightings.held_by(payload.source, {payload.pk: parsed}, merged))
        if dry_run:
            transaction.set_rollback(True)
    return merged[payload.pk]


def is_kept(payload: RawPayload) -> bool:
    """True, to the end of the transaction, unless retention has removed the page since the list of pages was made."""
    return RawPayload.objects.select_for_update(no_key=True).filter(pk=payload.pk).exists()


def close_rejects(payload: RawPayload, parsed: Parsed) -> None:
    """Rejects of the page that can be read by now are resolved."""
    still = [fingerprint(reject) for reject in parsed.rejects]
    Reject.objects.filter(payload=payload, state=Reject.State.OPEN).exclude(fingerprint__in=still).update(
        state=Reject.State.RESOLVED, closed_at=Now()
    )


def requeue(payload: RawPayload) -> bool:
    """A failed page waits for a worker again, with its attempts forgotten."""
    return bool(
        RawPayload.objects.filter(pk=payload.pk, state=RawPayload.State.FAILED).update(
            state=RawPayload.State.STORED, attempts=0, error=""
        )
    )
