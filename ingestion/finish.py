"""How a run ends: when its fetching is over and every page of it is done, once, with the status that the facts give it.

A sweep that keeps nothing, or far fewer records than the sweep before, is no success. Only a whole sweep, of which
every page could be read, says which coins are missing: the third in a row that misses one delists it. Pairs of listings
in doubt are decided again by what the run brought.
"""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Coalesce, Now

from assets import doubts
from assets.models import Source as SourceRow
from ingestion import sweeps
from ingestion.lease import Lease
from ingestion.logs import presentable
from ingestion.models import RawPayload, Run
from ingestion.sources import BY_SLUG

log = logging.getLogger(__name__)

#: A sweep that keeps fewer than this share of the records of the one before (if that had MANY) is not believed at once.
SHRUNK = 0.8
MANY = 100
#: What is said of a run that somebody asked to stop.
CANCELLED = "Cancelled by a person."


def fetched(lease: Lease, outcome: str, error: str = "") -> None:
    """Fetching is over, with this outcome (a terminal status); the run ends as soon as its pages are done.

    Only its holder may say so: one that has slept past its lease says nothing about what is another's by now.
    """
    holding = Run.objects.filter(pk=lease.run_id, lease_token=lease.token)
    holding.filter(status__in=Run.ACTIVE, fetched_at=None).update(
        fetched_at=Now(),
        started_at=Coalesce("started_at", Now()),
        status=Run.Status.RUNNING,
        outcome=outcome,
        error=presentable(error)[:2000],
    )
    finish_if_done(lease.run_id)


def finish_if_done(run_id: int) -> bool:
    """The run has ended if nothing of it is left to do. True when this call ended it."""
    with transaction.atomic():
        run = (
            # Not its source: whoever switches that off may wait for a page of this run.
            Run.objects.select_for_update(no_key=True, of=("self",))
            .filter(pk=run_id, status=Run.Status.RUNNING, fetched_at__isnull=False)
            .select_related("source")
            .first()
        )
        if run is None or run.payloads.filter(state=RawPayload.State.STORED).exists():
            return False
        status, error = verdict(run)
        last = run.payloads.filter(state=RawPayload.State.NORMALIZED).exclude(last_id="").order_by("-number").first()
        Run.objects.filter(pk=run.pk).update(
            status=status,
            error=error,
            finished_at=Now(),
            lease_token=None,
            lease_until=None,
            last_processed_id=last.last_id if last else last_id_before(run),
        )
    log.info(
        "run ended",
        extra={
            "run_id": run.pk,
            "source": run.source.slug,
            "status": status,
            "error": error,
            "processed": run.processed,
            "inserted": run.inserted,
            "updated": run.updated,
            "unchanged": run.unchanged,
            "rejected": run.rejected,
        },
    )
    if run.inserted or run.updated:
        decide_doubts_again()
    return True


def decide_doubts_again() -> None:
    """Not in the transaction that ends the run, which holds rows that whoever decides about identities may wait for.

    What is not done here, because the database or this process fails, the next run that ends does.
    """
    try:
        if decided := doubts.decide_again():
            log.info("doubts were decided again", extra={"pairs": decided})
    except (OperationalError, InterfaceError) as error:
        log.warning("doubts were not decided again", extra={"error": presentable(str(error))})


def last_id_before(run: Run) -> str:
    """Where the source stands when this run normalized nothing: where the run before left it."""
    before = Run.objects.filter(source=run.source, pk__lt=run.pk).order_by("-pk").first()
    return before.last_processed_id if before else ""


def left_out(run: Run) -> RawPayload | None:
    """A page of the run's sweep that is not in the tables: a run that went on with it has pages of those before it."""
    assert run.sweep is not None, "it is whole"
    pages = RawPayload.objects.filter(source=run.source, sweep=run.sweep, superseded=False)
    return pages.exclude(state=RawPayload.State.NORMALIZED).order_by("pk").first()


def verdict(run: Run) -> tuple[str, str]:
    """(status, error). A whole sweep that is believed also settles which listings were missed."""
    broken = run.payloads.filter(state=RawPayload.State.FAILED).order_by("number").first()
    if run.outcome != Run.Status.COMPLETED:
        return run.outcome, run.error
    if broken is not None:
        set_aside = broken.error.startswith("Set aside")
        return (Run.Status.PARTIAL if set_aside else Run.Status.FAILED), f"Page {broken.number}: {broken.error}"
    if not run.whole:
        return Run.Status.PARTIAL, "The sweep ended before its last page."
    if (left := left_out(run)) is not None:
        return Run.Status.PARTIAL, f"Page {left.number} of run {left.run_id}: {left.error or 'It waits to be read.'}"
    kept = sweeps.kept(run.source, run.sweep)
    before, title = run.source.last_sweep_records, run.source.title
    least = BY_SLUG[run.source.slug].min_records
    if kept < least:
        rejected = f" All {run.rejected:,} records were rejected." if run.rejected else ""
        return Run.Status.FAILED, f"{title} sent no record where there should be at least {least}.{rejected}"
    # Not of a sweep that failed: what comes after it is measured by the last one that held something.
    SourceRow.objects.filter(pk=run.source_id).update(last_sweep_records=kept)
    if before >= MANY and kept < before * SHRUNK:
        return (
            Run.Status.PARTIAL,
            f"{title} sent {kept:,} records, after {before:,} in the sweep before: nothing counts as missing yet.",
        )
    sweeps.settle(run.source, run.sweep)
    return Run.Status.COMPLETED, ""
