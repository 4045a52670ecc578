"""The examples of the schema are answers: each is asked for, and compared with what comes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from assets.models import Source
from assets.tests.factories import load, record

pytestmark = pytest.mark.django_db

#: What differs from one installation and moment to another.
OUR_OWN = {"request_id", "api_latency_ms", "id", "last_seen_at", "first_seen_at", "last_sweep_at"}
SUPPLY = {"circulating_supply": "19750000"}


def at(hour: int, minute: int, second: float = 0) -> datetime:
    return datetime(2026, 11, 1, hour, minute, int(second), round(second % 1 * 1e6), tzinfo=UTC)


def world() -> None:
    """Bitcoin at two sources, fresh; what a third said of it is long ago."""
    Source.objects.filter(slug="csv").update(interval_seconds=300)
    Source.objects.exclude(slug="csv").update(interval_seconds=10 * 365 * 86_400)
    load("csv", record("BTC", "BTC", "Bitcoin", at=datetime(2026, 10, 1, tzinfo=UTC), price_usd="61000", **SUPPLY))
    figures = {"market_cap": "1345678901234", "volume_24h": "23456789012", "percent_change_24h": "-1.25", "rank": 1}
    for time, price in (
        (at(11, 0, 11.5), "68010.2"),
        (at(11, 20, 9), "67990.01"),
        (at(11, 59, 31.204), "68123.45"),
    ):
        load("coingecko", record("bitcoin", "BTC", "Bitcoin", at=time, price_usd=price, **figures, **SUPPLY))
    load(
        "coinpaprika",
        record("btc-bitcoin", "BTC", "Bitcoin", at=at(11, 59), price_usd="68119.0", **figures, **SUPPLY),
    )


def without_our_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: None if name in OUR_OWN else without_our_own(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_our_own(one) for one in value]
    return re.sub(r"^http://[^/]+/", "/", value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/data", "/data?page_size=1"),
        ("/data/summary", "/data/summary"),
        ("/assets", "/assets"),
        ("/assets/{asset_id}", "/assets/bitcoin"),
    ],
)
def test_an_example_is_what_comes(client, path, asked):
    """Those of a history are held to its answers in `test_api_history`."""
    world()
    content = client.get("/schema").json()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    (example,) = content["examples"].values()
    answer = client.get(asked)
    assert answer.status_code == 200
    assert without_our_own(answer.json()) == without_our_own(example["value"])
