"""Fetch a page, normalize a page: every transaction boundary of ingestion is in this file.

A page is stored as received, with the checkpoint that covers it, in one transaction; normalizing it, with everything it
changes, is another. Both may be repeated with the same result. No network inside a transaction, no message before the
commit. Whoever writes for a run must hold its lease: the token is checked in the write itself.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256
from math import gcd

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from assets import store
from assets.records import AssetRecord
from ingestion import drift
from ingestion.errors import Malformed
from ingestion.finish import finish_if_done
from ingestion.lease import Lease, held
from ingestion.models import Checkpoint, RawBody, RawPayload, Reject, Run, Sighting
from ingestion.registry import configured
from ingestion.source import Item, Page, PageFacts, Source
from ingestion.sources import BY_SLUG

log = logging.getLogger(__name__)

#: Called with the id of each stored page after its commit: sends it to a worker, or normalizes it on the spot.
OnPage = Callable[[int], None]


# ------------------------------------------------------------------------------------------------------------- fetch


def fetch(run: Run, lease: Lease, on_page: OnPage) -> None:
    """The rest of the run's sweep is stored, page by page. Raises SourceError; what was stored before stays."""
    config = configured(run.source.slug)
    checkpoint = begin_sweep(run, lease)
    begun_at = checkpoint.cursor
    # The word of whoever started the run counts in the worker, too.
    limit = run.fail_after or settings.FAIL_AFTER_N_RECORDS
    options = replace(config.options, batch_size=exact_batch(config.options.batch_size, limit))
    stored = 0
    for page in config.source.fetch(config.http(run.source), begun_at, options):
        payload = store_page(run, lease, page)
        stored += page.records
        log.info("page stored", extra={"page": payload.number, "records": page.records, "page_id": payload.pk})
        on_page(payload.pk)
        if page.broken:
            raise Malformed(page.broken)
        if limit and stored >= limit:
            raise StoppedOnPurpose(f"Stopped after {stored} records, as FAIL_AFTER_N_RECORDS={limit} asks.")
        if Run.objects.filter(pk=run.pk, cancel_requested=True).exists():
            raise Cancelled("Cancelled by a person.")
    if not stored and not run.pages:
        nothing_new(run, lease, config.source, begun_at)


class StoppedOnPurpose(Exception):
    """FAIL_AFTER_N_RECORDS was reached."""


class Cancelled(Exception):
    """Someone asked for the run to stop."""


def exact_batch(batch_size: int, limit: int | None) -> int:
    """A batch size at most as large, of which the limit is a multiple, so that a page ends at that record."""
    if not limit:
        return batch_size
    return limit if limit <= batch_size else gcd(limit, batch_size)


def begin_sweep(run: Run, lease: Lease) -> Checkpoint:
    """Where the run goes on: in the sweep under way, or at the beginning of a new one."""
    with transaction.atomic():
        held(run, lease)
        checkpoint = Checkpoint.objects.select_for_update().get(source=run.source)
        if run.sweep is None:
            if run.full:
                checkpoint.cursor, checkpoint.in_sweep = None, False
            if not checkpoint.in_sweep:
                # A source that goes on from its end (a file that grew) is still in the sweep that it began.
                checkpoint.sweep += checkpoint.cursor is None
                checkpoint.in_sweep = checkpoint.cursor is None
            checkpoint.save(update_fields=["cursor", "in_sweep", "sweep"])
            run.sweep = checkpoint.sweep
            run.save(update_fields=["sweep"])
    return checkpoint


