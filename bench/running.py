"""One run of a source to its end, as `manage.py ingest --inline` does it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter

from assets.models import Source
from ingestion.management.inline import Inline
from ingestion.models import Run
from ingestion.runs import start_run


def run_once(slug: str = "coingecko") -> Run:
    run = start_run(Source.objects.get(slug=slug), Run.Trigger.COMMAND)
    inline = Inline([run.pk], seen=lambda run: None)
    while inline.open:
        inline.go_on()
    run.refresh_from_db()
    if run.status != Run.Status.COMPLETED:
        sys.exit(f"The run of {slug} is {run.status}: {run.error}")
    return run


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = perf_counter()
    work()
    return perf_counter() - began
