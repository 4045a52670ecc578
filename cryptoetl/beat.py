"""The scheduler of beat: that of django-celery-beat, whom a clock that is set back does not put to sleep.

An interval is counted from the last time; where the clock is set back by an hour, that time lies ahead, and nothing
would be sent for an hour. A time ahead of the clock is therefore taken for now.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry


class Entry(ModelEntry):
    """One periodic task, whose last time is never ahead of the clock."""

    last_run_at: datetime

    def __init__(self, model: Any, app: Any = None) -> None:
        super().__init__(model, app=app)
        self.not_ahead_of(timezone.now())

    def not_ahead_of(self, now: datetime) -> None:
        if self.last_run_at > now:
            self.last_run_at = self.model.last_run_at = now


class Scheduler(DatabaseScheduler):
    """Notices at each tick, at least every CELERY_BEAT_MAX_LOOP_INTERVAL seconds, that the clock went back."""

    Entry = Entry
    _last_tick: datetime | None = None

    def tick(self, *arguments: Any, **options: Any) -> Any:
        now = timezone.now()
        if self._last_tick is not None and now < self._last_tick:
            for entry in self.schedule.values():
                entry.not_ahead_of(now)
            # The order of what comes next was made by the other clock.
            self._heap = None
        self._last_tick = now
        return super().tick(*arguments, **options)
