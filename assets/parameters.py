"""Query parameters, declared once: what a view accepts, how each is read, and how OpenAPI and the HTML form show it.

Reading is strict: a parameter that isn't known, that comes twice, or that can't be used is 400 with its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_to_bytes

from assets.errors import Invalid

MAX_TEXT = 200
MAX_PARAMETERS = 100
#: A number's exponent beyond this is no market figure.
MAX_EXPONENT = 300
NUMBER = re.compile(r"[+-]?(\d{1,100}(\.\d{0,100})?|\.\d{1,100})(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
#: What `2026-11-01T00:00:00+00:00` becomes when its plus isn't escaped.
LOST_PLUS = re.compile(r" (\d\d:?\d\d)$")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter. `read` raises ValueError with what it demands."""

    name: str
    description: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    default: Any = None
    example: str = ""
    required: bool = False
    #: How a person is asked for it: "" is a line of text.
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller asked for: every declared parameter's value, and the query as it was sent."""

    values: Mapping[str, Any]
    sent: tuple[tuple[str, str], ...] = field(default=())

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def given(self, name: str) -> bool:
        return any(known == name for known, _ in self.sent)


def read(query_string: bytes, parameters: Sequence[Parameter]) -> Asked:
    """Every parameter's value. Raises Invalid with all that can't be used."""
    if not query_string:
        missing = {parameter.name: "is missing" for parameter in parameters if parameter.required}
        if missing:
            raise Invalid(missing)
        return Asked({parameter.name: parameter.default for parameter in parameters})
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {parameter.name: parameter.default for parameter in parameters}
    sent: list[tuple[str, str]] = []
    wrong: dict[str, str] = {}
    for name, value in split(query_string):
        if name != "format" and name not in known:
            wrong[name[:MAX_TEXT]] = "is no parameter here" + likely(name, known)
        elif any(name == before for before, _ in sent):
            wrong[name] = "is given more than once"
        else:
            sent.append((name, value))
            try:
                if name in known:
                    values[name] = known[name].read(printable(value))
            except ValueError as error:
                wrong[name] = str(error)
    for parameter in parameters:
        if parameter.required and parameter.name not in wrong and not any(name == parameter.name for name, _ in sent):
            wrong[parameter.name] = "is missing"
    if wrong:
        raise Invalid(wrong)
    return Asked(values, tuple(sent))


def split(query_string: bytes) -> list[tuple[str, str]]:
    """The query's names and values as text. Raises Invalid with the name of a value that isn't UTF-8."""
    # urllib's parse_qsl replaces what isn't UTF-8, and a caller would search for something else than he sent.
    parts = [part for part in query_string.replace(b"+", b" ").split(b"&") if part]
    if len(parts) > MAX_PARAMETERS:
        raise Invalid({"query": f"holds more than {MAX_PARAMETERS} parameters"})
    texts = []
    for part in parts:
        name, _, value = (unquote_to_bytes(side) for side in part.partition(b"="))
        shown = name.decode("utf-8", "backslashreplace").replace("\0", "\\0")[:MAX_TEXT]
        try:
            texts.append((name.decode(), value.decode()))
        except UnicodeDecodeError:
            raise Invalid({shown: "is not UTF-8"}) from None
        if "\0" in texts[-1][0]:
            raise Invalid({shown: "holds a NUL byte"})
    return texts


