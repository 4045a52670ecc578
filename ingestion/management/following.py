"""Runs as a command follows them: what each is doing, in words, and how all of them ended, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from assets.wording import counted, span
from ingestion.management.terminal import Progress, table
from ingestion.models import Run
from ingestion.runs import lasted

HEADERS = ("source", "status", "records", "new", "changed", "unchanged", "rejected", "seconds", "reason")
NUMBERS = frozenset(range(2, 8))


def refreshed(run_ids: Iterable[int]) -> list[Run]:
    """The runs as they are now, in the order of their sources."""
    return list(
        Run.objects.select_related("source")
        .filter(pk__in=list(run_ids))
        .order_by("source__identity_rank", "source__slug")
    )


def waiting_seconds(run: Run) -> float:
    """Seconds until the run's next attempt; 0 when it is due."""
    return max((run.due_at - datetime.now(UTC)).total_seconds(), 0.0)


def doing(run: Run) -> tuple[str, str]:
    """(state, text): what the run is doing now."""
    records = counted(run.processed, "record") + (f", {run.rejected:,} rejected" if run.rejected else "")
    if run.status == Run.Status.QUEUED:
        return "queued", "queued"
    if run.status not in Run.ACTIVE:
        why = f": {run.error}" if run.error else ""
        return run.status, f"{run.status}, {records} in {span(lasted(run))}{why}"
    if run.fetched_at is None and run.lease_token is None and run.error and (seconds := waiting_seconds(run)):
        return f"waiting {run.strikes} {run.retries}", f"waiting {seconds:.0f} s: {run.error}"
    begun = f"{records}, {counted(run.pages, 'page')}" if run.pages else "fetching"
    return "running", f"{begun}, {span(lasted(run))}"


def show(progress: Progress, run: Run, note: str = "") -> None:
    """The run's row of progress."""
    state, text = doing(run)
    before = run.source.last_sweep_records
    share = run.processed / before if before else None
    if run.status not in Run.ACTIVE:
        share = 1.0 if run.status == Run.Status.COMPLETED else share
    elif share is not None:
        share = min(share, 0.99)
    progress.row(run.source.title, f"{text}{note}", share, state + note)


def result(runs: Sequence[Run], width: int | None) -> str:
    """The table of how they ended."""
    return table(
        HEADERS,
        [
            (
                run.source.title,
                run.status if run.status not in Run.ACTIVE else run.outcome or "still trying",
                *(f"{count:,}" for count in (run.processed, run.inserted, run.updated, run.unchanged, run.rejected)),
                f"{lasted(run):.1f}",
                reason(run),
            )
            for run in runs
        ],
        NUMBERS,
        width,
    )


def reason(run: Run) -> str:
    """Why it failed, or what a person should look at."""
    if run.error:
        return run.error
    if run.status == Run.Status.QUEUED:
        return "No worker has taken it yet."
    if run.rejected:
        return (
            f"{counted(run.rejected, 'record')} can't be read: see `python manage.py requeue --list {run.source.slug}`."
        )
    return ""
