"""Carries runs in this process, without a broker: the same functions that the workers call, one source after the other.

A run that waits (for a rate limit, for a provider) does not hold up the others; when it is due stands in its row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from time import sleep

from django.db import OperationalError

from assets.models import Source
from ingestion import normalizing, runs
from ingestion.errors import Unavailable
from ingestion.finish import finish_if_done
from ingestion.management.following import refreshed, waiting_seconds
from ingestion.models import RawPayload, Run
from ingestion.tasks import carry

log = logging.getLogger(__name__)

LOOKED_AT_EVERY = 0.25


class Inline:
    """`seen` is called with a run whenever something about it may have changed."""

    def __init__(self, run_ids: Iterable[int], seen: Callable[[Run], None]) -> None:
        self.open = set(run_ids)
        self.seen = seen
        self.carried: set[int] = set()
        self.stored: list[int] = []
        """Pages that wait to be normalized together."""
        self.spoilt: set[int] = set()
        """Pages that this program can't normalize by a fault of its own: they stay for a version that can."""

    def go_on(self) -> None:
        """One round: every run that is due goes as far as it gets. Sleeps a moment when none is."""
        soonest = LOOKED_AT_EVERY
        for run in refreshed(self.open):
            if waiting_seconds(run):
                self.seen(run)
                soonest = min(soonest, waiting_seconds(run))
                continue
            before = (run.status, run.fetched_at, run.pages)
            self._advance(run)
            (run,) = refreshed([run.pk])
            if run.status not in Run.ACTIVE or (run.fetched_at and self._only_spoilt(run)):
                self.open.discard(run.pk)
            self.seen(run)
            if before != (run.status, run.fetched_at, run.pages):
                soonest = 0.0
        if self.open and soonest:
            sleep(soonest)

    def _advance(self, run: Run) -> None:
        self.carried.add(run.pk)
        normalize_waiting(run.source, self._normalize)
        if run.fetched_at:
            finish_if_done(run.pk)
            return
        try:
            try:
                carry(run.pk, on_page=partial(self._page_stored, run))
            finally:
                self._normalize_stored(run)
        except Unavailable:
            pass  # the time of the next attempt and the reason are in the row
        except OperationalError:
            raise
        except Exception:
            # Ours, and in the run's row as such; the other sources still have their turn.
            log.exception("a run failed by a fault of ours", extra={"run_id": run.pk})

    def _page_stored(self, run: Run, page_id: int) -> None:
        self.stored.append(page_id)
        if len(self.stored) >= normalizing.PAGES_AT_ONCE:
            self._normalize_stored(run)

    def _normalize_stored(self, run: Run) -> None:
        """The pages stored since the last time are in the tables."""
        stored, self.stored = self.stored, []
        waiting = RawPayload.objects.filter(pk__in=stored, state=RawPayload.State.STORED).order_by("pk")
        while (page_id := waiting.exclude(pk__in=self.spoilt).values_list("pk", flat=True).first()) is not None:
            self._normalize(page_id)
        for now in refreshed([run.pk]):
            self.seen(now)

    def _normalize(self, page_id: int) -> None:
        if page_id in self.spoilt:
            return
        try:
            normalizing.normalize(page_id)
        except OperationalError:
            raise
        except Exception:
            self.spoilt.add(page_id)
            raise

    def _only_spoilt(self, run: Run) -> bool:
        stored = set(run.payloads.filter(state=RawPayload.State.STORED).values_list("pk", flat=True))
        return bool(stored) and stored <= self.spoilt

    def interrupted(self) -> list[Run]:
        """The runs carried here are cancelled, so that nobody takes them over unasked; their checkpoints stay."""
        return [
            run
            for run in refreshed(self.open & self.carried)
            if run.lease_token is None and runs.cancel(run, at_once=True)
        ]


def normalize_waiting(source: Source, normalize: Callable[[int], object]) -> None:
    """Pages of the source that an earlier process stored and did not normalize are in the tables."""
    stored = RawPayload.objects.filter(source=source, state=RawPayload.State.STORED).order_by("pk")
    for page_id in stored.values_list("pk", flat=True):
        try:
            normalize(page_id)
        except OperationalError:
            raise
        except Exception:
            log.exception("a page can't be normalized by a fault of ours", extra={"page_id": page_id})
