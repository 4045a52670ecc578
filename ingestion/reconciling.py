"""Makes good what a crash or a lost message left behind, from the database alone. Safe to run anywhere, any time.

- a run that is due and held by nobody (its message was lost, or its worker died and the lease ran out) is sent again;
- a page that was stored and never normalized is sent again, once its message has had time to arrive;
- a source whose slot came and went without a run (beat's message was lost) is started;
- a run whose work is all done, but whose last worker died before it could say so, is ended;
- times that PostgreSQL's clock wrote before it was set back are cut to what they mean now;
- an asset in whose consensus a quote has gone stale is priced again; an edited schedule reaches the source's row.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from assets import searching, store
from assets.matching import lock_identities
from assets.pricing import all_due, reprice_due
from ingestion.finish import finish_if_done
from ingestion.gate import OPEN_AT_MOST, PROBE_FOR
from ingestion.lease import LASTS
from ingestion.models import Pulse, RawPayload, Run
from ingestion.runs import WAITING, cancel

log = logging.getLogger(__name__)

#: A message that took longer than this is taken for lost. One sent twice finds nothing left to do.
LOST_AFTER = timedelta(seconds=20)
#: A run younger than this may still be on its way to a worker.
JUST_QUEUED = timedelta(seconds=5)
#: Two of them within this time are one.
REPEATED = timedelta(seconds=1)
#: A clock that went back by less was merely corrected.
SET_BACK = timedelta(seconds=2)
#: At most so many pages are sent again at a time; the rest follows.
PAGES_AT_A_TIME = 1000

#: Of several schedules of a source the one that begins its runs most often, of those that are on.
SCHEDULES = """
UPDATE assets_source source SET interval_seconds = edited.seconds
FROM (
    SELECT DISTINCT ON (slug) args::jsonb ->> 0 AS slug,
           every * CASE period
               WHEN 'days' THEN 86400 WHEN 'hours' THEN 3600 WHEN 'minutes' THEN 60 ELSE 1 END AS seconds
    FROM django_celery_beat_periodictask task
    JOIN django_celery_beat_intervalschedule schedule ON schedule.id = task.interval_id
    WHERE task.task = 'ingestion.tasks.start' AND args LIKE '[%%"]' AND period <> 'microseconds'
    ORDER BY slug, task.enabled DESC, seconds
) edited
WHERE edited.slug = source.slug AND source.interval_seconds <> edited.seconds
RETURNING source.id
"""

#: Beat's word on when it last sent is no help where a run came of it: it is written late, or never.
LOST_SLOTS = """
SELECT DISTINCT source.slug
FROM django_celery_beat_periodictask task
JOIN assets_source source ON task.args = format('["%%s"]', source.slug)
LEFT JOIN LATERAL (
    SELECT finished_at FROM ingestion_run run WHERE run.source_id = source.id ORDER BY run.id DESC LIMIT 1
) newest ON true
CROSS JOIN LATERAL (SELECT now() - make_interval(secs => source.interval_seconds + %(lost_after)s) AS at) missed
WHERE task.task = 'ingestion.tasks.start' AND task.enabled AND source.enabled
  AND NOT EXISTS (
      SELECT FROM ingestion_run run WHERE run.source_id = source.id AND run.status IN ('queued', 'running')
  )
  AND (newest.finished_at < missed.at
       OR newest.finished_at IS NULL AND (
           task.last_run_at < now() - make_interval(secs => %(lost_after)s) OR task.date_changed < missed.at
       ))