def printable(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL byte")
    return value


def likely(name: str, known: Mapping[str, Parameter]) -> str:
    """The parameter that the caller may have meant."""
    from difflib import get_close_matches

    close = get_close_matches(name[:50], [*known, "format"], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


# ------------------------------------------------------------------------------------------------------------ kinds


def text(name: str, description: str, *, example: str = "", max_length: int = MAX_TEXT) -> Parameter:
    """A text; an empty one is as good as none, and reads as None."""

    def read_text(value: str) -> str | None:
        if len(value) > max_length:
            raise ValueError(f"must have at most {max_length} characters")
        return value or None

    return Parameter(name, description, read_text, {"type": "string", "maxLength": max_length}, example=example)


#: Parts of a list that a parameter may hold.
MOST = 100


def several(
    name: str,
    description: str,
    read_one: Callable[[str], Any],
    *,
    example: str,
    enum: Sequence[str] = (),
) -> Parameter:
    """A list with commas between, of MOST parts; each of them once, an empty list as good as none."""

    def read_several(value: str) -> tuple[Any, ...] | None:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if len(parts) > MOST:
            raise ValueError(f"must name at most {MOST}")
        return tuple(dict.fromkeys(read_one(part) for part in parts)) or None

    one: dict[str, Any] = {"type": "string", "enum": list(enum)} if enum else {"type": "string"}
    schema = {"type": "array", "items": one, "maxItems": MOST}
    return Parameter(name, description, read_several, schema, example=example)


def named(names: Sequence[str]) -> Callable[[str], str]:
    """Reads one of these names."""

    def read_name(value: str) -> str:
        if value not in names:
            raise ValueError(f"must hold nothing but {', '.join(names)}")
        return value

    return read_name


def short(value: str) -> str:
    """Reads a text that an id or a symbol can be."""
    if len(value) > MAX_TEXT:
        raise ValueError(f"must hold nothing of more than {MAX_TEXT} characters")
    return value


def row_number(value: str) -> int:
    """Reads the number of a row."""
    if not WHOLE.fullmatch(value) or int(value) < 1:
        raise ValueError("must hold nothing but numbers of rows")
    return int(value)


def whole(name: str, description: str, low: int, high: int, default: int | None = None) -> Parameter:
    demand = f"must be a whole number from {low} to {high}"

    def read_whole(value: str) -> int:
        if not WHOLE.fullmatch(value) or not low <= int(value) <= high:
            raise ValueError(demand)
        return int(value)

    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    if default is not None:
        schema["default"] = default
    return Parameter(name, description, read_whole, schema, default)


def number(name: str, description: str, *, example: str = "") -> Parameter:
    """An exact decimal."""

    def read_number(value: str) -> Decimal:
        if not NUMBER.fullmatch(value):
            raise ValueError("must be a number of at most 100 digits, as 0.00001 or 1e-5")
        figure = Decimal(value)
        if figure and not -MAX_EXPONENT <= figure.adjusted() <= MAX_EXPONENT:
            raise ValueError(f"must lie within 1e-{MAX_EXPONENT} and 1e{MAX_EXPONENT}")
        return figure

    return Parameter(name, description, read_number, {"type": "number"}, example=example)


def choice(
    name: str, description: str, choices: Sequence[str], default: str | None = None, *, listed: bool = True
) -> Parameter:
    def read_choice(value: str) -> str:
        if value not in choices:
            raise ValueError("must be one of " + ", ".join(choices))
        return value

    schema: dict[str, Any] = {"type": "string", "enum": list(choices)}
    if default is not None:
        schema["default"] = default
    return Parameter(name, description, read_choice, schema, default, choices=tuple(choices) if listed else ())


def flag(name: str, description: str) -> Parameter:
    words = {"true": True, "1": True, "false": False, "0": False}

    def read_flag(value: str) -> bool:
        if value.lower() not in words:
            raise ValueError("must be true or false")
        return words[value.lower()]

    return Parameter(name, description, read_flag, {"type": "boolean"}, choices=("true", "false"))


def moment(name: str, description: str) -> Parameter:
    """A time, aware: ISO 8601; without an offset it is UTC."""

    def read_moment(value: str) -> datetime:
        try:
            time = datetime.fromisoformat(LOST_PLUS.sub(r"+\1", value) if len(value) <= 40 else "")
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError("must be a time in ISO 8601, as 2026-11-01T12:00:00Z") from None

    return Parameter(
        name, description, read_moment, {"type": "string", "format": "date-time"}, example="2026-11-01T00:00:00Z"
    )


def identifier(name: str, description: str, *, required: bool = False) -> Parameter:
    """The number of a row."""
    demand = "must be the number of a row"

    def read_identifier(value: str) -> int:
        if not WHOLE.fullmatch(value) or int(value) < 1:
            raise ValueError(demand)
        return int(value)

    return Parameter(
        name, description, read_identifier, {"type": "integer", "minimum": 1, "format": "int64"}, required=required
    )
