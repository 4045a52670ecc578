"""Our answers have the shape of recorded ones. Needs recordings from outside: `PAYLOADS=dir`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryptoetl.demo import ProviderServer
from cryptoetl.demo.tests.calling import markets, tickers

PAYLOADS = Path(os.environ.get("PAYLOADS", ""))
pytestmark = pytest.mark.skipif(not os.environ.get("PAYLOADS"), reason="PAYLOADS names no corpus")


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as running:
        yield running


def recorded(pattern: str) -> Iterator[tuple[str, Any]]:
    for path in sorted(PAYLOADS.glob(pattern)):
        if not path.name.endswith(".headers.json"):
            content = json.loads(path.read_text("utf-8"))
            yield path.name, content["data"] if isinstance(content, dict) and "data" in content else content


def kinds(items: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Each key with the JSON types that it was seen with; whole numbers and others are one type."""
    found: dict[str, set[str]] = {}
    for item in items:
        for key, value in item.items():
            kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
            found.setdefault(key, set()).add(kind)
    return found


def test_markets_have_the_keys_and_types_of_2025_in_their_order(provider: ProviderServer) -> None:
    name, items = next(recorded("coingecko/markets_2025-02-09_250*.json"))
    ours = markets(provider, precision="full", price_change_percentage="1h,24h,1y").json
    assert [list(item) for item in ours] == [list(items[0])] * 250, name
    theirs = kinds(items)
    for key, types in kinds(ours).items():
        assert types <= theirs[key] | {"NoneType"}, key
        assert theirs[key] - {"NoneType"} <= types, key


def test_markets_have_the_keys_of_2026(provider: ProviderServer) -> None:
    _, items = next(recorded("coingecko/markets_2026-*.json"))
    spans = "1h,24h,7d,14d,30d,200d,1y"
    ours = markets(provider, include_rehypothecated="true", price_change_percentage=spans).json
    assert set(ours[0]) == set(items[0])


def test_tickers_have_the_keys_of_2026_in_their_order(provider: ProviderServer) -> None:
    _, item = next(recorded("coinpaprika/ticker_btc_2026-*.json"))
    for ours in tickers(provider).json:
        assert list(ours) == list(item)
        assert list(ours["quotes"]["USD"]) == list(item["quotes"]["USD"])


def test_paid_tickers_have_the_keys_and_types_of_2021(provider: ProviderServer) -> None:
    _, items = next(recorded("coinpaprika/tickers_2021-*_full.json"))
    with ProviderServer(coinpaprika_plan="pro") as paying:
        ours = tickers(paying).json
    assert set(ours[0]) == set(items[0])
    quotes = [kinds([item["quotes"]["USD"] for item in some]) for some in (ours, items)]
    assert quotes[0].keys() == quotes[1].keys()
    for key, types in quotes[0].items():
        assert types <= quotes[1][key], key


def test_our_fixtures_are_our_own_in_their_shape() -> None:
    folder = Path(__file__).parents[3] / "ingestion" / "tests" / "payloads"
    _, theirs = next(recorded("coingecko/markets_2025-02-09_250*.json"))
    ours = json.loads((folder / "coingecko_markets.json").read_text("utf-8"))
    assert [list(item) for item in ours] == [list(theirs[0])] * len(ours)
    figures = {item["id"]: item["current_price"] for item in theirs}
    assert all(item["current_price"] != figures.get(item["id"]) for item in ours)