"""


#: Nothing was written later than now. What was due is due by as much sooner as the clock was set back.
AHEAD = (
    """UPDATE ingestion_gate SET
           recent_calls = ARRAY(SELECT least(at, now()) FROM unnest(recent_calls) AS at ORDER BY 1),
           open_until = least(open_until, now() + %(open_at_most)s),
           probing_until = least(probing_until, now() + %(probe_for)s)""",
    """UPDATE ingestion_run SET
           due_at = greatest(due_at - %(back)s, now()),
           queued_at = least(queued_at, now()),
           lease_until = least(lease_until, now() + %(lease)s)
       WHERE status IN ('queued', 'running')""",
    # Its slot comes a second time, and must not have had its run.
    "UPDATE ingestion_run SET slot = NULL WHERE slot > now() AND source_id IN (SELECT id FROM assets_source)",
    "UPDATE ingestion_rawpayload SET received_at = now() WHERE received_at > now() AND state = 'stored'",
)


@dataclass(slots=True)
class Left:
    """What is to be sent again."""

    runs: list[int] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    """The sources whose slot is to be begun."""


def just_done() -> bool:
    """Someone was here a moment ago."""
    return Pulse.objects.filter(name="reconcile", at__gt=Now() - REPEATED, at__lte=Now()).exists()


def mend_times() -> None:
    """After PostgreSQL's clock was set back, nothing waits for the time by which it was."""
    with transaction.atomic():
        pulse = Pulse.objects.select_for_update().annotate(now=Now()).filter(name="reconcile").first()
        if pulse is None or pulse.at < pulse.now + SET_BACK:
            return
        back = pulse.at - pulse.now
        log.warning("PostgreSQL's clock was set back", extra={"seconds": back.total_seconds()})
        values: dict[str, Any] = {"back": back, "lease": LASTS, "open_at_most": OPEN_AT_MOST, "probe_for": PROBE_FOR}
        with connection.cursor() as cursor:
            for statement in AHEAD:
                cursor.execute(statement, values)
        Pulse.objects.filter(at__gt=Now()).update(at=Now())


def keep_schedules() -> None:
    """Each source's interval is that of its edited schedule, and its coins are priced by what is fresh now."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SCHEDULES)
        if edited := [source_id for (source_id,) in cursor.fetchall()]:
            lock_identities()  # whoever brings in listings, and does not know of it, has ended
            # A million at once would take longer than a transaction may.
            all_due(edited)


def reconcile() -> Left:
    """The database is in order; what still needs a worker is returned to be sent."""
    mend_times()
    for run in Run.objects.filter(WAITING, cancel_requested=True):
        # It was asked to stop at the very moment at which it began to wait.
        cancel(run)
    unheld = Q(lease_token=None) | Q(lease_until__lt=Now())
    left = Left(
        runs=list(
            Run.objects.filter(
                unheld,
                status__in=Run.ACTIVE,
                fetched_at=None,
                due_at__lt=Now(),
                queued_at__lt=Now() - JUST_QUEUED,
            )
            .values_list("pk", flat=True)
            .order_by("pk")
        ),
        pages=list(
            RawPayload.objects.filter(state=RawPayload.State.STORED, received_at__lt=Now() - LOST_AFTER)
            .values_list("pk", flat=True)
            .order_by("pk")[:PAGES_AT_A_TIME]
        ),
    )
    waiting = RawPayload.objects.filter(run=OuterRef("pk"), state=RawPayload.State.STORED)
    for run_id in Run.objects.filter(~Exists(waiting), status=Run.Status.RUNNING, fetched_at__isnull=False).values_list(
        "pk", flat=True
    ):
        finish_if_done(run_id)
    keep_schedules()
    with connection.cursor() as cursor:
        cursor.execute(LOST_SLOTS, {"lost_after": LOST_AFTER.total_seconds()})
        left.slots = [slug for (slug,) in cursor.fetchall()]
    # The next month's, too, so that no load has to wait for it on the first of the month.
    store.ensure_partitions(datetime.now(UTC) + ahead for ahead in (timedelta(), timedelta(days=3)))
    priced = reprice_due()
    filed = searching.file_texts()
    Pulse.objects.update_or_create(
        name="reconcile",
        defaults={
            "at": Now(),
            "detail": {"runs": len(left.runs), "pages": len(left.pages), "repriced": priced, "filed": filed},
        },
    )
    return left
