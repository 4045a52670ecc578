"""Runs that a person starts in the admin: the same function as everywhere, and a word when the broker is away."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpRequest

from assets.admin.reading import link
from assets.models import Source
from ingestion import broker
from ingestion.models import Run
from ingestion.runs import AlreadyActive, start_run
from ingestion.tasks import fetch, send


def start(request: HttpRequest, sources: Iterable[Source], *, full: bool = False) -> str | None:
    """Each source has a queued run, or the reason why not is shown. What was done, None when nothing was."""
    trouble = broker.trouble()
    started: list[Run] = []
    for source in sources:
        if not source.enabled:
            messages.warning(request, f"{source.title} is disabled: enable it first.")
            continue
        try:
            run = start_run(source, Run.Trigger.ADMIN, full=full)
        except AlreadyActive as active:
            messages.warning(request, f"{active} It goes on.")
            continue
        started.append(run)
        if not trouble:
            send(fetch, run.pk)
    if not started:
        return None
    if trouble:
        messages.warning(request, f"{trouble} The runs stay queued in the database and start when it is back.")
    messages.info(request, link("ingestion_run", started[0].pk, f"Follow run {started[0].pk}"))
    names = ", ".join(f"run {run.pk} of {run.source.title}" for run in started)
    return f"Queued {names}{' from the beginning' if full else ''}."
