"""Fetch a page, store a page: the half of ingestion that talks to the sources. `ingestion.normalizing` is the other.

A page is stored as received, with the checkpoint that covers it, in one transaction; normalizing it, with everything it
changes, is another. Both may be repeated with the same result. No network inside a transaction, no message before the
commit. Whoever writes for a run must hold its lease: the token is checked in the write itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from hashlib import sha256

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from psycopg2.extras import Json

from assets import prepared
from ingestion.errors import Malformed
from ingestion.finish import CANCELLED
from ingestion.lease import Lease, LeaseLost, held
from ingestion.models import Checkpoint, RawPayload, Run
from ingestion.parsing import as_text
from ingestion.registry import configured
from ingestion.source import Gone, Page, Source

log = logging.getLogger(__name__)

#: Called with the id of each stored page after its commit: sends it to a worker, or normalizes it on the spot.
OnPage = Callable[[int], None]


def fetch(run: Run, lease: Lease, on_page: OnPage) -> None:
    """The rest of the run's sweep is stored, page by page. Raises SourceError; what was stored before stays."""
    if run.whole:
        # Whoever stored its last page died before saying so; from the checkpoint it would all be fetched once more.
        return
    config = configured(run.source.slug)
    checkpoint = begin_sweep(run, lease)
    begun_at = checkpoint.cursor
    # The word of whoever started the run counts in the worker, too.
    limit = run.fail_after or settings.FAIL_AFTER_N_RECORDS
    # What a worker that died had stored counts as well.
    stored = run.payloads.aggregate(records=Sum("records", default=0))["records"]
    stop_at(limit, stored)
    options = replace(config.options, ends_at=limit - stored if limit else None)
    for page in config.source.fetch(config.http(run.source), begun_at, options):
        if isinstance(page, Gone):
            give_up(run, lease, page)
            begun_at = page.cursor
            continue
        page_id = store_page(run, lease, page)
        stored += page.records
        log.info("page stored", extra={"page": run.pages, "records": page.records, "page_id": page_id})
        on_page(page_id)
        if page.broken:
            raise Malformed(page.broken)
        stop_at(limit, stored)
        if is_cancelled(run):
            raise Cancelled(CANCELLED)
    if not stored and not run.pages:
        nothing_new(run, lease, config.source, begun_at)


class StoppedOnPurpose(Exception):
    """FAIL_AFTER_N_RECORDS was reached."""


def stop_at(limit: int | None, stored: int) -> None:
    """Raises StoppedOnPurpose when so many records are stored."""
    if limit and stored >= limit:
        raise StoppedOnPurpose(f"Stopped after {stored} records, as FAIL_AFTER_N_RECORDS={limit} asks.")


class Cancelled(Exception):
    """Someone asked for the run to stop."""


def is_cancelled(run: Run) -> bool:
    with connection.cursor() as cursor:
        prepared.execute(
            cursor, "SELECT EXISTS (SELECT FROM ingestion_run WHERE id = %s AND cancel_requested)", [run.pk]
        )
        return bool(cursor.fetchone()[0])


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


#: The time of receipt is by PostgreSQL's clock: workers must agree on what waits for how long. The text, which is
#: nearly all that is sent, stands in it once.
STORE = """
WITH held AS MATERIALIZED (
    SELECT id FROM ingestion_run
    WHERE id = %(run)s AND lease_token = %(token)s AND status = 'running' FOR NO KEY UPDATE
), known AS MATERIALIZED (
    -- The lock keeps retention from it until the page holds it.
    SELECT FROM ingestion_rawbody WHERE sha256 = %(sha256)s FOR KEY SHARE
), body AS (
    INSERT INTO ingestion_rawbody (sha256, text, encoding, size)
    SELECT %(sha256)s, %(text)s, %(encoding)s, %(size)s FROM held WHERE %(sent)s
    ON CONFLICT DO NOTHING
), page AS (
    INSERT INTO ingestion_rawpayload (run_id, source_id, sweep, number, cursor, url, status_code, headers, meta,
        body_id, records, received_at, state, error, superseded)
    SELECT %(run)s, %(source)s, %(sweep)s, %(number)s, %(cursor)s, %(url)s, %(status_code)s, %(headers)s, %(meta)s,
        %(sha256)s, %(records)s, now(), %(state)s, %(error)s, %(error)s::text <> ''
    FROM held WHERE %(sent)s OR EXISTS (SELECT FROM known) RETURNING id
), superseded AS (
    -- A file is read from its first row: what an earlier state of it held counts no longer.
    UPDATE ingestion_rawpayload older SET superseded = true FROM page
    WHERE %(reread)s::text IS NOT NULL AND older.source_id = %(source)s AND older.sweep = %(sweep)s
      AND older.meta ->> 'file' = %(reread)s
), moved AS (
    UPDATE ingestion_checkpoint SET cursor = %(next)s, in_sweep = %(in_sweep)s, sweep = %(sweep)s, page_id = page.id,
        run_id = %(run)s, updated_at = now()
    FROM page WHERE source_id = %(source)s AND %(error)s = ''
), counted AS (
    UPDATE ingestion_run run SET pages = pages + 1, strikes = 0, whole = %(whole)s FROM page WHERE run.id = %(run)s
)
SELECT (SELECT id FROM page), EXISTS (SELECT FROM held)
"""