def store_page(run: Run, lease: Lease, page: Page) -> RawPayload:
    """The page is stored as received and the checkpoint stands after it, in one transaction."""
    text, encoding = as_text(page.body, page.encoding)
    digest = sha256(page.body).digest()
    whole = page.cursor is None and not page.broken
    assert run.sweep is not None, "begin_sweep comes first"
    with transaction.atomic():
        held(run, lease)
        if page.meta.get("first_row") == 1:
            # A file is read from its first row: what an earlier state of it held counts no longer.
            RawPayload.objects.filter(source=run.source, sweep=run.sweep, meta__file=page.meta["file"]).update(
                superseded=True
            )
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO ingestion_rawbody (sha256, text, encoding, size) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [digest, text, encoding, len(page.body)],
            )
        run.pages += 1
        payload = RawPayload.objects.create(
            run=run,
            source=run.source,
            sweep=run.sweep,
            number=run.pages,
            cursor=page.cursor,
            url=page.url[:2000],
            status_code=page.status_code,
            headers=dict(page.headers),
            meta=dict(page.meta),
            body_id=digest,
            # By PostgreSQL's clock: workers with clocks of their own must agree on what waits for how long.
            received_at=Now(),
            state=RawPayload.State.FAILED if page.broken else RawPayload.State.STORED,
            error=page.broken,
        )
        if not page.broken:
            Checkpoint.objects.filter(source=run.source).update(
                cursor=page.final_cursor if whole else page.cursor,
                in_sweep=not whole,
                sweep=run.sweep,
                page_id=payload.pk,
                run=run,
                updated_at=Now(),
            )
        Run.objects.filter(pk=run.pk).update(pages=F("pages") + 1, strikes=0, whole=whole)
    return payload


def nothing_new(run: Run, lease: Lease, source: Source, cursor: str | None) -> None:
    """The source goes on from its last end and there was nothing behind it: all that it holds is unchanged."""
    rows = source.rows_behind(cursor) if source.rows_behind else 0
    with transaction.atomic():
        held(run, lease)
        Run.objects.filter(pk=run.pk).update(processed=rows, unchanged=rows, whole=True)


def as_text(body: bytes, encoding: str) -> tuple[str, str]:
    """(text, codec) with text.encode(codec) == body; base64 where the body is no text that PostgreSQL can hold."""
    try:
        text = body.decode(encoding)
        if "\0" not in text and text.encode(encoding) == body:
            return text, encoding
    except (UnicodeError, LookupError):
        pass
    return base64.b64encode(body).decode(), "base64"


def as_bytes(body: RawBody) -> bytes:
    """The body as received."""
    return base64.b64decode(body.text) if body.encoding == "base64" else body.text.encode(body.encoding)


# --------------------------------------------------------------------------------------------------------- normalize


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that can't be read."""

    position: int
    field: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a page holds: records with their positions, and what can't be read."""

    records: list[tuple[int, AssetRecord]]
    rejects: list[Rejected]
    shape: drift.Shape


def normalize(page_id: int) -> bool:
    """The page's records are quotes and price points, its counts are in its run. False when there was nothing to do.

    A page that kills its worker is begun ETL_RETRY_ATTEMPTS times, then set aside as failed.
    """
    payload = begin_attempt(page_id)
    if payload is None:
        return False
    parsed: Parsed | None = None
    try:
        parsed = parse(payload)
        store.ensure_partitions(record.observed_at for _, record in parsed.records)
        done = commit_page(payload, parsed)
    except Malformed as error:
        done = fail_page(page_id, str(error))
    except (OperationalError, InterfaceError):
        # The database's fault, not the page's: the attempt does not count, and whoever called tries again.
        RawPayload.objects.filter(pk=page_id, attempts__gt=0).update(attempts=F("attempts") - 1)
        raise
    except Exception as error:
        # Our own fault: waiting would not mend it. The page is kept, and goes in by `requeue` once it is mended.
        fail_page(page_id, f"A fault of cryptoetl itself: {type(error).__name__}: {error}")
        finish_if_done(payload.run_id)
        raise
    finish_if_done(payload.run_id)
    return done


def begin_attempt(page_id: int) -> RawPayload | None:
    """The page, its attempt counted and committed before it can do harm; None when it is done or set aside."""
    begun = RawPayload.objects.filter(pk=page_id, state=RawPayload.State.STORED).update(attempts=F("attempts") + 1)
    if not begun:
        return None
    payload = RawPayload.objects.select_related("source", "body").get(pk=page_id)
    if payload.attempts > max(settings.ETL_RETRY_ATTEMPTS, 1):
        fail_page(page_id, f"Set aside: {payload.attempts - 1} attempts to read it ended with the death of the worker.")
        finish_if_done(payload.run_id)
        return None
    return payload


