"""Is it well? Each part healthy, degraded or unhealthy, with the reasons in sentences; looked at anew each time.

Only a database that is away makes it unable to serve. One source in trouble neither hides behind the others nor speaks
for them: the etl is degraded with some of them in trouble, unhealthy with all, or when there is no data at all.
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import celery
import django
from django.conf import settings
from django.db import Error, connection

from assets.listeners import LISTENERS
from assets.wording import span
from ingestion import broker
from ingestion.models import Pulse
from ingestion.reach import PATIENCE, Crew, crew, database_trouble
from ingestion.standing import Standing, standings

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
#: The reconciler is due every 15 seconds; nothing is scheduled or taken over while it is silent.
PULSE_LATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Health:
    """What /health says."""

    database: str
    broker: str
    etl: str
    reasons: list[str] = field(default_factory=list)
    sources: list[Standing] = field(default_factory=list)
    pulse: datetime | None = None
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def status(self) -> str:
        if self.database == UNHEALTHY:
            return UNHEALTHY
        return HEALTHY if self.database == self.broker == self.etl == HEALTHY else DEGRADED


def health() -> Health:
    """Waits for nobody longer than two seconds."""
    broker_trouble = broker.trouble(PATIENCE)
    carries = UNHEALTHY if broker_trouble else HEALTHY
    database = database_trouble()
    if not database:
        try:
            return look(carries, [broker_trouble] if broker_trouble else [])
        except Error as error:
            database = f"PostgreSQL can't answer ({broker.reason(error)})."
    return Health(UNHEALTHY, carries, UNHEALTHY, [reason for reason in (database, broker_trouble) if reason])


def look(carries: str, reasons: list[str]) -> Health:
    """The etl's part, out of the database."""
    sources = standings()
    with connection.cursor() as cursor:
        # The clock that the pulse is written by: that of this machine may be minutes away from it.
        cursor.execute("SELECT EXISTS (SELECT FROM assets_quote), clock_timestamp()")
        filled, now = cursor.fetchone()
    pulse = Pulse.objects.filter(name="reconcile").first()
    etl, why = verdict(sources, filled, pulse.at if pulse else None, now)
    return Health(HEALTHY, carries, etl, reasons + why, sources, pulse.at if pulse else None, now)


def verdict(sources: list[Standing], filled: bool, pulse: datetime | None, now: datetime) -> tuple[str, list[str]]:
    """(etl, reasons)."""
    troubled = [source.trouble for source in sources if source.trouble]
    enabled = [source for source in sources if source.enabled]
    reasons = list(troubled)
    if not enabled:
        reasons.append("No source is enabled.")
    if not filled:
        reasons.append("There is no data yet.")
    late = pulse is not None and now - pulse > PULSE_LATE
    if late and pulse is not None:
        reasons.append(
            f"Nothing has been scheduled or taken over for {span(now - pulse)}: beat or the workers are not running."
        )
    if not filled or (enabled and len(troubled) == len(enabled)):
        return UNHEALTHY, reasons
    return (DEGRADED if reasons else HEALTHY), reasons


def migrated() -> bool:
    """Whether the tables are there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('assets_quote') IS NOT NULL AND to_regclass('ingestion_pulse') IS NOT NULL")
        return bool(cursor.fetchone()[0])


def details(found: Health) -> dict[str, Any]:
    """What /health/detailed adds: who works, what waits, who listens here, how fresh each source is, disk, versions."""
    seen = crew()
    return {
        "workers": workers_shown(seen),
        "queues": seen.queues,
        "beat": {
            "last_tick_at": found.pulse,
            "seconds_since": None if found.pulse is None else round((found.timestamp - found.pulse).total_seconds(), 3),
        },
        "stream": {"listeners": len(LISTENERS)},
        "sources": {source.slug: freshness(source) for source in found.sources},
        "disk": disk(),
        "versions": versions(found.database != UNHEALTHY, seen.redis_version),
    }


def workers_shown(seen: Crew) -> list[dict[str, Any]] | None:
    if seen.workers is None:
        return None
    return [
        {"name": worker.name, "pid": worker.pid, "started_at": worker.started_at, "seen_at": worker.seen_at}
        for worker in seen.workers
    ]


def freshness(source: Standing) -> dict[str, Any]:
    return {
        "title": source.title,
        "status": (HEALTHY if not source.trouble else DEGRADED) if source.enabled else "disabled",
        "reason": source.trouble or None,
        "last_run": {"run_id": source.run_id, "status": source.status} if source.run_id else None,
        "last_success_at": source.last_success,
        "seconds_since_success": source.seconds_since_success,
        "interval_seconds": source.interval_seconds,
        "late_seconds": source.late_seconds,
        "next_due_at": source.next_due_at if source.enabled else None,
        "pages_waiting": source.pages_waiting,
        "circuit": source.circuit,
        "calls_this_month": source.calls,
        "calls_left": source.budget.left if source.budget else None,
    }


def disk() -> dict[str, int]:
    """Of the folder that holds data, logs and sockets."""
    folder = Path(settings.VAR)
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return {"free_bytes": usage.free, "total_bytes": usage.total}


def versions(database: bool, redis: str | None) -> dict[str, str | None]:
    """Of what it runs on; None for what doesn't answer."""
    postgresql = None
    if database:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version')")
            postgresql = str(cursor.fetchone()[0]).split()[0]
    return {
        "cryptoetl": settings.VERSION,
        "python": platform.python_version(),
        "django": django.get_version(),
        "celery": celery.__version__,
        "postgresql": postgresql,
        "redis": redis,
    }
