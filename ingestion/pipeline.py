"""Fetch a page, normalize a page: every transaction boundary of ingestion is in this file.

A page is stored as received, with the checkpoint that covers it, in one transaction; normalizing it, with everything it
changes, is another. Both may be repeated with the same result. No network inside a transaction, no message before the
commit. Whoever writes for a run must hold its lease: the token is checked in the write itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import gcd

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from assets import store
from assets.store import Merged
from ingestion import drift
from ingestion.errors import Malformed
from ingestion.finish import finish_if_done
from ingestion.lease import Lease, held
from ingestion.models import Checkpoint, RawPayload, Reject, Run, Sighting
from ingestion.parsing import Parsed, Rejected, as_text, clean, fingerprint, parse
from ingestion.registry import configured
from ingestion.source import Page, Source
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
            received_at=page.received_at,
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


# --------------------------------------------------------------------------------------------------------- normalize


#: At most so many pages, and bytes, are normalized in one transaction.
PAGES_AT_ONCE = 40
BYTES_AT_ONCE = 8 * 1024 * 1024


def normalize(page_id: int) -> int:
    """The records of the page are quotes and price points, and its counts are in its run. How many pages went in.

    Those of the run that wait behind it go in with it, in one transaction: what a statement costs, it costs once. A
    page that was begun before goes in alone, and one that kills its worker is set aside after ETL_RETRY_ATTEMPTS.
    """
    payloads = begin_attempts(page_id)
    if not payloads:
        return 0
    try:
        done = commit_pages(payloads)
    except (OperationalError, InterfaceError):
        # The database's fault, not the pages': the attempt does not count, and whoever called tries again.
        ids = [payload.pk for payload in payloads]
        RawPayload.objects.filter(pk__in=ids, attempts__gt=0).update(attempts=F("attempts") - 1)
        raise
    except Exception as error:
        if len(payloads) > 1:
            # One of them is the culprit: each by itself from here on.
            return sum(normalize(payload.pk) for payload in payloads)
        # Our own fault: waiting would not mend it. The page is kept, and goes in by `requeue` once it is mended.
        fail_page(page_id, own_fault(error))
        finish_if_done(payloads[0].run_id)
        raise
    finish_if_done(payloads[0].run_id)
    return done


def begin_attempts(page_id: int) -> list[RawPayload]:
    """The pages to normalize, their attempts counted and committed before they can do harm; none when it is all done.

    A page that another worker has in hand is locked, and is not taken.
    """
    with connection.cursor() as cursor:
        cursor.execute(BEGIN, {"page": page_id, "pages": PAGES_AT_ONCE, "bytes": BYTES_AT_ONCE})
        begun = [row[0] for row in cursor.fetchall()]
    payloads = list(RawPayload.objects.select_related("source", "body").filter(pk__in=begun).order_by("pk"))
    if len(payloads) == 1 and payloads[0].attempts > max(settings.ETL_RETRY_ATTEMPTS, 1):
        tried = payloads[0].attempts - 1
        fail_page(page_id, f"Set aside: {tried} attempts to read it ended with the death of the worker.")
        finish_if_done(payloads[0].run_id)
        return []
    return payloads


#: Its page, when it waits; with it, when neither was begun before, the pages of its run that follow it.
BEGIN = """
WITH first AS (
    SELECT id, run_id, attempts FROM ingestion_rawpayload WHERE id = %(page)s AND state = 'stored'
), waiting AS (
    SELECT page.id, sum(body.size) OVER (ORDER BY page.id) AS bytes, row_number() OVER (ORDER BY page.id) AS place
    FROM first JOIN ingestion_rawpayload page
      ON page.id = first.id
      OR (page.run_id = first.run_id AND page.id > first.id AND page.attempts = 0 AND first.attempts = 0)
    JOIN ingestion_rawbody body ON body.sha256 = page.body_id
    WHERE page.state = 'stored'
), mine AS (
    SELECT id FROM ingestion_rawpayload
    WHERE id IN (SELECT id FROM waiting WHERE place = 1 OR (place <= %(pages)s AND bytes <= %(bytes)s))
      AND state = 'stored'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ingestion_rawpayload page SET attempts = page.attempts + 1 FROM mine WHERE mine.id = page.id RETURNING page.id
"""


def commit_pages(payloads: Sequence[RawPayload]) -> int:
    """Everything that the pages change, in one transaction; how many went in, without those that another worker has."""
    while True:
        try:
            return commit_pages_once(payloads)
        except store.NoPartition as missing:
            store.make_partitions(missing.months)


def commit_pages_once(payloads: Sequence[RawPayload]) -> int:
    """As `commit_pages`. Raises NoPartition, with nothing written."""
    source = payloads[0].source
    with transaction.atomic():
        mine = set(
            RawPayload.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk__in=[payload.pk for payload in payloads], state=RawPayload.State.STORED)
            .values_list("pk", flat=True)
        )
        parsed, broken = parse_all([payload for payload in payloads if payload.pk in mine])
        store.need_partitions(record.observed_at for page in parsed.values() for _, record in page.records)
        done = [payload for payload in payloads if payload.pk in parsed]
        merged = store.merge_pages(source, {payload.pk: parsed[payload.pk].records for payload in done})
        for payload in done:
            keep_rejects(payload, parsed[payload.pk].rejects)
        record_outcomes(done, parsed, merged)
        drift.watch([(payload, parsed[payload.pk].shape) for payload in done], BY_SLUG[source.slug])
        for page_id, reason in broken.items():
            fail_page(page_id, reason)
    return len(done)


def parse_all(payloads: Sequence[RawPayload]) -> tuple[dict[int, Parsed], dict[int, str]]:
    """What the pages hold, and why some can't be read."""
    parsed: dict[int, Parsed] = {}
    broken: dict[int, str] = {}
    for payload in payloads:
        try:
            parsed[payload.pk] = parse(payload)
        except Malformed as error:
            broken[payload.pk] = str(error)
    return parsed, broken


OUTCOMES = """
WITH outcome AS (
    SELECT * FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::text[])
        AS outcome (id, inserted, updated, unchanged, rejected, last_id)
), pages AS (
    UPDATE ingestion_rawpayload page SET
        state = 'normalized', normalized_at = now(), error = '', last_id = outcome.last_id, inserted = outcome.inserted,
        updated = outcome.updated, unchanged = outcome.unchanged, rejected = outcome.rejected
    FROM outcome WHERE outcome.id = page.id
)
UPDATE ingestion_run run SET
    processed = processed + sums.inserted + sums.updated + sums.unchanged + sums.rejected,
    inserted = run.inserted + sums.inserted, updated = run.updated + sums.updated,
    unchanged = run.unchanged + sums.unchanged, rejected = run.rejected + sums.rejected
FROM (SELECT sum(inserted) AS inserted, sum(updated) AS updated, sum(unchanged) AS unchanged, sum(rejected) AS rejected
      FROM outcome) sums
WHERE run.id = %s
"""


def record_outcomes(payloads: Sequence[RawPayload], parsed: Mapping[int, Parsed], merged: Mapping[int, Merged]) -> None:
    """The pages are done, with their counts and what they held; the counts are in their run as well."""
    if not payloads:
        return
    pages = [(merged[payload.pk], parsed[payload.pk]) for payload in payloads]
    Sighting.objects.bulk_create(
        [Sighting(payload=payload, listing_ids=list(merged[payload.pk].listing_ids)) for payload in payloads],
        update_conflicts=True,
        unique_fields=["payload"],
        update_fields=["listing_ids"],
    )
    with connection.cursor() as cursor:
        cursor.execute(
            OUTCOMES,
            [
                [payload.pk for payload in payloads],
                [page.inserted for page, _ in pages],
                [page.updated for page, _ in pages],
                [page.unchanged for page, _ in pages],
                [len(page.rejects) for _, page in pages],
                [page.records[-1][1].source_asset_id if page.records else "" for _, page in pages],
                payloads[0].run_id,
            ],
        )


def own_fault(error: Exception) -> str:
    """What a run or a page says of a bug of ours."""
    return f"A fault of cryptoetl itself: {type(error).__name__}: {error}"


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
