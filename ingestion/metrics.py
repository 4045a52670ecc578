"""Prometheus: figures of PostgreSQL and Redis when asked, so that the work of other processes is in them."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db import Error, connection
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from assets.tables import ASSETS, DELISTED, stale
from assets.tally import total_sql
from ingestion import broker
from ingestion.models import Pulse
from ingestion.reach import PATIENCE, crew, database_trouble
from ingestion.standing import standings, tallies

#: Quotes and listings are gone through side by side: joined, a million takes four times as long.
ROWS = f"""
SELECT source.slug, coalesce(quotes, 0), coalesce(stale, 0), coalesce(delisted, 0), newest
FROM assets_source source
LEFT JOIN (
    SELECT q.source_id, count(*) AS quotes, count(*) FILTER (WHERE {stale()}) AS stale,
           extract(epoch FROM max(q.observed_at))::float8 AS newest
    FROM assets_quote q JOIN assets_source s ON s.id = q.source_id GROUP BY q.source_id
) quoted ON quoted.source_id = source.id
LEFT JOIN ({DELISTED}) gone ON gone.source_id = source.id
"""
OUTCOMES = ("inserted", "updated", "unchanged", "rejected")


def exposition() -> bytes:
    """The text that Prometheus scrapes."""
    registry = CollectorRegistry()
    registry.register(Figures())
    return generate_latest(registry)


def gauge(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cryptoetl_{name}", help_text, labels=labels)


class Figures(Collector):
    """Everything, in the order in which a person would read it."""

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering it must ask no server."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = gauge("up", "Whether the server answers.", "server")
        database = not database_trouble()
        up.add_metric(["database"], database)
        up.add_metric(["broker"], not broker.trouble(PATIENCE))
        yield up
        info = gauge("info", "What is running.", "version", "demo")
        info.add_metric([settings.VERSION, str(settings.DEMO).lower()], 1)
        yield info
        yield from self.work()
        if database:
            try:
                yield from [*self.sources(), *self.runs(), *self.rows(), *self.clock()]
            except Error:
                # It went away in the middle; cryptoetl_up will say so at the next scrape.
                return

    def work(self) -> Iterator[Metric]:
        seen = crew()
        depth = gauge("queue_depth", "Messages that wait in the queue.", "queue")
        for queue, waiting in seen.queues.items():
            if waiting is not None:
                depth.add_metric([queue], waiting)
        yield depth
        if seen.workers is not None:
            workers = gauge("workers", "Workers that are there.")
            workers.add_metric([], len(seen.workers))
            yield workers

    def sources(self) -> Iterator[Metric]:
        found = standings()
        families = {
            "source_enabled": gauge("source_enabled", "Whether the source is switched on.", "source"),
            "source_healthy": gauge("source_healthy", "Whether its last run went well and is recent.", "source"),
            "interval": gauge("interval_seconds", "How often it runs.", "source"),
            "last_success": gauge("last_success_timestamp_seconds", "When its last completed run ended.", "source"),
            "since": gauge("seconds_since_success", "How long ago that was.", "source"),
            "late": gauge("late_seconds", "How long it has been silent beyond three of its intervals.", "source"),
            "rejects": gauge("rejects_open", "Records that can't be read and wait for a person.", "source"),
            "waiting": gauge("pages_waiting", "Pages stored and not yet normalized.", "source"),
            "used": gauge("calls_used_this_month", "Calls of the calendar month (UTC).", "source"),
            "left": gauge("calls_left_this_month", "Calls that the plan still allows.", "source"),
            "circuit": gauge("circuit_open", "Whether calls are held back after failures.", "source"),
        }
        for source in found:
            values: dict[str, float | None] = {
                "source_enabled": source.enabled,
                "source_healthy": not source.trouble,
                "interval": source.interval_seconds,
                "last_success": source.last_success.timestamp() if source.last_success else None,
                "since": source.seconds_since_success,
                "late": source.late_seconds,
                "rejects": source.rejects_open,
                "waiting": source.pages_waiting,
                "used": source.calls,
                "left": source.budget.left if source.budget else None,
                "circuit": source.circuit != "closed",
            }
            for name, value in values.items():
                if value is not None:
                    families[name].add_metric([source.slug], value)
        yield from families.values()

    def runs(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("cryptoetl_runs", "Runs by how they ended.", labels=["source", "status"])
        records = CounterMetricFamily(
            "cryptoetl_records", "Records by what became of them.", labels=["source", "outcome"]
        )
        retries = CounterMetricFamily("cryptoetl_retries", "Calls that were tried again.", labels=["source"])
        for slug, tally in sorted(tallies().items()):
            for status, count in sorted(tally.runs.items()):
                runs.add_metric([slug, status], count)
            for outcome in OUTCOMES:
                records.add_metric([slug, outcome], getattr(tally, outcome))
            retries.add_metric([slug], tally.retries)
        yield from (runs, records, retries)

    def rows(self) -> Iterator[Metric]:
        quotes = gauge("quotes", "Rows of /data.", "source")
        stale_rows = gauge("quotes_stale", "Rows that their source has been silent about.", "source")
        delisted = gauge("listings_delisted", "Listings missing from three whole sweeps.", "source")
        newest = gauge("newest_observation_timestamp_seconds", "The newest observation of the source.", "source")
        with connection.cursor() as cursor:
            cursor.execute(ROWS)
            for slug, count, old, gone, newest_at in cursor.fetchall():
                quotes.add_metric([slug], count)
                stale_rows.add_metric([slug], old)
                delisted.add_metric([slug], gone)
                if newest_at is not None:
                    newest.add_metric([slug], newest_at)
            cursor.execute(f"SELECT {total_sql(ASSETS, [])}, (SELECT count(*) FROM assets_candle_due)")
            assets = gauge("assets", "Real-world assets.")
            due = gauge("candle_pages_due", "Pages whose price points are not in the candles yet.")
            for family, count in zip((assets, due), cursor.fetchone(), strict=True):
                family.add_metric([], count)
        yield from (quotes, stale_rows, delisted, newest, assets, due)

    def clock(self) -> Iterator[Metric]:
        pulse = Pulse.objects.filter(name="reconcile").first()
        if pulse is not None:
            tick = gauge("beat_last_tick_timestamp_seconds", "When what beat sends was last carried out.")
            tick.add_metric([], pulse.at.timestamp())
            yield tick
