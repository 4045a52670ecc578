"""The real answer with one thing wrong in it, and everything else right: status, length, headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cryptoetl.demo.answers import page
from cryptoetl.demo.faults import Fault
from cryptoetl.demo.message import HTML, Reply

_PRICE = re.compile(r'"(current_price|price)":[^,}\]]+')
_ID = re.compile(r'"id":"[^"]*"')
_NAME = re.compile(r'"name":"((?:[^"\\]|\\.)*)"')
_TIME = re.compile(r'"last_updated":"[^"]*"')


def _price(text: str) -> Callable[[str], str]:
    return lambda item: _PRICE.sub(lambda found: f'"{found[1]}":{text}', item, count=1)


def _name(more: str) -> Callable[[str], str]:
    return lambda item: _NAME.sub(lambda found: f'"name":"{found[1]}{more}"', item, count=1)


def _time(text: str) -> Callable[[str], str]:
    return lambda item: _TIME.sub(lambda _: f'"last_updated":"{text}"', item, count=1)


def _id(text: str) -> Callable[[str], str]:
    return lambda item: _ID.sub(lambda _: text, item, count=1)


#: What happens to one item's text.
_ITEMS: dict[Fault, Callable[[str], str]] = {
    Fault.LIST_FOR_OBJECT: lambda item: f"[{item}]",
    Fault.NULL_ITEM: lambda _: "null",
    Fault.NAN: _price("NaN"),
    Fault.INFINITY: _price("Infinity"),
    Fault.PRICE_STRING: _price('"12.5"'),
    Fault.PRICE_NEGATIVE: _price("-1.5"),
    Fault.PRICE_NULL: _price("null"),
    Fault.PRICE_MISSING: lambda item: re.sub(_PRICE.pattern + ",", "", item, count=1),
    Fault.PRICE_OBJECT: _price('{"usd":1}'),
    Fault.HUGE_NUMBER: _price("9" * 400),
    Fault.HUGE_EXPONENT: _price("1e999999"),
    Fault.TINY_EXPONENT: _price("1e-999999"),
    Fault.MISSING_ID: lambda item: re.sub(_ID.pattern + ",", "", item, count=1),
    Fault.NULL_ID: _id('"id":null'),
    Fault.EMPTY_ID: _id('"id":""'),
    Fault.DUPLICATE_ID: lambda item: f"{item},{item}",
    Fault.NUL_IN_NAME: _name("\\u0000"),
    Fault.LONE_SURROGATE: _name("\\ud800"),
    Fault.LONG_NAME: _name("x" * 100_000),
    Fault.NEW_FIELD: lambda item: f'{item[:-1]},"never_seen_before":{{"a":1}}}}',
    Fault.FUTURE_TIME: _time("2999-01-01T00:00:00Z"),
    Fault.BAD_TIME: _time("yesterday"),
    Fault.BAD_UTF8: _name("\udcff"),
}

_WHOLE = (
    Fault.CUT_JSON,
    Fault.HTML_200,
    Fault.WRONG_CONTENT_TYPE,
    Fault.EMPTY_BODY,
    Fault.EMPTY_LIST,
    Fault.OBJECT_FOR_LIST,
    Fault.DEEP_NESTING,
)

#: What a CSV can suffer: it has neither items in braces nor numbers of its own.
ON_CSV = (Fault.CUT_JSON, Fault.HTML_200, Fault.WRONG_CONTENT_TYPE, Fault.EMPTY_BODY, Fault.EMPTY_LIST)

FAULTS = frozenset(_ITEMS) | frozenset(_WHOLE)


def damaged(fault: Fault, reply: Reply, options: Mapping[str, Any]) -> Reply:
    """The reply with this fault; the reply itself if it is an error, which has nothing to damage."""
    if reply.status != 200:
        return reply
    if fault in _ITEMS:
        return _item_damaged(fault, reply, int(options.get("position", 0)))
    text = reply.body().decode("utf-8", "surrogateescape")
    if fault is Fault.HTML_200:
        return replace(page(200, "Just a moment..."), headers=reply.headers)
    if fault is Fault.WRONG_CONTENT_TYPE:
        return replace(reply, content_type=HTML)
    if fault is Fault.EMPTY_LIST:
        return replace(reply, items=(reply.items or [])[:1] if reply.content_type.startswith("text/csv") else [])
    new = {
        Fault.CUT_JSON: text[: len(text) * 2 // 3],
        Fault.EMPTY_BODY: "",
        Fault.OBJECT_FOR_LIST: f'{{"data":{text}}}',
        Fault.DEEP_NESTING: "[" * 100_000 + "]" * 100_000,
    }[fault]
    return replace(reply, text=new, items=None)


def _item_damaged(fault: Fault, reply: Reply, position: int) -> Reply:
    items = [reply.text] if reply.items is None else list(reply.items)
    if not items:
        return reply
    items[position % len(items)] = _ITEMS[fault](items[position % len(items)])
    return replace(reply, text=items[0]) if reply.items is None else replace(reply, items=items)
