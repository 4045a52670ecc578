"""Celery's entry points, and the one retry policy of the code base.

A message is a hint: it names a row, and the row says what there is to do. A lost message is sent again by `reconcile`,
a doubled one finds nothing left. What waiting can cure (`Unavailable`) is tried again with exponential backoff and full
jitter, no sooner than the source asks; the time of the next attempt is in the database, so that it survives the broker.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Any

from celery import Task, shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from psycopg2 import errors

from assets import candles
from ingestion import alerts, finish, normalizing, pipeline, reconciling, retention, runs
from ingestion.errors import BudgetSpent, Malformed, RateLimited, Refused, Unavailable
from ingestion.gate import CircuitOpen, Throttled
from ingestion.lease import Lease, LeaseLost, claim
from ingestion.logs import about, presentable
from ingestion.models import Run

log = logging.getLogger(__name__)

#: No message waits longer than this (a quarter of the broker's visibility timeout is 225 s): later times are in the
#: database, and the reconciler sends them.
LONGEST_COUNTDOWN = 60.0
LONGEST_BACKOFF = 600.0
#: Seconds within which stored pages are announced together.
TOGETHER = 0.2


class CarefulTask(Task):
    """Begins with database connections that work: Celery would keep one that broke in an earlier task.

    Ends without a key in its hand: an exception's text goes to logs, and with every event to whoever listens.
    """

    def before_start(self, *_: object) -> None:
        close_old_connections()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # By way of Celery's own __call__ a task in a worker would take itself for one that was called directly.
        call = super().__call__ if self.request.called_directly else self.run
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if (said := presentable(str(error))) == str(error):
                raise
            raise RuntimeError(f"{type(error).__name__}: {said}").with_traceback(error.__traceback__) from None


class PageTask(CarefulTask):
    """What every task that carries a page does: the source's own word on when to come back wins over the backoff."""

    autoretry_for = (Unavailable, OperationalError, InterfaceError)
    retry_backoff = True
    retry_backoff_max = int(LONGEST_BACKOFF)
    retry_jitter = True

    def retry(self, *args: Any, exc: Exception | None = None, countdown: float | None = None, **kwargs: Any) -> Any:
        if isinstance(exc, Unavailable) and exc.retry_after is not None:
            countdown = exc.retry_after
        return super().retry(*args, exc=exc, countdown=min(countdown or 0.0, LONGEST_COUNTDOWN), **kwargs)


def send(task: Task, *args: object) -> None:
    """The message is with the broker after the commit. If the broker is away, the reconciler sends it later."""

    def publish() -> None:
        try:
            task.apply_async(args)
        except Exception as error:
            # Its clients have too many ways to say it: one that loses its connection in mid-message has said
            # AttributeError. Whatever went wrong, no message is with the broker.
            log.warning(
                "broker is away, the work stays in the database", extra={"task": task.name, "error": str(error)}
            )

    transaction.on_commit(publish)


def backoff(strikes: int) -> float:
    """Seconds before attempt `strikes` + 1: full jitter over an exponentially growing span."""
    return random.uniform(0, min(settings.ETL_BACKOFF_SECONDS * 2 ** (strikes - 1), LONGEST_BACKOFF))


def wait_after(error: Unavailable, strikes: int) -> float:
    """Seconds before the next attempt: what the source asks for, or the limiter; the backoff at least, or instead."""
    # A source that asks for no wait at all (`Retry-After: 0`) is not knocked at in a row.
    return max(error.retry_after or 0.0, 0.0 if isinstance(error, Throttled) else backoff(strikes))


@shared_task(base=CarefulTask)
def start(slug: str) -> None:
    """Beat's message: the source's run of this schedule slot is queued, once, however many beats there are."""
    run = runs.start_slot(slug)
    if run is not None:
        send(fetch, run.pk)


@shared_task(bind=True, base=PageTask, max_retries=None)
def fetch(self: PageTask, run_id: int) -> None:
    """The rest of the run's sweep is stored, and its pages are sent to be normalized."""
    with Announced() as pages:
        carry(run_id, on_page=pages.stored)


class Announced:
    """Pages that are stored in quick succession are announced together: whoever normalizes the first takes them all."""

    def __init__(self) -> None:
        self.waiting: int | None = None
        """The first page that nobody was told of."""
        self.told_at = -TOGETHER

    def stored(self, page_id: int) -> None:
        self.waiting = self.waiting or page_id
        if monotonic() - self.told_at >= TOGETHER:
            self.tell()

    def tell(self) -> None:
        if self.waiting is not None:
            send(normalize, self.waiting)
            self.waiting, self.told_at = None, monotonic()

    def __enter__(self) -> Announced:
        return self

    def __exit__(self, *_: object) -> None:
        self.tell()


