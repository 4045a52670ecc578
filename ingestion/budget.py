"""How many of a source's calls of this month are used, and when they run out at the present pace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Min

from assets.clock import database_clock
from assets.models import Source
from ingestion.gate import calls_made, first_of_month, first_of_next_month
from ingestion.models import Run
from ingestion.registry import configured


@dataclass(frozen=True, slots=True)
class Budget:
    """A source's calls in the calendar month (UTC)."""

    made: int
    limit: int | None
    """None: unlimited."""
    left: int | None
    a_day: float
    """The pace since the first run of this month, as if the next interval were over."""
    runs_out_at: datetime | None
    """At that pace; None when the month ends first, or there is no limit."""

    @property
    def share(self) -> float | None:
        return self.made / self.limit if self.limit else None

    def __str__(self) -> str:
        if self.limit is None:
            return f"{self.made:,} calls this month, no limit"
        used = f"{self.made:,} of {self.limit:,} calls used this month"
        if self.left == 0:
            return f"{used}: none is left until the next month"
        if self.runs_out_at:
            return f"{used}, {self.a_day:,.0f} a day: they run out on {self.runs_out_at:%Y-%m-%d %H:%M} UTC"
        return f"{used}, {self.a_day:,.0f} a day: enough for the month"


def budget(source: Source, now: datetime | None = None) -> Budget:
    """The source's budget at `now`."""
    now = now or database_clock()
    config = configured(source.slug)
    made = calls_made(source, now)
    begun = Run.objects.filter(source=source, queued_at__gte=first_of_month(now)).aggregate(at=Min("queued_at"))["at"]
    return reckon(made, config.limits.per_month, begun, config.every, now)


def reckon(made: int, limit: int | None, begun: datetime | None, every: timedelta, now: datetime) -> Budget:
    """The budget that these figures make; `begun` is when the month's first run was queued."""
    left = None if limit is None else max(limit - made, 0)
    # The latest sweep stands for the interval that follows it.
    elapsed = ((now - begun if begun else timedelta(0)) + every) / timedelta(days=1)
    # In days: at a slow pace they last beyond the end of the calendar. A try or two more in the first hours (a check, a
    # retry, a run by hand) would be hundreds by the end of the month: nothing is foreseen of less than a day.
    a_day, days = made / elapsed, left * max(elapsed, 1) / made if left and made else None
    rest = (first_of_next_month(now) - now) / timedelta(days=1)
    runs_out_at = now + timedelta(days=days) if days is not None and days < rest else None
    return Budget(made, limit, left, a_day, runs_out_at)
