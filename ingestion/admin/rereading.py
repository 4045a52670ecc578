"""Stored pages that a person has read again: as many as a request has time for, the rest is the command's."""

from __future__ import annotations

from time import monotonic

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from assets.wording import counted
from ingestion import broker, replaying
from ingestion.models import RawPayload, Reject
from ingestion.requeueing import ReadAgain, pages_of, read_again
from ingestion.tasks import normalize, send

#: Seconds that a request may take for it.
PATIENCE = 10.0


def replay(request: HttpRequest, pages: QuerySet[RawPayload], command: str) -> str | None:
    """The pages are normalized again, in the order in which they came. `command` does what is left."""
    pages = pages.exclude(state=RawPayload.State.STORED).select_related("source", "body").order_by("pk")
    written = replaying.Replayed()
    total = pages.count()
    if not total:
        messages.warning(request, "There is no page to replay: those that wait are normalized as they are.")
        return None
    until = monotonic() + PATIENCE
    for written in replaying.replay(pages.iterator(chunk_size=20)):  # noqa: B007  # the last one is the sum
        if monotonic() > until:
            break
    if written.pages < total:
        messages.warning(
            request, f"{counted(total - written.pages, 'page')} left: `python manage.py {command}` does them all."
        )
    return (
        f"{written.pages:,} of {counted(total, 'page')} replayed: {written.inserted:,} new,"
        f" {written.updated:,} changed, {written.unchanged:,} unchanged,"
        f" {written.rejected:,} rejected, {written.failed:,} unreadable."
    )


def reread_rejects(request: HttpRequest, rejects: QuerySet[Reject], command: str) -> str | None:
    """The records are read again with their pages; those that can be read now are in, and closed."""
    so_far = ReadAgain(0)
    for so_far in read_again(pages_of(rejects.filter(state=Reject.State.OPEN)), within=PATIENCE):  # noqa: B007
        pass
    if not so_far.pages:
        messages.warning(request, "None of these is open.")
        return None
    if so_far.done < so_far.pages:
        messages.warning(
            request, f"{counted(so_far.pages - so_far.done, 'page')} left: `python manage.py {command}` does them all."
        )
    return f"{counted(so_far.done, 'page')} read again, and {counted(so_far.readable, 'rejected record')} in."


def requeue_pages(request: HttpRequest, pages: QuerySet[RawPayload]) -> str | None:
    """Failed pages wait for a worker again."""
    trouble = broker.trouble()
    requeued = [page for page in pages.filter(state=RawPayload.State.FAILED).order_by("pk") if replaying.requeue(page)]
    if not requeued:
        messages.warning(request, "None of these has failed.")
        return None
    for page in requeued:
        if not trouble:
            send(normalize, page.pk)
    if trouble:
        messages.warning(request, f"{trouble} The pages stay in the database and are read when it is back.")
    return f"{counted(len(requeued), 'failed page')} on the way to be read again."
