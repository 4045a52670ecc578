"""A damaged answer has status 200, the right length, and exactly one thing wrong in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from cryptoetl.demo import Fault, ProviderServer
from cryptoetl.demo.damage import ON_CSV
from cryptoetl.demo.tests.calling import Answer, get, markets, tickers


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer(generated=600) as running:
        yield running


SOURCES: list[tuple[str, Callable[[ProviderServer], Answer], Callable[[dict[str, Any]], Any]]] = [
    ("coingecko", markets, lambda item: item.get("current_price", "missing")),
    ("coinpaprika", tickers, lambda item: item["quotes"]["USD"].get("price", "missing")),
]


def read(answer: Answer) -> Any:
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    return json.loads(answer.body, parse_float=str, parse_int=str, parse_constant=str)


@pytest.mark.parametrize(("source", "ask", "price"), SOURCES)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.NAN, "NaN"),
        (Fault.INFINITY, "Infinity"),
        (Fault.PRICE_NEGATIVE, "-1.5"),
        (Fault.PRICE_NULL, None),
        (Fault.PRICE_MISSING, "missing"),
        (Fault.PRICE_OBJECT, {"usd": "1"}),
        (Fault.HUGE_NUMBER, "9" * 400),
        (Fault.HUGE_EXPONENT, "1e999999"),
        (Fault.TINY_EXPONENT, "1e-999999"),
    ],
)
def test_one_price_is_wrong_and_all_others_are_right(
    provider: ProviderServer, source: str, ask: Any, price: Any, fault: Fault, expected: Any
) -> None:
    sound = read(ask(provider))
    provider.fail(source, fault, position=3)
    broken = read(ask(provider))
    assert price(broken[3]) == expected
    assert [item for place, item in enumerate(broken) if place != 3] == [i for p, i in enumerate(sound) if p != 3]


@pytest.mark.parametrize(("source", "ask", "price"), SOURCES)
def test_a_price_is_a_string(provider: ProviderServer, source: str, ask: Any, price: Any) -> None:
    provider.fail(source, Fault.PRICE_STRING)
    assert price(json.loads(ask(provider).body)[0]) == "12.5"


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (Fault.MISSING_ID, lambda item: "id" not in item),
        (Fault.NULL_ID, lambda item: item["id"] is None),
        (Fault.EMPTY_ID, lambda item: item["id"] == ""),
        (Fault.NUL_IN_NAME, lambda item: item["name"].endswith("\x00")),
        (Fault.LONE_SURROGATE, lambda item: item["name"].endswith("\ud800")),
        (Fault.LONG_NAME, lambda item: len(item["name"]) > 100_000),
        (Fault.NEW_FIELD, lambda item: item["never_seen_before"] == {"a": "1"}),
        (Fault.FUTURE_TIME, lambda item: item["last_updated"].startswith("2999")),
        (Fault.BAD_TIME, lambda item: item["last_updated"] == "yesterday"),
        (Fault.LIST_FOR_OBJECT, lambda item: isinstance(item, list)),
        (Fault.NULL_ITEM, lambda item: item is None),
    ],
)
@pytest.mark.parametrize(("source", "ask", "price"), SOURCES)
def test_one_item_is_wrong(
    provider: ProviderServer, source: str, ask: Any, price: Any, fault: Fault, check: Callable[[Any], bool]
) -> None:
    provider.fail(source, fault, position=-1)
    items = read(ask(provider))
    assert check(items[-1]) and price(items[0]) != "missing"


def test_an_id_comes_twice_in_one_page(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.DUPLICATE_ID, position=5)
    ids = [item["id"] for item in markets(provider).json]
    assert len(ids) == 251 and ids[5] == ids[6]


def test_the_list_moves_while_it_is_read(provider: ProviderServer) -> None:
    def sweep() -> list[str]:
        return [item["id"] for page in (1, 2, 3) for item in markets(provider, page).json]

    whole = sweep()
    provider.fail("coingecko", Fault.SHIFT_TWICE, match={"page": 2}, count=2)
    twice = sweep()
    assert twice[250:252] == whole[248:250] and len(set(twice)) == 598
    provider.fail("coingecko", Fault.SHIFT_MISSED, match={"page": 2})
    assert set(whole) - set(sweep()) == {whole[250]}


def test_bytes_that_are_no_text(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.BAD_UTF8)
    with pytest.raises(UnicodeDecodeError):
        markets(provider).body.decode()


def test_json_that_is_cut_nested_or_of_another_shape(provider: ProviderServer) -> None:
    whole = markets(provider)
    provider.fail("coingecko", Fault.CUT_JSON)
    cut = markets(provider)
    assert whole.body.startswith(cut.body) and int(cut.headers["content-length"]) == len(cut.body) < len(whole.body)
    provider.fail("coingecko", Fault.DEEP_NESTING)
    assert markets(provider).body == b"[" * 100_000 + b"]" * 100_000
    provider.fail("coingecko", Fault.OBJECT_FOR_LIST)
    assert markets(provider).json == {"data": whole.json}


def test_what_is_no_json_at_all(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.HTML_200)
    page = markets(provider)
    assert page.status == 200 and page.headers["content-type"].startswith("text/html") and b"<html>" in page.body
    provider.fail("coingecko", Fault.WRONG_CONTENT_TYPE)
    called = markets(provider)
    assert called.headers["content-type"].startswith("text/html") and called.json
    provider.fail("coingecko", Fault.EMPTY_BODY)
    assert markets(provider).body == b""


def test_an_empty_list_in_the_middle(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.EMPTY_LIST, match={"page": 2})
    assert [len(markets(provider, page).json) for page in (1, 2, 3)] == [250, 0, 100]
    provider.fail("csv", Fault.EMPTY_LIST)
    assert get(provider, "csv").body.count(b"\n") == 1


@pytest.mark.parametrize("fault", ON_CSV)
def test_a_csv_can_be_damaged_as_far_as_it_has_the_parts(provider: ProviderServer, fault: Fault) -> None:
    sound = get(provider, "csv")
    provider.fail("csv", fault)
    broken = get(provider, "csv")
    assert broken.status == 200
    assert (broken.body, broken.headers["content-type"]) != (sound.body, sound.headers["content-type"])


def test_one_object_can_be_damaged_too(provider: ProviderServer) -> None:
    provider.fail("coinpaprika", Fault.PRICE_NEGATIVE)
    one = get(provider, "coinpaprika", "/tickers/c000001-coin-000001").json
    assert Decimal(str(one["quotes"]["USD"]["price"])) == Decimal("-1.5")
