"""Where in a list a caller is: by page, by limit and offset, or by cursor; and the addresses of the pages beside it.

Every ordering ends with the row's key, so no row is seen twice or missed; nulls come last in both directions. A cursor
says after which row to go on, so its cost is the same at any depth; it is signed, and good for its ordering and filter
alone.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import orjson
from django.conf import settings

from assets.errors import Invalid
from assets.parameters import Asked, Parameter, choice, text, whole
from assets.tables import Table

#: Row numbers beyond this are a mistake, and arithmetic on them would leave PostgreSQL's bigint.
DEEPEST = 10**15
PAGING = (
    whole("page", "The page, from 1.", 1, DEEPEST // 1000, 1),
    whole("page_size", "Rows a page.", 1, settings.API_MAX_PAGE_SIZE, settings.API_PAGE_SIZE),
    whole("limit", "Rows, with `offset` instead of `page`.", 1, settings.API_MAX_PAGE_SIZE),
    whole("offset", "Rows to leave out before the first.", 0, DEEPEST),
)
CURSOR = text(
    "cursor",
    "Begins a walk when empty (`?cursor=`), which goes on with `next`: each row that is there throughout comes exactly "
    "once, whatever is written meanwhile, at the same cost at any depth. Without `ordering` it goes by `id`.",
    max_length=2000,
)
#: Parameters that don't say which rows are meant, only how many at a time.
NOT_A_FILTER = {"page", "page_size", "limit", "offset", "cursor", "count", "format", "ordering"}


def ordering(fields: Sequence[str], default: str) -> Parameter:
    return choice(
        "ordering",
        f"A field; `-` before it for descending. Nulls come last, ties go by id. (default: {default})",
        [*fields, *(f"-{field}" for field in fields)],
    )


@dataclass(frozen=True, slots=True)
class After:
    """The last row of the page before, as its ordering sees it. A `value` of None: it was among the nulls."""

    value: str | None
    key: int


@dataclass(frozen=True, slots=True)
class Place:
    """The part of a list that the caller asked for."""

    field: str
    descending: bool
    size: int
    offset: int = 0
    walking: bool = False
    after: After | None = None
    kind: str = "page"


def place(asked: Asked, default_ordering: str) -> Place:
    """Raises Invalid when two ways of paging are mixed, or when the cursor is no use."""
    walking = asked.given("cursor")
    wanted = asked.get("ordering") or ("id" if walking else default_ordering)
    field, descending = wanted.removeprefix("-"), wanted.startswith("-")
    by_offset = asked.given("limit") or asked.given("offset")
    mixed = [name for name in ("page", "page_size") if asked.given(name)] if by_offset else []
    if walking:
        mixed = [name for name in ("page", "offset") if asked.given(name)]
    if mixed:
        other = "cursor" if walking else "limit and offset"
        raise Invalid(dict.fromkeys(mixed, f"can't be used together with {other}"))
    if walking:
        size = asked["limit"] or asked["page_size"]
        sealed = asked["cursor"]
        after = unseal(sealed, scope(asked, wanted)) if sealed else None
        return Place(field, descending, size, walking=True, after=after, kind="cursor")
    if by_offset:
        return Place(
            field, descending, asked["limit"] or settings.API_PAGE_SIZE, offset=asked["offset"] or 0, kind="offset"
        )
    return Place(field, descending, asked["page_size"], offset=(asked["page"] - 1) * asked["page_size"])


def scope(asked: Asked, wanted: str) -> bytes:
    """What a cursor is good for: the ordering and every filter."""
    filters = sorted((name, value) for name, value in asked.sent if name not in NOT_A_FILTER)
    return orjson.dumps([wanted, filters])


def seal(after: After, scope: bytes) -> str:
    payload = orjson.dumps([after.value, after.key])
    return urlsafe_b64encode(sign(payload, scope) + payload).rstrip(b"=").decode()


def unseal(cursor: str, scope: bytes) -> After:
    """Raises Invalid for a cursor that is damaged, or was made for another ordering or filter."""
    try:
        sealed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeEncodeError, Base64Error):
        raise Invalid({"cursor": "is damaged: take it from `next` as it is"}) from None
    if not hmac.compare_digest(sealed[:8], sign(sealed[8:], scope)):
        raise Invalid({"cursor": "is damaged, or was made for another ordering or filter"})
    value, key = orjson.loads(sealed[8:])
    return After(value, key)


def sign(payload: bytes, scope: bytes) -> bytes:
    return blake2b(
        payload + b"\0" + scope, digest_size=8, key=settings.SECRET_KEY.encode()[:64], person=b"cursor"
    ).digest()


# ------------------------------------------------------------------------------------------------------- SQL of a page


def page_of(table: Table, place: Place, where: str, values: Sequence[Any], needs: str) -> tuple[str, list[Any]]:
    """SQL of the page's keys: (key, sort_value, phase), one row more than the page so that a next one is known.

    A keyset is a bound on the first column and a filter behind it: PostgreSQL finds the bound in an index, which it
    can't do for (a, b) > (x, y) once nulls and directions differ. The nulls are a phase of their own.
    """
    field = table.fields[place.field]
    direction = "DESC" if place.descending else "ASC"
    joins = table.joined(needs + field.needs)
    head = f"SELECT {table.key} AS key, {field.sql} AS sort_value"
    if not place.walking:
        sql = (
            f"{head}, 0 AS phase FROM {table.source} {joins} WHERE {where} "
            f"ORDER BY {field.sql} {direction} NULLS LAST, {table.key} LIMIT %s OFFSET %s"
        )
        return sql, [*values, place.size + 1, place.offset]

    parts, bound = [], list[Any]()
    if place.after is None or place.after.value is not None:
        conditions = [where]
        bound += values
        if place.after is not None:
            beyond, at = ("<", "<=") if place.descending else (">", ">=")
            cast = f"%s::{field.type}"
            conditions.append(f"{field.sql} {at} {cast} AND ({field.sql} {beyond} {cast} OR {table.key} > %s)")
            bound += [place.after.value, place.after.value, place.after.key]
        elif field.nullable:
            conditions.append(f"{field.sql} IS NOT NULL")
        parts.append(
            f"({head}, 0 AS phase FROM {table.source} {joins} WHERE {' AND '.join(conditions)} "
            f"ORDER BY {field.sql} {direction}, {table.key} LIMIT %s)"
        )
        bound.append(place.size + 1)
    if field.nullable:
        conditions = [where, f"{field.sql} IS NULL"]
        bound += values
        if place.after is not None and place.after.value is None:
            conditions.append(f"{table.key} > %s")
            bound.append(place.after.key)
        parts.append(
            f"({head}, 1 AS phase FROM {table.source} {joins} WHERE {' AND '.join(conditions)} "
            f"ORDER BY {table.key} LIMIT %s)"
        )
        bound.append(place.size + 1)
    sql = f"SELECT * FROM ({' UNION ALL '.join(parts)}) found ORDER BY phase, sort_value {direction}, key LIMIT %s"
    return sql, [*bound, place.size + 1]


def page_order(place: Place, alias: str = "page") -> str:
    """ORDER BY of the page once more, after the joins."""
    direction = "DESC" if place.descending else "ASC"
    return f"{alias}.phase, {alias}.sort_value {direction} NULLS LAST, {alias}.key"


# ---------------------------------------------------------------------------------------------------------- addresses


def address(request: Any, sent: Sequence[tuple[str, str]], changes: Mapping[str, object]) -> str:
    """The absolute address of this list with some parameters changed (None: left out)."""
    query = [(name, value) for name, value in sent if name not in changes]
    query += [(name, str(value)) for name, value in changes.items() if value is not None]
    return str(request.build_absolute_uri(request.path + ("?" + urlencode(query) if query else "")))


def neighbours(
    request: Any, asked: Asked, place: Place, more: bool, last: After | None
) -> tuple[int | None, str | None, str | None]:
    """(page, next, previous) of the envelope."""
    sent = asked.sent
    if place.kind == "cursor":
        wanted = asked.get("ordering") or "id"
        if not more or last is None:
            return None, None, None
        # A walk counts once: what a count costs grows with the table, what a page costs must not.
        changes: dict[str, object] = {"cursor": seal(last, scope(asked, wanted))}
        if "count" in asked.values and not asked.given("count"):
            changes["count"] = "none"
        return None, address(request, sent, changes), None
    if place.kind == "offset":
        before = max(place.offset - place.size, 0)
        return (
            place.offset // place.size + 1,
            address(request, sent, {"limit": place.size, "offset": place.offset + place.size}) if more else None,
            address(request, sent, {"limit": place.size, "offset": before}) if place.offset else None,
        )
    page = place.offset // place.size + 1
    return (
        page,
        address(request, sent, {"page": page + 1}) if more else None,
        address(request, sent, {"page": page - 1}) if page > 1 else None,
    )
