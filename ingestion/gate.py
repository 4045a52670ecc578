"""The gate before every call to a source: its rate, its month's budget, its circuit. One row, one clock, all workers.

The window slides: no 60 seconds hold more calls than the limit. The clock is PostgreSQL's, read after the row is
locked, so that workers and machines with clocks of their own agree. A call is counted before it is made, and stays
counted when it fails: that is how the sources count.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from assets import prepared
from assets.clock import database_clock
from assets.models import Source
from ingestion.errors import BudgetSpent, RateLimited, Unavailable
from ingestion.models import CallMonth, Gate

log = logging.getLogger(__name__)

#: A second more than the minute: a call's way to the server takes longer at one time than at another.
WINDOW = timedelta(seconds=61)
#: Failed calls in a row that open the circuit, and how long it stays open: doubled with every failed probe.
OPENS_AFTER = 5
OPEN_FOR = timedelta(seconds=60)
OPEN_AT_MOST = timedelta(minutes=15)
#: A probe that was never heard of again makes room for another after this.
PROBE_FOR = timedelta(minutes=3)


class Throttled(RateLimited):
    """Our own limiter: no call was made, and it is nobody's fault."""


class CircuitOpen(Unavailable):
    """Too many calls failed in a row: none is made before `retry_after`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a source allows: calls a minute, calls a calendar month (None: unlimited)."""

    per_minute: int
    per_month: int | None


def first_of_month(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def first_of_next_month(now: datetime) -> datetime:
    return first_of_month(first_of_month(now) + timedelta(days=32))


#: The ordinary case in one statement. The clock is read after the row is locked. The commit does not wait for the disk:
#: the next one that does (the page's) takes it along, so that a crash of PostgreSQL forgets at most the call under way.
PASS = """
WITH locked AS MATERIALIZED (
    SELECT recent_calls, failures FROM ingestion_gate WHERE source_id = %(source)s AND open_until IS NULL FOR UPDATE
), clock AS MATERIALIZED (
    SELECT recent_calls, failures, clock_timestamp() AS now FROM locked
), passed AS MATERIALIZED (
    SELECT now, failures, recent
    FROM clock, LATERAL (
        SELECT coalesce(array_agg(at ORDER BY at), '{}') AS recent
        FROM unnest(recent_calls) at WHERE at > now - %(window)s::interval
    ) calls
    WHERE cardinality(recent) < %(per_minute)s
), month AS (
    INSERT INTO ingestion_callmonth AS month (source_id, month, calls)
    SELECT %(source)s, date_trunc('month', now AT TIME ZONE 'UTC'), 1 FROM passed WHERE %(per_month)s > 0
    ON CONFLICT (source_id, month) DO UPDATE SET calls = month.calls + 1 WHERE month.calls < %(per_month)s
    RETURNING calls
)
UPDATE ingestion_gate gate SET recent_calls = passed.recent || passed.now
FROM passed, month WHERE gate.source_id = %(source)s
RETURNING passed.failures, set_config('synchronous_commit', 'off', true)
"""
UNLIMITED = 2**31 - 1


def enter(source: Source, limits: Limits) -> int:
    """Counts one call and lets it pass; how many failed in a row before it.

    Raises Throttled, BudgetSpent, CircuitOpen with the seconds to wait.
    """
    names: dict[str, Any] = {
        "source": source.pk,
        "window": WINDOW,
        "per_minute": limits.per_minute,
        "per_month": UNLIMITED if limits.per_month is None else limits.per_month,
    }
    with connection.cursor() as cursor:
        prepared.execute(cursor, PASS, names)
        passed = cursor.fetchone()
    return passed[0] if passed else enter_with_care(source, limits)


def enter_with_care(source: Source, limits: Limits) -> int:
    """As `enter`, for a probe of an open circuit, and to say why a call can't be made."""
    with transaction.atomic():
        gate = Gate.objects.select_for_update().get(source=source)
        now = database_clock()
        if gate.open_until and gate.open_until > now:
            # Kept in the run's row and read later: a moment, not a wait.
            raise CircuitOpen(
                f"{source.title} failed {gate.failures} times in a row; no call is made before"
                f" {gate.open_until:%H:%M:%S} UTC ({gate.last_error})",
                (gate.open_until - now).total_seconds(),
            )
        if gate.open_until and gate.probing_until and gate.probing_until > now:
            raise CircuitOpen(
                f"One call is finding out whether {source.title} answers again.", PROBE_FOR.total_seconds() / 6
            )
        recent = [at for at in gate.recent_calls if at > now - WINDOW]
        if len(recent) >= limits.per_minute:
            wait = (recent[-limits.per_minute] + WINDOW - now).total_seconds()
            raise Throttled(f"{limits.per_minute} calls a minute to {source.title} are used up.", max(wait, 0.05))
        month, _ = CallMonth.objects.select_for_update().get_or_create(source=source, month=first_of_month(now).date())
        if limits.per_month is not None and month.calls >= limits.per_month:
            raise BudgetSpent(
                f"The {limits.per_month:,} calls a month to {source.title} are used up.",
                (first_of_next_month(now) - now).total_seconds(),
            )
        gate.recent_calls = [*recent, now]
        gate.probing_until = now + PROBE_FOR if gate.open_until else None
        gate.save(update_fields=["recent_calls", "probing_until"])
        CallMonth.objects.filter(source=source, month=month.month).update(calls=month.calls + 1)
    return gate.failures


def succeeded(source: Source) -> None:
    """The call was answered: the circuit closes."""
    closed = Gate.objects.filter(source=source, failures__gt=0).update(
        failures=0, open_until=None, probing_until=None, last_error=""
    )
    if closed:
        log.info("circuit closed", extra={"source": source.slug})


def failed(source: Source, error: str) -> None:
    """The call was not answered: after OPENS_AFTER in a row the circuit opens, for longer with every failed probe."""
    with transaction.atomic():
        gate = Gate.objects.select_for_update().get(source=source)
        gate.failures += 1
        gate.last_error = error[:500]
        gate.probing_until = None
        beyond = gate.failures - OPENS_AFTER
        if beyond >= 0:
            wait = min(OPEN_FOR * 2 ** min(beyond, 10), OPEN_AT_MOST)
            gate.open_until = database_clock() + wait
            log.warning(
                "circuit opened",
                extra={"source": source.slug, "seconds": wait.total_seconds(), "failures": gate.failures},
            )
        gate.save(update_fields=["failures", "open_until", "probing_until", "last_error"])


def calls_made(source: Source, now: datetime) -> int:
    """How many calls were made in the month of `now`."""
    month = CallMonth.objects.filter(source=source, month=first_of_month(now).date()).first()
    return month.calls if month else 0