def parse(payload: RawPayload) -> Parsed:
    """Pure but for reading the body. Raises Malformed when the page as a whole can't be read."""
    source = BY_SLUG[payload.source.slug]
    facts = PageFacts(payload.received_at, payload.meta)
    body = as_bytes(payload.body)
    encoding = "utf-8" if payload.body.encoding == "base64" else payload.body.encoding
    records: list[tuple[int, AssetRecord]] = []
    rejects: list[Rejected] = []
    for item in source.split(body, encoding, facts):
        try:
            records.append((item.position, read(source, item)))
        except Malformed as error:
            rejects.append(Rejected(item.position, error.field, str(error), item.text))
    return Parsed(records, rejects, drift.shape_of(source, body, payload.meta))


def read(source: Source, item: Item) -> AssetRecord:
    if isinstance(item.data, Malformed):
        raise item.data
    return source.parse(item)


def commit_page(payload: RawPayload, parsed: Parsed) -> bool:
    """Everything that the page changes, in one transaction; False when another worker has it or had it."""
    with transaction.atomic():
        locked = (
            RawPayload.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk=payload.pk, state=RawPayload.State.STORED)
            .exists()
        )
        if not locked:
            return False
        merged = store.merge(payload.source, parsed.records, payload.pk)
        keep_rejects(payload, parsed.rejects)
        Sighting.objects.update_or_create(payload=payload, defaults={"listing_ids": list(merged.listing_ids)})
        last_id = parsed.records[-1][1].source_asset_id if parsed.records else ""
        counts = {
            "inserted": merged.inserted,
            "updated": merged.updated,
            "unchanged": merged.unchanged,
            "rejected": len(parsed.rejects),
        }
        RawPayload.objects.filter(pk=payload.pk).update(
            state=RawPayload.State.NORMALIZED, normalized_at=Now(), error="", last_id=last_id, **counts
        )
        Run.objects.filter(pk=payload.run_id).update(
            processed=F("processed") + sum(counts.values()),
            **{name: F(name) + count for name, count in counts.items()},
        )
        drift.watch(payload, BY_SLUG[payload.source.slug], parsed.shape)
    return True


def fail_page(page_id: int, reason: str) -> bool:
    log.error("page set aside", extra={"page_id": page_id, "reason": reason})
    return bool(
        RawPayload.objects.filter(pk=page_id, state=RawPayload.State.STORED).update(
            state=RawPayload.State.FAILED, error=reason
        )
    )


def keep_rejects(payload: RawPayload, rejects: list[Rejected]) -> None:
    """Every reject is kept as received with its reason, once, however often it comes."""
    if not rejects:
        return
    Reject.objects.bulk_create(
        [
            Reject(
                source_id=payload.source_id,
                run_id=payload.run_id,
                payload=payload,
                position=reject.position,
                field=reject.field,
                reason=clean(reject.reason),
                raw=clean(reject.raw[:100_000]),
                fingerprint=fingerprint(reject),
            )
            for reject in {fingerprint(reject): reject for reject in rejects}.values()
        ],
        batch_size=1000,
        ignore_conflicts=True,
    )


def fingerprint(reject: Rejected) -> bytes:
    return blake2b(f"{reject.reason}\0{reject.raw}".encode(errors="replace"), digest_size=16).digest()


def clean(text: str) -> str:
    """What PostgreSQL can hold of a text: NUL bytes shown as such."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode()


# ------------------------------------------------------------------------------------------------------------ replay


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
            store.ensure_partitions(record.observed_at for _, record in parsed.records)
            with transaction.atomic():
                merged = store.merge(payload.source, parsed.records, payload.pk)
                close_rejects(payload, parsed)
                keep_rejects(payload, parsed.rejects)
                Sighting.objects.update_or_create(payload=payload, defaults={"listing_ids": list(merged.listing_ids)})
                if dry_run:
                    transaction.set_rollback(True)
            done.inserted += merged.inserted
            done.updated += merged.updated
            done.unchanged += merged.unchanged
            done.rejected += len(parsed.rejects)
        except Malformed:
            done.failed += 1
        done.pages += 1
        yield done


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
