"""A page read as a whole gives what it gives item by item, or is left to be read item by item."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ingestion.source import PageFacts, Source
from ingestion.sources import BY_SLUG

NOW = datetime(2026, 11, 20, tzinfo=UTC)
FACTS = PageFacts(NOW)
TIMES = some.sampled_from(
    [
        "2026-11-19T10:00:00.000Z",
        "2013-01-01T00:00:00Z",
        "2008-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
        "2026-11-19T10:00:00+02:00",
        "2026-11-19T10:00:00",
        "9999-12-31T23:59:59-05:00",
        "never",
    ]
)
NUMBERS = some.one_of(
    some.none(),
    some.integers(-2, 10**25),
    some.sampled_from(
        [
            "0",
            "0.0",
            "-0.0",
            "1e30",
            "1.234E-17",
            "1e301",
            "1e-301",
            "1e9999999999999999999",
            "12345678901234567890.0123456789",
        ]
    ),
    some.decimals(-1, 10**9, allow_nan=False, places=9).map(str),
)
RANKS = some.sampled_from(["1", "0", "17", "-1", "2147483648", "null"])
TEXTS = some.one_of(some.none(), some.text(max_size=8), some.sampled_from([" BTC ", "x" * 201, "a\0b", "ß"]))


def written(value: Any) -> str:
    """A value of a record, numbers as they are."""
    return value if isinstance(value, Number) else json.dumps(value)


class Number(str):
    """Written without quotes."""


def number(values: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    return values.map(lambda value: Number("null" if value is None else value))


def market(**fields: Any) -> some.SearchStrategy[str]:
    """The text of an object; now and then a field is missing, or a text stands where a number should."""
    return some.fixed_dictionaries({}, optional=fields).map(
        lambda values: "{" + ",".join(f'"{name}":{written(value)}' for name, value in values.items()) + "}"
    )


MARKETS = market(
    id=TEXTS,
    symbol=TEXTS,
    name=TEXTS,
    current_price=some.one_of(number(NUMBERS), some.just("1.5")),
    market_cap=number(NUMBERS),
    market_cap_rank=number(RANKS),
    total_volume=number(NUMBERS),
    price_change_percentage_24h=number(NUMBERS),
    circulating_supply=number(NUMBERS),
    total_supply=number(NUMBERS),
    max_supply=number(NUMBERS),
    last_updated=TIMES,
)
USD = market(
    price=number(NUMBERS), volume_24h=number(NUMBERS), market_cap=number(NUMBERS), percent_change_24h=number(NUMBERS)
)
TICKERS = market(
    id=TEXTS,
    symbol=TEXTS,
    name=TEXTS,
    rank=number(RANKS),
    circulating_supply=number(NUMBERS),
    total_supply=number(NUMBERS),
    max_supply=number(NUMBERS),
    last_updated=TIMES,
    quotes=USD.map(lambda usd: Number('{"USD":' + usd + "}")),
)


def slowly(source: Source, body: bytes) -> list[Any]:
    """The records, or what is raised."""
    from ingestion.errors import Malformed

    try:
        return [source.parse(item) for item in source.split(body, "utf-8", FACTS)]
    except Malformed as error:
        return [str(error)]


def same(slug: str, body: bytes) -> bool:
    """True when the page was read as a whole."""
    from ingestion.parsing import quickly

    source = BY_SLUG[slug]
    quick = quickly(source, body, FACTS)
    if quick is None:
        return False
    slow = slowly(source, body)
    assert quick == slow
    assert [list(map(str, record)) for record in quick] == [list(map(str, record)) for record in slow], "to the digit"
    return True


@settings(max_examples=400)
@given(some.lists(MARKETS, max_size=3))
def test_coingecko(records: list[str]) -> None:
    same("coingecko", f"[{','.join(records)}]".encode())


@settings(max_examples=400)
@given(some.lists(TICKERS, max_size=3))
def test_coinpaprika(records: list[str]) -> None:
    same("coinpaprika", f"[{','.join(records)}]".encode())


USUAL = {
    "coingecko": '{"id":"bitcoin","symbol":"btc","name":"Bitcoin","current_price":1.10,"market_cap":5,'
    '"market_cap_rank":1,"last_updated":"2026-11-19T10:00:00.000Z","roi":null,"ath":1e3}',
    "coinpaprika": '{"id":"btc-bitcoin","symbol":"BTC","name":"Bitcoin","rank":1,"last_updated":"2026-11-19T10:00:00Z",'
    '"quotes":{"USD":{"price":1.10,"market_cap":0}}}',
}


@pytest.mark.parametrize("slug", USUAL)
def test_an_ordinary_page_is_read_as_a_whole(slug: str) -> None:
    assert same(slug, f"[{USUAL[slug]}]".encode())


@pytest.mark.parametrize("slug", USUAL)
@pytest.mark.parametrize(("of", "to"), [(":1.10", ':"1.10"'), (":1.10", ":NaN"), ('"Bitcoin"', '"\\u0000"')])
def test_a_page_with_a_flaw_is_read_item_by_item(slug: str, of: str, to: str) -> None:
    assert not same(slug, f"[{USUAL[slug]},{USUAL[slug].replace(of, to)}]".encode())


@pytest.mark.parametrize("slug", USUAL)
@pytest.mark.parametrize("price", ['"1.10"', '"NaN"'])
def test_a_number_that_no_float_could_be_hides_no_text_where_a_number_belongs(slug: str, price: str) -> None:
    item = USUAL[slug].replace(":1.10", f":{price}").replace('"symbol"', '"ath":1e400,"symbol"')
    assert not same(slug, f"[{item}]".encode())
