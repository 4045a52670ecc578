"""What answers look like, for the OpenAPI document."""

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
    "id": 1001,
    "price_usd": 68119.0,
    "source": "coinpaprika",
    "source_asset_id": "btc-bitcoin",
    "updated_at": "2026-11-01T11:59:00Z",
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
    "total": 3512,
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
    "quotes": [ROW, OTHER_ROW],
}
SUMMARY = ENVELOPE | {
    "data": {
        "rows": 3512,
        "assets": 2610,
        "assets_priced": 2598,
        "assets_in_several_sources": 902,
        "assets_disagreeing": 4,
        "stale": 12,
        "delisted": 3,
        "newest_update": "2026-11-01T11:59:31.204Z",
        "oldest_update": "2026-10-01T00:00:00Z",
        "total_market_cap": 2456789012345,
        "sources": {
            "coingecko": {
                "title": "CoinGecko",
                "enabled": True,
                "rows": 1000,
                "assets": 1000,
                "stale": 2,
                "delisted": 1,
                "without_price": 0,
                "newest_update": "2026-11-01T11:59:31.204Z",
                "oldest_update": "2026-10-31T02:11:09Z",
                "total_market_cap": 2450000000000,
                "last_sweep_at": "2026-11-01T12:00:02.118201Z",
            }
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
