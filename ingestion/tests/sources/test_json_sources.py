"""CoinGecko's and CoinPaprika's answers read strictly and exactly, on payloads of our own in the providers' shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from assets.records import AssetRecord
from ingestion.errors import Malformed
from ingestion.source import PageFacts, Source
from ingestion.sources import coingecko, coinpaprika

PAYLOADS = Path(__file__).parent.parent / "payloads"
RECEIVED = PageFacts(datetime(2026, 11, 20, tzinfo=UTC))


def read(source: Source, body: bytes) -> tuple[list[AssetRecord], list[str]]:
    records, rejects = [], []
    for item in source.split(body, "utf-8", RECEIVED):
        try:
            if isinstance(item.data, Malformed):
                raise item.data
            records.append(source.parse(item))
        except Malformed as error:
            rejects.append(str(error))
    return records, rejects


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (coingecko.SOURCE, "coingecko_markets.json"),
        (coingecko.SOURCE, "coingecko_markets_rehypothecated.json"),
        (coinpaprika.SOURCE, "coinpaprika_tickers.json"),
        (coinpaprika.SOURCE, "coinpaprika_tickers_with_supply.json"),
    ],
)
def test_every_item_goes_in_with_the_digits_of_the_payload(source, name):
    body = (PAYLOADS / name).read_bytes()
    items = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    records, rejects = read(source, body)
    assert rejects == []
    assert len(records) == len(items)
    for item, record in zip(items, records, strict=True):
        price = item["current_price"] if source is coingecko.SOURCE else item["quotes"]["USD"]["price"]
        assert record.source_asset_id == item["id"]
        assert record.price_usd == (price or None if source is coinpaprika.SOURCE else price)


def market(**fields: object) -> bytes:
    base = {"id": "a", "symbol": "a", "name": "A", "current_price": 1, "last_updated": "2026-11-19T00:00:00.000Z"}
    return json.dumps([{**base, **fields}]).encode()


def ticker(**fields: object) -> bytes:
    usd = {"price": 1, "market_cap": 5, "volume_24h": 3, **fields.pop("usd", {})}  # type: ignore[dict-item]
    return json.dumps(
        [
            {
                "id": "a-a",
                "symbol": "A",
                "name": "A",
                "last_updated": "2026-11-19T00:00:00Z",
                "quotes": {"USD": usd},
                **fields,
            }
        ]
    ).encode()


def test_coingeckos_market_cap_of_zero_without_a_supply_is_unknown_and_with_one_is_zero():
    (unknown,), _ = read(coingecko.SOURCE, market(market_cap=0, circulating_supply=0))
    (zero,), _ = read(coingecko.SOURCE, market(market_cap=0, circulating_supply=7))
    assert (unknown.market_cap, unknown.circulating_supply, zero.market_cap) == (None, None, 0)


def test_coinpaprikas_zero_is_unknown():
    (record,), _ = read(
        coinpaprika.SOURCE,
        ticker(rank=0, max_supply=0, total_supply=0, usd={"price": 0, "market_cap": 0, "volume_24h": 0}),
    )
    assert (record.price_usd, record.market_cap, record.volume_24h, record.rank, record.max_supply) == (None,) * 5


def test_coinpaprika_in_another_currency_alone_is_refused_by_name():
    records, rejects = read(coinpaprika.SOURCE, ticker(quotes={"BTC": {"price": 1}}))
    assert (records, rejects) == ([], ["quotes.USD is missing: without it there is no price in dollars."])


@pytest.mark.parametrize(
    "price", [b"1.234E-17", b"1e30", b"0.10", b"9223372036854775807", b"123456789012345678901234567890.123456789"]
)
def test_numbers_never_pass_a_float(price):
    (record,), _ = read(
        coingecko.SOURCE, market(current_price=7).replace(b'"current_price": 7', b'"current_price": ' + price)
    )
    assert str(record.price_usd) == str(Decimal(price.decode()))


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"current_price": "1.5"}, "current_price", 'current_price is text, not a number: "1.5"'),
        ({"current_price": -1}, "current_price", "current_price is negative: -1"),
        ({"current_price": True}, "current_price", "current_price is true or false, not a number"),
        ({"current_price": [1]}, "current_price", "current_price is a list, not a number"),
        ({"market_cap_rank": 1.5}, "market_cap_rank", "market_cap_rank is no rank: 1.5"),
        ({"id": ""}, "id", "id is missing."),
        ({"id": None}, "id", "id is missing."),
        ({"id": 7}, "id", "id is no text: 7"),
        ({"name": "x" * 201}, "name", "name has 201 characters; 200 are the most a name may have."),
        ({"name": "a\0b"}, "name", "name holds a character that is none"),
        ({"last_updated": None}, "last_updated", "last_updated is missing."),
        ({"last_updated": "yesterday"}, "last_updated", 'last_updated is no time: "yesterday"'),
        ({"last_updated": "9999-12-31T23:59:59-05:00"}, "last_updated", "last_updated is no time: "),
        ({"last_updated": "0001-01-01T00:00:00+05:00"}, "last_updated", "last_updated is no time: "),
        (
            {"last_updated": "2999-01-01T00:00:00Z"},
            "last_updated",
            "last_updated lies in the future: 2999-01-01T00:00:00Z",
        ),
        (
            {"last_updated": "1999-01-01T00:00:00Z"},
            "last_updated",
            "last_updated lies before the first coin: 1999-01-01",
        ),
    ],
)
def test_what_can_not_be_read_names_the_field(fields, field, words):
    (item,) = coingecko.SOURCE.split(market(**fields), "utf-8", RECEIVED)
    with pytest.raises(Malformed) as caught:
        coingecko.SOURCE.parse(item)
    assert caught.value.field == field
    assert words in str(caught.value)


@pytest.mark.parametrize("price", [b"1e1000000000000000000", b"-1e1000000000000000000", b"1e-9999999999999999999"])
def test_an_exponent_of_any_length_is_a_reject_of_its_record_alone(price):
    odd = market().replace(b'"current_price": 1', b'"current_price": ' + price)
    records, rejects = read(coingecko.SOURCE, b"[" + odd[1:-1] + b"," + market(id="b")[1:-1] + b"]")
    assert [record.source_asset_id for record in records] == ["b"]
    assert rejects == [f"current_price is out of any range: {price.decode()}"]


def test_times_with_an_offset_become_utc():
    (record,), _ = read(coingecko.SOURCE, market(last_updated="2026-11-19T02:00:00+02:00"))
    assert record.observed_at == datetime(2026, 11, 19, tzinfo=UTC)


def test_the_reason_why_a_page_can_not_be_read_holds_no_nul():
    for body in (b'{"a\0b": 1}', b'["a\0b"', b"\0"):
        with pytest.raises(Malformed) as caught:
            list(coingecko.SOURCE.split(body, "utf-8", RECEIVED))
        assert "\0" not in str(caught.value)
