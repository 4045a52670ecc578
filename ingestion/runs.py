"""Runs begin here, whoever asks: beat, the admin, a command, the API. A run is a row before it is a message."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from assets.models import Source
from ingestion.finish import CANCELLED, finish_if_done
from ingestion.models import Checkpoint, Run


class AlreadyActive(Exception):
    """The source has a run under way: `run` is it."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"{run.source.title} has a run under way (run {run.pk}, {run.status}).")
        self.run = run


def start_run(source: Source, trigger: str, *, full: bool = False) -> Run:
    """A queued run. Raises AlreadyActive: one at a time, by constraint."""
    return start_once(source, trigger, None, full=full)[0]


def start_once(source: Source, trigger: str, request_key: str | None, *, full: bool = False) -> tuple[Run, bool]:
    """A queued run, and whether it is new: a request that comes again has its run already, whatever it asks for now.

    Raises AlreadyActive.
    """
    known = Run.objects.select_related("source")
    if request_key is not None and (before := known.filter(request_key=request_key).first()):
        return before, False
    try:
        with transaction.atomic():
            run = Run.objects.create(
                source=source,
                trigger=trigger,
                full=full,
                request_key=request_key,
                fail_after=settings.FAIL_AFTER_N_RECORDS,
            )
        return run, True
    except IntegrityError:
        active = known.filter(source=source, status__in=Run.ACTIVE).first()
        if active is None or (request_key is not None and active.request_key == request_key):
            # It ended between the two statements, or is this very request, sent twice at a time.
            return start_once(source, trigger, request_key, full=full)
        raise AlreadyActive(active) from None


SLOT = """
INSERT INTO ingestion_run (source_id, trigger, slot, status)
SELECT id, 'schedule', to_timestamp(floor(extract(epoch FROM now()) / interval_seconds) * interval_seconds), 'queued'
FROM assets_source WHERE slug = %s AND enabled
ON CONFLICT DO NOTHING RETURNING id
"""


def start_slot(slug: str) -> Run | None:
    """The run of the current schedule slot, by the database's clock; None when it has one or one is under way."""
    with connection.cursor() as cursor:
        cursor.execute(SLOT, [slug])
        row = cursor.fetchone()
    return Run.objects.get(pk=row[0]) if row else None


#: Begun, and waiting for its next attempt.
WAITING = Q(status=Run.Status.RUNNING, lease_token=None, fetched_at=None)


def cancel(run: Run, at_once: bool = False) -> bool:
    """The run stops after the page it is at; a queued one at once. False when it has ended already.

    One that waits for its next attempt ends with its pages, or `at_once`, where nobody may be there to read them.
    """
    not_begun = Q(status=Run.Status.QUEUED)
    stopped = Run.objects.filter(not_begun | WAITING if at_once else not_begun, pk=run.pk).update(
        status=Run.Status.CANCELLED, finished_at=Now(), error=CANCELLED
    )
    if Run.objects.filter(WAITING, pk=run.pk).update(fetched_at=Now(), outcome=Run.Status.CANCELLED, error=CANCELLED):
        finish_if_done(run.pk)
        return True
    return bool(stopped or Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING).update(cancel_requested=True))


def reset_checkpoint(source: Source) -> None:
    """The next run begins at the beginning, in a sweep of its own. Raises AlreadyActive while a run is under way."""
    with transaction.atomic():
        # Before the look: a run that comes now begins its sweep after the reset.
        Checkpoint.objects.select_for_update().get(source=source)
        active = Run.objects.select_related("source").filter(source=source, status__in=Run.ACTIVE).first()
        if active is not None:
            raise AlreadyActive(active)
        Checkpoint.objects.filter(source=source).update(cursor=None, in_sweep=False, page_id=None, updated_at=Now())


def lasted(run: Run) -> float:
    """Seconds from the run's start to its end, or to now."""
    begun = run.started_at or run.queued_at
    return max(((run.finished_at or datetime.now(UTC)) - begun).total_seconds(), 0.0)