@shared_task(bind=True, base=PageTask, max_retries=10)
def normalize(self: PageTask, page_id: int) -> None:
    """The page's records are in the tables, and those of the pages of its run that wait behind it, or soon will be."""
    with about(page_id=page_id):
        normalizing.normalize(page_id)
        if (behind := normalizing.waiting_behind(page_id)) is not None:
            send(normalize, behind)


@shared_task(bind=True, base=CarefulTask)
def reconcile(self: CarefulTask) -> None:
    """Dead workers' runs are taken over, lost messages sent again, stale prices leave the consensus."""
    # What beat sent while no worker was there would only repeat itself. Its messages have no time at which they expire,
    # for that is compared with the clock of the worker: one whose clock is ahead would throw all of them away.
    if not self.request.called_directly and reconciling.just_done():
        return
    left = reconciling.reconcile()
    for slug in left.slots:
        start(slug)
    for run_id in left.runs:
        send(fetch, run_id)
    for page_id in left.pages:
        send(normalize, page_id)
    alerts.tell()


@shared_task(base=CarefulTask)
def roll_up() -> None:
    """New price points are in the candles of their hours and days."""
    candles.catch_up()


@shared_task(base=CarefulTask)
def prune() -> None:
    """Retention is applied."""
    retention.prune()


def carry(run_id: int, on_page: pipeline.OnPage) -> None:
    """One attempt at the run's fetching. Raises Unavailable when another is worth it; its time is in the row."""
    claimed = claim(run_id)
    if claimed is None:
        return
    run, lease = claimed
    with about(run_id=run_id, source=run.source.slug), lease:
        log.info("fetching", extra={"sweep": run.sweep, "takeovers": run.takeovers})
        try:
            pipeline.fetch(run, lease, on_page)
        except LeaseLost as lost:
            log.warning("lease lost", extra={"error": str(lost)})
        except pipeline.Cancelled as stop:
            finish.fetched(lease, Run.Status.CANCELLED, str(stop))
        except pipeline.StoppedOnPurpose as stop:
            finish.fetched(lease, Run.Status.FAILED, str(stop))
        except (Refused, Malformed) as error:
            finish.fetched(lease, Run.Status.FAILED, str(error))
        except Unavailable as error:
            wait(lease, error)
        except (OperationalError, InterfaceError) as error:
            log.error("the database is in trouble", extra={"error": database_trouble(error)})
            with suppress(OperationalError, InterfaceError):
                mine = Run.objects.filter(pk=run_id, lease_token=lease.token)
                mine.update(error=database_trouble(error), retries=F("retries") + 1)
            raise
        except Exception as error:
            # Our own bug: it fails at once and loudly, and waiting would not mend it.
            finish.fetched(lease, Run.Status.FAILED, normalizing.own_fault(error))
            raise
        else:
            finish.fetched(lease, Run.Status.COMPLETED)


def database_trouble(error: Exception) -> str:
    """What PostgreSQL says, in one sentence."""
    if isinstance(error.__cause__, errors.DiskFull):
        return "PostgreSQL has no room left on its disk; the run goes on once there is."
    return f"The database did not do its part: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def wait(lease: Lease, error: Unavailable) -> None:
    """The run's next attempt is due, or the run is over: raises the error in the first case."""
    mine = Run.objects.filter(pk=lease.run_id, lease_token=lease.token)
    pages, strikes, cancelled = Run.objects.values_list("pages", "strikes", "cancel_requested").get(pk=lease.run_id)
    if cancelled:
        return finish.fetched(lease, Run.Status.CANCELLED, finish.CANCELLED)
    if isinstance(error, BudgetSpent | CircuitOpen):
        over = Run.Status.PARTIAL if pages or isinstance(error, BudgetSpent) else Run.Status.FAILED
        return finish.fetched(lease, over, str(error))
    strikes += not isinstance(error, Throttled)
    if strikes > settings.ETL_RETRY_ATTEMPTS:
        limited = isinstance(error, RateLimited) and pages
        tried = f" ({strikes} attempts)" if strikes > 1 else ""
        return finish.fetched(lease, Run.Status.PARTIAL if limited else Run.Status.FAILED, f"{error}{tried}")
    seconds = wait_after(error, strikes)
    log.warning("waiting", extra={"seconds": round(seconds, 2), "error": str(error), "attempt": strikes})
    mine.update(
        due_at=Now() + timedelta(seconds=seconds),
        strikes=strikes,
        retries=F("retries") + 1,
        error=str(error)[:2000],
    )
    raise type(error)(str(error), seconds) from None
