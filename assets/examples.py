"""What answers look like, for the OpenAPI document: a test asks for each and compares."""

from __future__ import annotations

import json
from typing import Any

ROW: dict[str, Any] = {
    "id": 1,
    "asset_id": "bitcoin",
    "symbol": "BTC",
    "name": "Bitcoin",
    "price_usd": 68123.45,
    "market_cap": 1345678901234,
    "volume_24h": 23456789012,
    "percent_change_24h": -1.25,
    "rank": 1,
    "source": "coingecko",
    "source_asset_id": "bitcoin",
    "updated_at": "2026-11-01T11:59:31.204Z",
    "last_seen_at": "2026-11-01T12:00:02.118201Z",
    "is_stale": False,
    "delisted": False,
}
OTHER_ROW = ROW | {
    "id": 2,
    "price_usd": 68119.0,
    "source": "coinpaprika",
    "source_asset_id": "btc-bitcoin",
    "updated_at": "2026-11-01T11:59:00Z",
}
OLD_ROW = ROW | {
    "id": 3,
    "price_usd": 61000,
    **dict.fromkeys(("market_cap", "volume_24h", "percent_change_24h", "rank")),
    "source": "csv",
    "source_asset_id": "BTC",
    "updated_at": "2026-10-01T00:00:00Z",
    "is_stale": True,
}
ENVELOPE: dict[str, Any] = {"request_id": "9f0c1c1c7d7f4b6f8a52f3e4b7f0a1d2", "api_latency_ms": 2.114}
#: A batch of one quote on /stream.
STREAM = f"""event: quote
data: {json.dumps(ROW, separators=(",", ":"))}

event: batch
id: 1041-1795253551884789
data: {{"quotes":1}}

"""
DATA_PAGE = ENVELOPE | {
    "data": [ROW],
    "total": 3,
    "page": 1,
    "page_size": 1,
    "next": "http://localhost:8000/data?page_size=1&page=2",
    "previous": None,
}
CONSENSUS: dict[str, Any] = {
    "price_usd": 68121.225,
    "price_min": 68119.0,
    "price_max": 68123.45,
    "spread_bps": 0.653247,
    "agreement": "agree",
    "sources_used": ["coingecko", "coinpaprika"],
    "left_out": [{"source": "csv", "reason": "stale: observed 2026-10-01T00:00:00Z, longer ago than 3 intervals"}],
    "observed_at": "2026-11-01T11:59:00Z",
}
ASSET: dict[str, Any] = {
    "asset_id": "bitcoin",
    "symbol": "BTC",
    "name": "Bitcoin",
    "rank": 1,
    "price_usd": 68121.225,
    "market_cap": 1345678901234,
    "volume_24h": 23456789012,
    "percent_change_24h": -1.25,
    "spread_bps": 0.653247,
    "updated_at": "2026-11-01T11:59:00Z",
    "consensus": CONSENSUS,
    "quotes": [ROW, OTHER_ROW, OLD_ROW],
}
ASSET_PAGE = ENVELOPE | {"data": [ASSET], "total": 1, "page": 1, "page_size": 50, "next": None, "previous": None}


def evidence(row: dict[str, Any], method: str, confidence: float, *reasons: str) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("id", "source", "source_asset_id")},
        "method": method,
        "confidence": confidence,
        "reasons": list(reasons),
        "contracts": [],
        "first_seen_at": "2026-10-01T08:00:01.002Z",
    }


ALIKE = "same symbol and name"
ASSET_DETAIL = ENVELOPE | {
    "data": ASSET
    | {
        "identity": [
            evidence(ROW, "anchor", 1.0),
            evidence(OTHER_ROW, ALIKE, 0.958, ALIKE, "supply agrees", "prices agree", "market cap agrees"),
            evidence(OLD_ROW, ALIKE, 0.924, ALIKE, "supply agrees", "prices 12 % apart, of other days"),
        ]
    }
}


def of_source(title: str, **other: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "title": title,
        "enabled": True,
        "rows": 1,
        "assets": 1,
        "stale": 0,
        "delisted": 0,
        "without_price": 0,
        "newest_update": ROW["updated_at"],
        "oldest_update": ROW["updated_at"],
        "total_market_cap": ROW["market_cap"],
        "last_sweep_at": "2026-11-01T12:00:02.118201Z",
    }
    return figures | other


def updated(row: dict[str, Any]) -> dict[str, Any]:
    return {"newest_update": row["updated_at"], "oldest_update": row["updated_at"]}


SUMMARY = ENVELOPE | {
    "data": {
        "rows": 3,
        "assets": 1,
        "assets_priced": 1,
        "assets_in_several_sources": 1,
        "assets_disagreeing": 0,
        "stale": 1,
        "delisted": 0,
        "newest_update": ROW["updated_at"],
        "oldest_update": OLD_ROW["updated_at"],
        "total_market_cap": ROW["market_cap"],
        "sources": {
            "coingecko": of_source("CoinGecko"),
            "coinpaprika": of_source("CoinPaprika", **updated(OTHER_ROW)),
            "csv": of_source("CSV file (sample of 2026-11-01)", **updated(OLD_ROW), stale=1, total_market_cap=None),
        },
    }
}
CANDLES = ENVELOPE | {
    "asset_id": "bitcoin",
    "interval": "1h",
    "from": "2026-11-01T10:00:00Z",
    "to": "2026-11-01T12:30:00Z",
    "source": "coingecko",
    "derived": True,
    "derived_from": "our own observations, and backfilled points where a candle counts them",
    "data": [
        {
            "start": "2026-11-01T11:00:00Z",
            "end": "2026-11-01T12:00:00Z",
            "open": 68010.2,
            "high": 68123.45,
            "low": 67990.01,
            "close": 68123.45,
            "count": 3,
            "backfilled": 0,
            "last_at": "2026-11-01T11:59:31.204Z",
            "closed": True,
        },
        {
            "start": "2026-11-01T12:00:00Z",
            "end": "2026-11-01T13:00:00Z",
            "open": 68150,
            "high": 68150,
            "low": 68150,
            "close": 68150,
            "count": 1,
            "backfilled": 0,
            "last_at": "2026-11-01T12:19:02.71Z",
            "closed": False,
        },
    ],
    "gaps": [{"from": "2026-11-01T10:00:00Z", "to": "2026-11-01T11:00:00Z", "source": "coingecko"}],
    "next": None,
}
POINTS = ENVELOPE | {
    "asset_id": "bitcoin",
    "interval": "raw",
    "from": "2026-11-01T11:00:00Z",
    "to": "2026-11-01T12:00:00Z",
    "source": None,
    "derived": False,
    "derived_from": None,
    "data": [
        {
            "observed_at": "2026-11-01T11:59:31.204Z",
            "source": "coingecko",
            "source_asset_id": "bitcoin",
            "price_usd": 68123.45,
            "market_cap": 1345678901234,
            "volume_24h": 23456789012,
            "origin": "observed",
        }
    ],
    "gaps": [],
    "next": None,
}
