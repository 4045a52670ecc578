"""SOURCES meets the settings and the database: rows, gates, checkpoints, schedules and psql views for every source.

Runs after each migrate. A schedule follows the plan and the settings until it is edited in the admin; then it stays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from assets import store
from assets.models import Source as SourceRow
from ingestion.gate import Limits
from ingestion.http import SourceHttp
from ingestion.models import Checkpoint, Gate
from ingestion.source import Options, Plan, Source
from ingestion.sources import BY_SLUG, SOURCES

#: What beat sends apart from the sources: task, seconds between two, what a person reads in the admin.
HOUSEKEEPING = (
    ("ingestion.tasks.reconcile", timedelta(seconds=15), "reconcile: take over dead runs, send waiting pages again"),
    (
        "ingestion.tasks.roll_up",
        timedelta(seconds=15),
        "roll up: new price points into the candles of an hour and a day",
    ),
    ("ingestion.tasks.prune", timedelta(days=1), "prune: apply retention"),
)


@dataclass(frozen=True, slots=True)
class Configured:
    """A source as the settings have it: what the pipeline works with."""

    source: Source
    plan: Plan
    options: Options
    limits: Limits
    every: timedelta

    def http(self, row: SourceRow) -> SourceHttp:
        key = (self.plan.key_header, self.options.api_key) if self.plan.key_header and self.options.api_key else None
        return SourceHttp(row, self.source, self.options.base_url, self.limits, key)


def configured(slug: str) -> Configured:
    """The source of that slug with this installation's settings."""
    source = BY_SLUG[slug]
    of = {
        name: getattr(settings, f"{slug.upper()}_{name}", None)
        for name in ("API_KEY", "PLAN", "BASE_URL", "COINS", "MONTHLY_CALLS")
    }
    name = of["PLAN"] or ("paid" if of["API_KEY"] and "paid" in source.plans else next(iter(source.plans)))
    plan = source.plans[name]
    every = plan.every if source.network and not settings.DEMO else timedelta(seconds=settings.ETL_INTERVAL_SECONDS)
    return Configured(
        source=source,
        plan=plan,
        options=Options(
            base_url=of["BASE_URL"] or plan.base_url,
            api_key=of["API_KEY"] or "",
            plan=name,
            coins=of["COINS"] or 1000,
            path=settings.CSV_SOURCE_PATH,
            batch_size=settings.ETL_BATCH_SIZE,
        ),
        # The demo's server is on this machine: it counts no month.
        limits=Limits(
            settings.ETL_RATE_LIMIT_REQUESTS or plan.calls_per_minute,
            None if settings.DEMO else of["MONTHLY_CALLS"] or plan.calls_per_month,
        ),
        every=every,
    )


def title(source: Source) -> str:
    """What people read: sample data and demos say what they are."""
    if settings.DEMO:
        return f"{source.title} (demo)"
    return f"{source.title} (sample of 2026-11-01)" if source.slug == "csv" and settings.CSV_IS_SAMPLE else source.title


def install_sources(**_: Any) -> None:
    """Every source has its row, gate, checkpoint, schedule and view. Safe to repeat."""
    with transaction.atomic():
        for source in SOURCES:
            every = configured(source.slug).every
            row, _created = SourceRow.objects.update_or_create(
                slug=source.slug,
                defaults={"title": title(source), "identity_rank": source.identity_rank},
                create_defaults={
                    "title": title(source),
                    "identity_rank": source.identity_rank,
                    "interval_seconds": every.total_seconds(),
                },
            )
            Gate.objects.get_or_create(source=row)
            Checkpoint.objects.get_or_create(source=row)
            create_view(row)
            before = timedelta(seconds=row.planned_seconds)
            schedule(f"ingest {source.slug}", "ingestion.tasks.start", every, [source.slug], before)
            SourceRow.objects.filter(pk=row.pk).update(planned_seconds=every.total_seconds())
        for task, every, name in HOUSEKEEPING:
            schedule(name, task, every)
    store.ensure_partitions([datetime.now(UTC)])


def create_view(row: SourceRow) -> None:
    """`raw_<source>`: a row for each record as received, for people at psql."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE OR REPLACE VIEW raw_{row.slug} AS
                SELECT page.id AS page_id, item.position, page.received_at, item.payload
                FROM ingestion_rawpayload page
                JOIN ingestion_rawbody body ON body.sha256 = page.body_id
                CROSS JOIN LATERAL ingestion_items(body.text, page.meta) AS item(position, payload)
                WHERE page.source_id = {int(row.pk)}"""
        )


def schedule(name: str, task: str, every: timedelta, args: Sequence[str] = (), before: timedelta | None = None) -> None:
    """Beat's row, made once. One that still says what was planned `before` follows; any other was edited, and stays."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    there = PeriodicTask.objects.select_related("interval").filter(name=name).first()
    if there and not (there.interval and there.interval.schedule.run_every == before != every):
        return
    interval, _ = IntervalSchedule.objects.get_or_create(
        every=int(every.total_seconds()), period=IntervalSchedule.SECONDS
    )
    if there:
        there.interval = interval
        there.save()
        return
    PeriodicTask.objects.create(
        name=name,
        task=task,
        interval=interval,
        args=json.dumps(list(args)),
        queue="maintenance",
        description="Created with the system; changes made here stay.",
    )
