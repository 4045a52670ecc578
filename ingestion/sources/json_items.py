"""Reading JSON strictly and exactly: a page into items, an item's fields into text, times and decimals.

Numbers are read from the text of the payload (msgspec.Raw), never through a float. What is of another type than the
source documents is Malformed, with the field's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from assets.records import MAX_EXPONENT, MAX_TEXT, AssetRecord
from ingestion.errors import Malformed
from ingestion.source import Item, PageFacts, Split

QuickRead = Callable[[bytes, PageFacts], "list[AssetRecord] | None"]

ABSENT = msgspec.Raw(b"")
ZERO = Decimal(0)
GENESIS = datetime(2009, 1, 1, tzinfo=UTC)
#: A time further ahead than this is no time; less is a clock or a time zone that is off.
AHEAD = timedelta(days=1)

_raws = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_no_number = re.compile(r"(?<=[:\[,\s])(-?Infinity|NaN)(?=\s*[,}\]])")
_no_character = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}|[\udc80-\udcff]"
)


def raw_items(body: bytes, items: str = "") -> list[msgspec.Raw]:
    """The elements of a JSON array, each as received. Raises Malformed when the body is none.

    `items`: the body is an object that holds the array under this key.
    """
    if items:
        body = _inside(body, items)
    try:
        return _raws.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        try:
            return _raws.decode(_mended(body))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise Malformed(_what_is_wrong(body, error)) from None


def _inside(body: bytes, key: str) -> bytes:
    """The value of a key of the object that the body is, as received."""
    for attempt in (bytes, _mended):
        try:
            return bytes(_object.decode(attempt(body))[key])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        except KeyError:
            raise Malformed(f"The body is an object without {key!r}: {_beginning(body, 120)}") from None
    raise Malformed(f"The body is no JSON object with {key!r}: {_beginning(body, 120)}")


def _mended(body: bytes) -> bytes:
    """The body with its flaws confined to the records that hold them.

    NaN, half a character or bytes that are no UTF-8 make a whole body unreadable; the text "NaN" where a number
    belongs, or the character NUL, makes one record so.
    """
    text = body.decode("utf-8", "surrogateescape")
    return _no_character.sub(r"\\u0000", _no_number.sub(r'"\1"', text)).encode()


def _beginning(body: bytes, size: int) -> str:
    return body[:size].decode(errors="replace").replace("\0", "␀")


def _what_is_wrong(body: bytes, error: Exception) -> str:
    start = body[:200].lstrip().lower()
    if not start:
        return "The body is empty."
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<")):
        return "The body is an HTML page, not JSON."
    if start.startswith(b"{"):
        return f"The body is an object where a list should be: {_beginning(body, 120)}"
    if isinstance(error, msgspec.ValidationError):
        return f"The body is no list of records: {_beginning(body, 80)}"
    return f"The body is not JSON ({error}); it holds {len(body):,} bytes, and may be cut off."


def split_list(item_type: type[msgspec.Struct]) -> Split:
    """A Split for pages that are a JSON array of objects, read as `item_type` (whose fields are msgspec.Raw).

    Or an object that holds it: the page's `meta["items"]` is then the key.
    """
    decode = msgspec.json.Decoder(item_type).decode

    def split(body: bytes, encoding: str, page: PageFacts) -> Iterator[Item]:
        for position, raw in enumerate(raw_items(body, page.meta.get("items", ""))):
            try:
                data: Any = decode(raw)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                data = Malformed(f"The record is no object: {_beginning(bytes(raw), 80)}")
            yield Item(position, data, page, raw)

    return split


class Unusual(Exception):
    """A record that is to be read with care: see `Quick`."""


def quick_page(item_type: type[msgspec.Struct], record: Callable[[Any, datetime], AssetRecord]) -> QuickRead:
    """A `Quick.read` for pages that are a JSON array: each item is decoded as `item_type`, then made a record.

    `record` takes an item and the latest time that it may say. Raises Unusual where it is out of the ordinary.
    """
    decode = msgspec.json.Decoder(list[item_type]).decode  # type: ignore[valid-type]

    def read(body: bytes, page: PageFacts) -> list[AssetRecord] | None:
        if "items" in page.meta or b"\\u0000" in body:
            return None
        latest = page.received_at + AHEAD
        try:
            return [record(item, latest) for item in decode(body)]
        except (msgspec.DecodeError, UnicodeError, RecursionError, Unusual):
            return None

    return read


def usual_number(value: Decimal | None) -> Decimal | None:
    """As `number`. Raises Unusual."""
    if value:
        if not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
            raise Unusual
        return value
    return ZERO if value is not None else None


def usual_figure(value: Decimal | None, zero: Decimal | None = ZERO) -> Decimal | None:
    """As `not_negative`; `zero` is what zero means. Raises Unusual."""
    if value:
        if value.is_signed() or not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
            raise Unusual
        return value
    return zero if value is not None else None


def usual_rank(value: int | None) -> int | None:
    """As `rank`. Raises Unusual."""
    if value and not 0 < value < 2**31:
        raise Unusual
    return value or None


def usual_text(value: str | None, *, required: bool = False) -> str:
    """As `text`. Raises Unusual."""
    value = value.strip() if value else ""
    if len(value) > MAX_TEXT or (required and not value):
        raise Unusual
    return value


def usual_time(value: datetime, latest: datetime) -> datetime:
    """As `time`. Raises Unusual."""
    if value.tzinfo is not UTC or not GENESIS <= value <= latest:
        raise Unusual
    return value


def _shown(raw: msgspec.Raw) -> str:
    text = bytes(raw).decode(errors="replace").replace("\0", "␀")
    return text if len(text) <= 60 else text[:60] + "…"


def present(raw: msgspec.Raw, field: str) -> msgspec.Raw:
    """The value if the record has the key, be it null. Without it the record is of another kind than is read here."""
    if not bytes(raw):
        raise Malformed(f"{field} is missing.", field)
    return raw


def number(raw: msgspec.Raw, field: str, *, zero_is_unknown: bool = False) -> Decimal | None:
    """The exact decimal, None for null or an absent key. Raises Malformed for anything that is no sane number."""
    text = bytes(raw)
    if text == b"null" or not text:
        return None
    if text[0] not in b"-0123456789":
        kind = {34: "text", 123: "an object", 91: "a list"}.get(text[0], "true or false")
        raise Malformed(f"{field} is {kind}, not a number: {_shown(raw)}", field)
    if len(text) > 2 * MAX_EXPONENT:
        raise Malformed(f"{field} has {len(text)} digits, which no market figure has.", field)
    try:
        value = Decimal(text.decode())
    except InvalidOperation:  # an exponent of nineteen digits
        raise Malformed(f"{field} is out of any range: {_shown(raw)}", field) from None
    if not value:
        return None if zero_is_unknown else ZERO
    if not -MAX_EXPONENT <= value.adjusted() <= MAX_EXPONENT:
        raise Malformed(f"{field} is out of any range: {_shown(raw)}", field)
    return value


def not_negative(raw: msgspec.Raw, field: str, *, zero_is_unknown: bool = False) -> Decimal | None:
    """As `number`, for what can't be below zero."""
    value = number(raw, field, zero_is_unknown=zero_is_unknown)
    if value is not None and value < 0:
        raise Malformed(f"{field} is negative: {_shown(raw)}", field)
    return value