#: Whoever normalizes a page has it locked, and writes the run in the end: who marks pages holds them before the run.
READ_BEFORE = """
SELECT FROM ingestion_rawpayload WHERE source_id = %(source)s AND sweep = %(sweep)s AND meta ->> 'file' = ANY(%(files)s)
ORDER BY id FOR NO KEY UPDATE
"""


def store_page(run: Run, lease: Lease, page: Page) -> int:
    """The page is stored as received and the checkpoint stands after it, in one transaction. Raises LeaseLost."""
    digest = sha256(page.body).digest()
    whole = page.cursor is None and not page.broken
    assert run.sweep is not None, "begin_sweep comes first"
    reread = page.meta["file"] if page.meta.get("first_row") == 1 else None
    values = {
        "run": run.pk,
        "token": lease.token,
        "sha256": digest,
        "text": None,
        "encoding": None,
        "sent": False,
        "size": len(page.body),
        "records": page.records,
        "source": run.source_id,
        "sweep": run.sweep,
        "number": run.pages + 1,
        "cursor": page.cursor,
        "url": page.url[:2000],
        "status_code": page.status_code,
        "headers": Json(dict(page.headers)),
        "meta": Json(dict(page.meta)),
        "state": RawPayload.State.FAILED if page.broken else RawPayload.State.STORED,
        "error": page.broken,
        "next": page.final_cursor if whole else page.cursor,
        "in_sweep": not whole,
        "whole": whole,
        "reread": reread,
    }
    with transaction.atomic() if reread else nullcontext(), connection.cursor() as cursor:
        # In a transaction of several statements nothing could be asked anew, were what is prepared gone.
        execute = cursor.execute if reread else partial(prepared.execute, cursor)
        if reread:
            cursor.execute(READ_BEFORE, {"source": run.source_id, "sweep": run.sweep, "files": [reread]})
        # A body that is there already isn't sent again.
        execute(STORE, values)
        page_id, holding = cursor.fetchone()
        if holding and page_id is None:
            values["text"], values["encoding"] = as_text(page.body, page.encoding)
            values["sent"] = True
            execute(STORE, values)
            page_id, _ = cursor.fetchone()
    if page_id is None:
        raise LeaseLost(f"Run {run.pk} is another worker's by now.")
    run.pages += 1
    return page_id


def give_up(run: Run, lease: Lease, gone: Gone) -> None:
    """What the pages of these files held counts no longer, and the checkpoint stands without them."""
    assert run.sweep is not None, "begin_sweep comes first"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(READ_BEFORE, {"source": run.source_id, "sweep": run.sweep, "files": list(gone.files)})
        held(run, lease)
        pages = RawPayload.objects.filter(source=run.source, sweep=run.sweep, meta__file__in=gone.files)
        pages.update(superseded=True)
        Checkpoint.objects.filter(source=run.source).update(cursor=gone.cursor, updated_at=Now())


def nothing_new(run: Run, lease: Lease, source: Source, cursor: str | None) -> None:
    """The source goes on from its last end and there was nothing behind it: all that it holds is unchanged."""
    rows = source.rows_behind(cursor) if source.rows_behind else 0
    with transaction.atomic():
        held(run, lease)
        Run.objects.filter(pk=run.pk).update(processed=rows, unchanged=rows, whole=True)
