"""What answers look like, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from assets.examples import ENVELOPE
from assets.examples import ROW as DATA_ROW

RUN: dict[str, Any] = {
    "run_id": 41,
    "source": "coingecko",
    "status": "completed",
    "trigger": "schedule",
    "started_at": "2026-11-01T12:00:00.051Z",
    "finished_at": "2026-11-01T12:00:02.118Z",
    "duration_seconds": 2.067,
    "pages": 4,
    "processed": 1000,
    "inserted": 2,
    "updated": 941,
    "unchanged": 57,
    "rejected": 0,
    "retries": 0,
    "last_processed_id": "some-coin",
    "error": None,
}
RUNS = ENVELOPE | {"data": [RUN], "total": 41, "page": 1, "page_size": 50, "next": None, "previous": None}
QUEUED = ENVELOPE | {
    "data": RUN
    | dict.fromkeys(("started_at", "finished_at", "duration_seconds", "last_processed_id"))
    | dict.fromkeys(("pages", "processed", "inserted", "updated", "unchanged"), 0)
    | {"run_id": 42, "status": "queued", "trigger": "api"}
}
ROW = ENVELOPE | {
    "data": DATA_ROW
    | {
        "provenance": {
            "run_id": 41,
            "payload_id": 164,
            "position": 0,
            "url": "https://api.coingecko.com/api/v3/coins/markets?vs_currency=usd&per_page=250&page=1",
            "status_code": 200,
            "received_at": "2026-11-01T12:00:00.412Z",
            "record": {"id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "current_price": 68123.45},
        }
    }
}
EVENT: dict[str, Any] = {
    "id": 7,
    "kind": "delisted",
    "at": "2026-11-01T12:00:02.118Z",
    "source": "coingecko",
    "source_asset_id": "some-coin",
    "asset_id": "some-coin",
    "symbol": "SOME",
    "name": "Some Coin",
    "detail": "missing from 3 whole sweeps",
    "row_id": 901,
}
EVENTS = ENVELOPE | {"data": [EVENT], "total": 1, "page": 1, "page_size": 50, "next": None, "previous": None}
STATS = ENVELOPE | {
    "records_processed": 41000,
    "last_success": "2026-11-01T12:00:02.118Z",
    "last_failure": None,
    "events": [EVENT],
    "sources": {
        "coingecko": {
            "title": "CoinGecko",
            "enabled": True,
            "status": "completed",
            "run_id": 41,
            "trigger": "schedule",
            "started_at": "2026-11-01T12:00:00.051Z",
            "finished_at": "2026-11-01T12:00:02.118Z",
            "error": None,
            "last_processed_id": "some-coin",
            "last_processed_at": "2026-11-01T12:00:02.100Z",
            "last_success": "2026-11-01T12:00:02.118Z",
            "last_failure": None,
            "records_processed": 41000,
            "interval_seconds": 1200,
            "next_due_at": "2026-11-01T12:20:00Z",
            "budget": {"calls_this_month": 164, "calls_per_month": 10000, "calls_left": 9836, "runs_out_at": None},
            "circuit": {"state": "closed", "failures": 0, "open_until": None, "last_error": None},
        }
    },
}
COMPARISON = ENVELOPE | {
    "data": {
        "a": RUN,
        "b": RUN | {"run_id": 42, "processed": 998},
        "differences": {"processed": {"a": 1000, "b": 998, "change": -2}},
        "only_in_a": {"count": 2, "source_asset_ids": ["a-coin", "another-coin"]},
        "only_in_b": {"count": 0, "source_asset_ids": []},
    }
}
RAN: dict[str, Any] = {
    "run_id": 41,
    "source": "coingecko",
    "status": "completed",
    "started_at": "2026-11-01T12:00:00.051Z",
    "finished_at": "2026-11-01T12:00:02.118Z",
    "duration_seconds": 2.067,
    "pages": 4,
    "processed": 1000,
    "records_per_second": 483.8,
    "page_latency_seconds": 0.211,
    "anomaly": False,
    "anomalies": [],
}
PERFORMANCE = ENVELOPE | {
    "data": {
        "since": "2026-10-25T12:00:00Z",
        "sources": {
            "coingecko": {
                "runs": 504,
                "duration_seconds": {"p50": 2.1, "p95": 3.4, "p99": 6.2},
                "records_per_second": {"p50": 478.1, "p95": 610.9, "p99": 640.2},
                "page_latency_seconds": {"pages": 2016, "p50": 0.19, "p95": 0.41, "p99": 0.9},
            }
        },
        "runs": [RAN],
    }
}
ANOMALIES = ENVELOPE | {
    "data": {
        "runs": [
            RAN
            | {
                "run_id": 40,
                "duration_seconds": 61.2,
                "anomaly": True,
                "anomalies": [{"measure": "duration_seconds", "value": 61.2, "median": 2.1, "score": 59.1}],
            }
        ],
        "prices": [
            {
                "kind": "jump",
                "asset_id": "some-coin",
                "source": "coingecko",
                "source_asset_id": "some-coin",
                "price_usd": 4.2,
                "median": 2.01,
                "score": 27.24,
                "observed_at": "2026-11-01T11:59:31Z",
                "reason": "+27.2 robust deviations from the median of the 50 before it",
            }
        ],
    }
}
HEALTH: dict[str, Any] = {
    "status": "healthy",
    "database": "healthy",
    "broker": "healthy",
    "etl": "healthy",
    "reasons": [],
    "timestamp": "2026-11-01T12:00:05.000Z",
    "request_id": "9f0c1c1c7d7f4b6f8a52f3e4b7f0a1d2",
}
HEALTH_DETAILED = HEALTH | {
    "workers": [
        {"name": "celery@web1", "pid": 71, "started_at": "2026-11-01T08:00:00Z", "seen_at": "2026-11-01T12:00:02Z"}
    ],
    "queues": {"fetch": 0, "normalize": 0, "maintenance": 0},
    "stream": {"listeners": 12},
    "beat": {"last_tick_at": "2026-11-01T12:00:00Z", "seconds_since": 5.0},
    "sources": {
        "coingecko": {
            "status": "healthy",
            "last_success_at": "2026-11-01T12:00:02.118Z",
            "seconds_since_success": 2.9,
            "interval_seconds": 1200,
            "late_seconds": 0.0,
            "circuit": "closed",
            "calls_left": 9836,
        }
    },
    "disk": {"free_bytes": 51234567890, "total_bytes": 107374182400},
    "versions": {
        "cryptoetl": "0.1.0",
        "python": "3.11.2",
        "django": "5.2.19",
        "celery": "5.7.0",
        "postgresql": "18.4",
        "redis": "6.2.14",
    },
}
