"""How fast it goes: durations, throughput and a page's way from receipt to commit, over time and as percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from ingestion.anomalies import Ran, Unusual

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

LATENCIES = """
SELECT source.slug, count(*), percentile_cont(array[0.5, 0.95, 0.99]) WITHIN GROUP (
    ORDER BY extract(epoch FROM page.normalized_at - page.received_at)::float8)
FROM ingestion_rawpayload page JOIN assets_source source ON source.id = page.source_id
WHERE page.received_at >= %s AND page.state = 'normalized'
GROUP BY source.slug
"""


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Between two values the percentile is interpolated, as PostgreSQL's percentile_cont does; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    found = {}
    for name, share in PERCENTILES.items():
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        found[name] = round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)
    return found


def page_latencies(since: datetime) -> dict[str, dict[str, float]]:
    """By source: seconds from a page's receipt to the commit of what it changed."""
    with connection.cursor() as cursor:
        cursor.execute(LATENCIES, [since])
        return {
            slug: {
                "pages": pages,
                **{name: round(value, 3) for name, value in zip(PERCENTILES, found, strict=True)},
            }
            for slug, pages, found in cursor.fetchall()
        }


def by_source(runs: Sequence[Ran], latencies: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Each source's percentiles over these runs."""
    return {
        slug: {
            "runs": len(its := [run for run in runs if run.source == slug]),
            "duration_seconds": percentiles([run.duration_seconds for run in its]),
            "records_per_second": percentiles([run.records_per_second for run in its if run.records_per_second]),
            "page_latency_seconds": latencies.get(slug),
        }
        for slug in sorted({run.source for run in runs})
    }


def over_time(runs: Sequence[Ran], odd: dict[int, list[Unusual]]) -> list[dict[str, Any]]:
    """The runs, the oldest first, with what is out of the ordinary."""
    return [
        {
            "run_id": run.run_id,
            "source": run.source,
            "status": run.status,
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "duration_seconds": run.duration_seconds,
            "pages": run.pages,
            "processed": run.processed,
            "records_per_second": run.records_per_second,
            "page_latency_seconds": None if run.latency_seconds is None else round(run.latency_seconds, 3),
            "anomaly": run.run_id in odd,
            "anomalies": [shown(finding) for finding in odd.get(run.run_id, ())],
        }
        for run in runs
    ]


def shown(finding: Unusual) -> dict[str, Any]:
    return {
        "measure": finding.measure,
        "value": finding.value,
        "median": finding.median,
        "score": finding.score,
    }
