"""A corpus of recorded payloads from outside (PAYLOADS=dir make test): every file goes in, or says why not."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.drift import shape_of
from ingestion.errors import Malformed
from ingestion.source import PageFacts
from ingestion.sources import BY_SLUG
from ingestion.tests.sources.test_json_sources import read

CORPUS = Path(os.environ.get("PAYLOADS") or "no-corpus")
FACTS = PageFacts(datetime(2026, 11, 20, tzinfo=UTC))


def files(source: str, pattern: str) -> list[Path]:
    return sorted(path for path in (CORPUS / source).glob(pattern) if not path.name.endswith(".headers.json"))


pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="PAYLOADS names no folder")

PAGES = [("coingecko", path) for path in files("coingecko", "markets_*.json")]
PAGES += [("coinpaprika", path) for path in files("coinpaprika", "tickers_*.json")]
#: What is no page of the addresses that are read here.
OTHERS = [
    ("coingecko", path)
    for pattern in ("coins_*.json", "simple_*.json", "wrapped_*.json", "errors/*.json")
    for path in files("coingecko", pattern)
]
OTHERS += [
    ("coinpaprika", path)
    for pattern in ("coin*.json", "global_*.json", "ticker_*.json", "errors/*")
    for path in files("coinpaprika", pattern)
]


@pytest.mark.parametrize(("slug", "path"), PAGES, ids=lambda value: getattr(value, "name", value))
def test_a_recorded_page_goes_in_whole_and_exactly(slug, path):
    source, body = BY_SLUG[slug], path.read_bytes()
    items = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    records, rejects = read(source, body)
    assert len(records) + len(rejects) == len(items)
    if "quotes_btc" in path.name:
        assert set(rejects) == {"quotes.USD is missing: without it there is no price in dollars."}
        return
    assert rejects == []
    for item, record in zip(items, records, strict=True):
        price = item["current_price"] if slug == "coingecko" else item["quotes"]["USD"]["price"] or None
        assert (record.source_asset_id, record.price_usd) == (item["id"], price)
    unknown = set(shape_of(source, body, {}).types) - source.known_fields
    assert unknown == set(), "a field that is neither handled nor ignored by name"


@pytest.mark.parametrize(("slug", "path"), OTHERS, ids=lambda value: getattr(value, "name", value))
def test_what_is_no_page_is_refused_with_a_reason(slug, path):
    try:
        records, rejects = read(BY_SLUG[slug], path.read_bytes())
    except Malformed as error:
        assert str(error).endswith(".") or ":" in str(error)
    else:
        assert records == []
        assert rejects
