"""A run has one holder at a time: a lease with a fencing token, renewed while the holder lives, then taken over.

The token is checked inside the transactions that write for the run (`held`), so that a holder that was only asleep, and
wakes up after another took over, can write nothing.
"""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import suppress
from datetime import timedelta
from types import TracebackType

from django.db import InterfaceError, OperationalError, connection
from django.db.models import Case, F, Q, When
from django.db.models.functions import Coalesce, Now

from ingestion.models import Run

log = logging.getLogger(__name__)

LASTS = timedelta(seconds=30)
RENEWED_EVERY = 8.0


class LeaseLost(Exception):
    """Another worker has taken the run over, or it has ended: nothing more may be written for it."""


class Lease:
    """Holding a run. A context manager: a thread of its own renews it, and the exit gives it back."""

    def __init__(self, run_id: int, token: uuid.UUID) -> None:
        self.run_id, self.token = run_id, token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{run_id}", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            self._give_back()
        except (OperationalError, InterfaceError):
            # The line broke, which may be why it ends here: over a new one the next holder need not wait for the lease.
            connection.close()
            with suppress(OperationalError, InterfaceError):
                self._give_back()

    def _give_back(self) -> None:
        Run.objects.filter(pk=self.run_id, lease_token=self.token).update(lease_token=None, lease_until=None)

    def _renew(self) -> None:
        try:
            while not self._stop.wait(RENEWED_EVERY):
                try:
                    Run.objects.filter(pk=self.run_id, lease_token=self.token).update(lease_until=Now() + LASTS)
                except Exception as error:
                    # The database is away; if it stays away the lease ends, which is what it is for.
                    log.warning("lease not renewed", extra={"run_id": self.run_id, "error": str(error)})
                    connection.close()
        finally:
            connection.close()


def claim(run_id: int) -> tuple[Run, Lease] | None:
    """The run and its lease, when it is due and nobody holds it; None otherwise. From the dead, a takeover."""
    token = uuid.uuid4()
    free = Q(lease_token=None) | Q(lease_until__lt=Now())
    claimed = Run.objects.filter(free, pk=run_id, status__in=Run.ACTIVE, fetched_at=None, due_at__lte=Now()).update(
        takeovers=F("takeovers") + Case(When(lease_token=None, then=0), default=1),
        status=Run.Status.RUNNING,
        started_at=Coalesce("started_at", Now()),
        lease_token=token,
        lease_until=Now() + LASTS,
    )
    if not claimed:
        return None
    return Run.objects.select_related("source").get(pk=run_id), Lease(run_id, token)


def held(run: Run, lease: Lease) -> None:
    """Locks the run for this transaction. Raises LeaseLost when the lease is another's by now."""
    holding = Run.objects.select_for_update(no_key=True).filter(
        pk=run.pk, lease_token=lease.token, status=Run.Status.RUNNING
    )
    if not holding.exists():
        raise LeaseLost(f"Run {run.pk} is another worker's by now.")
