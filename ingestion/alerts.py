"""Tells ALERT_WEBHOOK_URL when a source begins to fail and when it is well again: once each, in the order of its runs.

The last run of each source that was told of is in the database, so that nothing is told twice and nothing is forgotten
while the receiver is away: what can't be delivered now is delivered by a later reconciliation.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from assets.models import Source
from ingestion.errors import SourceError
from ingestion.http import post_json
from ingestion.models import Pulse, Run

log = logging.getLogger(__name__)

#: A receiver may take longer than it takes the next reconciler to come by: one tells at a time. After so much longer
#: than a message may take, one who tells and is not heard of has died.
DIED = timedelta(minutes=1)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
BAD = (Run.Status.FAILED, Run.Status.PARTIAL)


def tell() -> int:
    """Every change since the last time is delivered; the number of them. 0 also while another is telling."""
    if not settings.ALERT_WEBHOOK_URL:
        return 0
    telling, _ = Pulse.objects.get_or_create(name="telling", defaults={"at": NEVER})
    mine = Pulse.objects.filter(pk=telling.pk)
    if not mine.filter(at__lt=Now() - DIED).update(at=Now()):
        return 0
    try:
        return tell_all(mine)
    finally:
        mine.update(at=NEVER)


def tell_all(mine: QuerySet[Pulse]) -> int:
    ended = Run.objects.exclude(status__in=Run.ACTIVE).select_related("source").order_by("pk")
    newest = ended.last()
    # A receiver that was named just now hears of what comes, not of all that was.
    pulse, _ = Pulse.objects.get_or_create(name="alerts", defaults={"detail": {"run": newest.pk if newest else 0}})
    known, told = pulse.detail, 0
    # Each source by itself, as its runs end in the order in which they began: one that waits holds no other up.
    for source in Source.objects.order_by("pk"):
        for run in ended.filter(source=source, pk__gt=known.get(source.slug, known["run"])):
            if changed(run):
                mine.update(at=Now())
                try:
                    post_json(settings.ALERT_WEBHOOK_URL, message(run))
                except SourceError as error:
                    log.warning("alert not delivered", extra={"run_id": run.pk, "error": str(error)})
                    return told
                told += 1
            known[source.slug] = run.pk
            Pulse.objects.filter(name="alerts").update(at=Now(), detail=known)
    return told


def changed(run: Run) -> bool:
    """Whether the source is failing now and was not before, or the other way round."""
    before = (
        Run.objects.filter(source=run.source, pk__lt=run.pk)
        .exclude(status=Run.Status.CANCELLED)
        .order_by("-pk")
        .first()
    )
    if run.status == Run.Status.CANCELLED:
        return False
    return (run.status in BAD) != (before is not None and before.status in BAD)


def message(run: Run) -> dict[str, object]:
    """What is sent: `text` is what chat systems show."""
    failing = run.status in BAD
    said = f"is failing: {run.error}" if failing else "is well again."
    return {
        "text": f"cryptoetl: {run.source.title} {said}",
        "event": "source_failing" if failing else "source_recovered",
        "source": run.source.slug,
        "run_id": run.pk,
        "status": run.status,
        "error": run.error,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }
