"""How each source stands, in one query: its last run, success and failure, its circuit, its calls, what waits of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from assets.consensus import INTERVALS_FRESH
from assets.wording import span
from ingestion.budget import Budget, reckon
from ingestion.registry import configured
from ingestion.sources import BY_SLUG

STANDINGS = """
SELECT source.slug, source.title, source.enabled, source.interval_seconds, source.last_sweep_at,
       source.last_sweep_records,
       latest.id AS run_id, latest.status, latest.trigger, latest.started_at, latest.finished_at, latest.error,
       ended.id AS ended_id, ended.status AS ended_status, ended.error AS ended_error,
       good.id AS success_id, good.finished_at AS last_success,
       bad.id AS failure_id, bad.finished_at AS last_failure, bad.error AS failure_error,
       processed.last_processed_id, page.normalized_at AS last_processed_at,
       checkpoint.sweep, checkpoint.in_sweep, checkpoint.updated_at AS checkpoint_at,
       coalesce(gate.failures, 0) AS failures, gate.open_until, gate.probing_until,
       coalesce(gate.last_error, '') AS gate_error,
       coalesce(month.calls, 0) AS calls, (SELECT min(run.queued_at) FROM ingestion_run run
           WHERE run.source_id = source.id AND run.queued_at >= date_trunc('month', now(), 'UTC')) AS month_began,
       (SELECT count(*) FROM ingestion_reject reject
         WHERE reject.source_id = source.id AND reject.state = 'open') AS rejects_open,
       (SELECT count(*) FROM ingestion_rawpayload waiting
         WHERE waiting.source_id = source.id AND waiting.state = 'stored') AS pages_waiting,
       now() + interval '1 second' * (source.interval_seconds
           - mod(extract(epoch FROM now() - coalesce(scheduled.queued_at, to_timestamp(0))), source.interval_seconds))
           AS next_due_at,
       now() AS now
FROM assets_source source
LEFT JOIN LATERAL (SELECT * FROM ingestion_run run WHERE run.source_id = source.id
    ORDER BY id DESC LIMIT 1) latest ON true
LEFT JOIN LATERAL (SELECT * FROM ingestion_run run WHERE run.source_id = source.id
    AND run.status IN ('completed', 'partial', 'failed') ORDER BY id DESC LIMIT 1) ended ON true
LEFT JOIN LATERAL (SELECT * FROM ingestion_run run WHERE run.source_id = source.id
    AND run.status = 'completed' ORDER BY id DESC LIMIT 1) good ON true
LEFT JOIN LATERAL (SELECT * FROM ingestion_run run WHERE run.source_id = source.id
    AND run.status = 'failed' ORDER BY id DESC LIMIT 1) bad ON true
LEFT JOIN LATERAL (SELECT queued_at FROM ingestion_run run WHERE run.source_id = source.id
    AND run.slot IS NOT NULL ORDER BY slot DESC LIMIT 1) scheduled ON true
LEFT JOIN LATERAL (SELECT last_processed_id FROM ingestion_run run WHERE run.source_id = source.id
    AND run.last_processed_id <> '' ORDER BY id DESC LIMIT 1) processed ON true
LEFT JOIN LATERAL (SELECT normalized_at FROM ingestion_rawpayload page WHERE page.source_id = source.id
    AND page.state = 'normalized' ORDER BY sweep DESC, id DESC LIMIT 1) page ON true
LEFT JOIN ingestion_checkpoint checkpoint ON checkpoint.source_id = source.id
LEFT JOIN ingestion_gate gate ON gate.source_id = source.id
LEFT JOIN ingestion_callmonth month ON month.source_id = source.id
    AND month.month = date_trunc('month', now() AT TIME ZONE 'UTC')::date
ORDER BY source.identity_rank, source.slug
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """One source. Times and ids are None where there was no such run."""

    slug: str
    title: str
    enabled: bool
    interval_seconds: int
    last_sweep_at: datetime | None
    last_sweep_records: int
    run_id: int | None
    status: str | None
    trigger: str | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    ended_id: int | None
    """The latest run that ended with a verdict: completed, partial or failed."""
    ended_status: str | None
    ended_error: str | None
    success_id: int | None
    last_success: datetime | None
    failure_id: int | None
    last_failure: datetime | None
    failure_error: str | None
    last_processed_id: str | None
    last_processed_at: datetime | None
    sweep: int | None
    in_sweep: bool | None
    checkpoint_at: datetime | None
    failures: int
    open_until: datetime | None
    probing_until: datetime | None
    gate_error: str
    calls: int
    month_began: datetime | None
    rejects_open: int
    pages_waiting: int
    next_due_at: datetime
    """Whole intervals after the last run that the schedule began: beat counts them from its own beginning."""
    now: datetime
    budget: Budget | None = field(default=None, compare=False)
    """None for a source that no module of this version stands for."""

    @property
    def interval(self) -> timedelta:
        return timedelta(seconds=self.interval_seconds)

    @property
    def circuit(self) -> str:
        if self.open_until is None:
            return "closed"
        return "open" if self.open_until > self.now else "probing"

    @property
    def seconds_since_success(self) -> float | None:
        return None if self.last_success is None else round((self.now - self.last_success).total_seconds(), 3)

    @property
    def late_seconds(self) -> float:
        """How long it has been silent beyond three of its intervals; 0 when it hasn't."""
        if self.last_success is None:
            return 0.0
        late = self.now - self.last_success - INTERVALS_FRESH * self.interval
        return round(max(late.total_seconds(), 0.0), 3)

    @property
    def trouble(self) -> str:
        """Why it isn't healthy, in a sentence; "" when it is, or when it is switched off."""
        if not self.enabled:
            return ""
        if self.ended_id is None:
            return f"{self.title} has not ended a run yet."
        if self.ended_status == "failed":
            return f"{self.title}: the last run ({self.ended_id}) failed: {self.ended_error}"
        if self.last_success is None:
            return f"{self.title} has no completed run yet; the last one ended {self.ended_status}: {self.ended_error}"
        if self.late_seconds:
            silent = span(self.now - self.last_success)
            return f"{self.title}: the last completed run ended {silent} ago, one is due every {span(self.interval)}."
        return ""


def standings() -> list[Standing]:
    """Every source, the best-ranked first. One query."""
    names = [one.name for one in fields(Standing) if one.name != "budget"]
    with connection.cursor() as cursor:
        cursor.execute(STANDINGS)
        rows = cursor.fetchall()
    found = []
    for row in rows:
        known: dict[str, Any] = dict(zip(names, row, strict=True))
        known["budget"] = None
        if known["slug"] in BY_SLUG:
            config = configured(known["slug"])
            known["budget"] = reckon(
                known["calls"], config.limits.per_month, known["month_began"], config.every, known["now"]
            )
        found.append(Standing(**known))
    return found


@dataclass(slots=True)
class Tally:
    """What a source's runs have done, as long as they are kept."""

    runs: dict[str, int] = field(default_factory=dict)
    processed: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    retries: int = 0


def tallies() -> dict[str, Tally]:
    """By source. One query."""
    found: dict[str, Tally] = defaultdict(Tally)
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT source.slug, run.status, count(run.id), sum(processed), sum(inserted), sum(updated),
                      sum(unchanged), sum(rejected), sum(retries)
               FROM assets_source source LEFT JOIN ingestion_run run ON run.source_id = source.id
               GROUP BY source.slug, run.status"""
        )
        for slug, status, runs, *sums in cursor.fetchall():
            tally = found[slug]
            if status is not None:
                tally.runs[status] = runs
            for name, value in zip(
                ("processed", "inserted", "updated", "unchanged", "rejected", "retries"), sums, strict=True
            ):
                setattr(tally, name, getattr(tally, name) + int(value or 0))
    return found