def rank(raw: msgspec.Raw, field: str) -> int | None:
    """A rank from 1; 0 and null are unknown."""
    value = not_negative(raw, field, zero_is_unknown=True)
    if value is None:
        return None
    if value != int(value) or value > 2**31 - 1:
        raise Malformed(f"{field} is no rank: {_shown(raw)}", field)
    return int(value)


def text(raw: msgspec.Raw, field: str, *, required: bool = False) -> str:
    """The trimmed text, "" for null or an absent key."""
    if not (source := bytes(raw)) or source == b"null":
        value = ""
    else:
        try:
            value = _text.decode(source).strip()
        except (msgspec.DecodeError, UnicodeError):
            raise Malformed(f"{field} is no text: {_shown(raw)}", field) from None
    if required and not value:
        raise Malformed(f"{field} is missing.", field)
    return sane_text(value, field)


def sane_text(value: str, field: str) -> str:
    """The text if it fits: no NUL byte, no lone surrogate, at most MAX_TEXT characters."""
    if len(value) > MAX_TEXT:
        raise Malformed(f"{field} has {len(value):,} characters; {MAX_TEXT} are the most a {field} may have.", field)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value if character > "\ud7ff"):
        raise Malformed(f"{field} holds a character that is none: {ascii(value)[:60]}", field)
    return value


def time(raw: msgspec.Raw, field: str, received_at: datetime) -> datetime:
    """An ISO 8601 time as aware UTC. Raises Malformed for none, and for one before Bitcoin or in the future."""
    value = text(raw, field, required=True)
    try:
        parsed = datetime.fromisoformat(value)
        # In the calendar's first and last hours an offset leads out of it.
        parsed = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{field} is no time: {_shown(raw)}", field) from None
    return sane_time(parsed, field, received_at)


def sane_time(value: datetime, field: str, received_at: datetime) -> datetime:
    """The time if a market can have been observed at it: not before 2009, not more than a day after it was received."""
    if value < GENESIS:
        raise Malformed(f"{field} lies before the first coin: {value:%Y-%m-%d}", field)
    if value > received_at + AHEAD:
        raise Malformed(f"{field} lies in the future: {value:%Y-%m-%dT%H:%M:%SZ}", field)
    return value
