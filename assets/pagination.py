"""Where in a list a caller is: by page, by limit and offset, or by cursor; and the addresses of the pages beside it.

Every ordering ends with the row's key, so no row is seen twice or missed; nulls come last in both directions. A cursor
says after which row to go on, so its cost is the same at any depth; it is signed, and good for its ordering and filter
alone.

A walk is resumed by the transactions that wrote the rows, not by their times: a row whose transaction committed late
has an early time, and a caller who asks for what is later would never see it. Rows are given out only when every
transaction before theirs is over, so nothing can come in behind the cursor any more.
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
from assets.tables import WRITTEN, Field, Table

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
    "once, whatever is written meanwhile, at the same cost at any depth. Without `ordering` it goes by `id`. Every "
    "page of a walk through /data has `resume`: asked later, it gives what has changed since the walk began.",
    max_length=2000,
)
#: A cursor that resumes a walk begins with this, which no other does.
RESUMING = "."
#: Parameters that don't say which rows are meant, only how many at a time.
NOT_A_FILTER = {"page", "page_size", "limit", "offset", "cursor", "count", "format", "ordering", "fields"}


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
    horizon: str = ""
    """The oldest transaction under way when the walk began: what it and later ones write is what has changed since."""


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
        sealed = asked["cursor"] or ""
        if sealed.startswith(RESUMING):
            if asked.given("ordering"):
                raise Invalid({"ordering": "can't be chosen where a walk is resumed: rows come as they were written"})
            after = unseal(sealed[1:], scope(asked, RESUMING))
            return Place("", False, size, walking=True, after=after, kind="changes")
        begun = unseal(sealed, scope(asked, wanted)) if sealed else None
        return Place(field, descending, size, walking=True, after=begun, kind="cursor")
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
    payload = orjson.dumps([after.value, after.key, after.horizon])
    return urlsafe_b64encode(sign(payload, scope) + payload).rstrip(b"=").decode()


def unseal(cursor: str, scope: bytes) -> After:
    """Raises Invalid for a cursor that is damaged, or was made for another ordering or filter."""
    try:
        sealed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeEncodeError, Base64Error):
        raise Invalid({"cursor": "is damaged: take it from `next` as it is"}) from None
    if not hmac.compare_digest(sealed[:8], sign(sealed[8:], scope)):
        raise Invalid({"cursor": "is damaged, or was made for another ordering or filter"})
    return After(*orjson.loads(sealed[8:]))


def sign(payload: bytes, scope: bytes) -> bytes:
    return blake2b(
        payload + b"\0" + scope, digest_size=8, key=settings.SECRET_KEY.encode()[:64], person=b"cursor"
    ).digest()


# ------------------------------------------------------------------------------------------------------- SQL of a page


#: Behind so many rows a page's keys are found in the index alone, and their rows afterwards.
DEEP = 1000


def page_of(
    table: Table, place: Place, where: str, values: Sequence[Any], needs: str, keys_alone: bool = False, total: int = 0
) -> tuple[str, list[Any]]:
    """SQL of the page: (key, sort_value, phase) and, unless only the keys are found, the table's own columns.

    It is one row more than the page, so that a next one is known. Given how many rows there are, the page is looked for
    from the list's end.
    """
    field = table.fields.get(place.field, WRITTEN)
    asking = Asking(table, field, place, where, list(values), table.joined(needs + field.needs), keys_alone, total)
    if place.walking:
        return asking.after()
    # An index goes backwards with its nulls first; forwards they are last as it is.
    return asking.numbered_with_nulls() if field.nullable and place.descending else asking.numbered()


@dataclass(frozen=True, slots=True)
class Asking:
    """A page of a list being looked for. Ties go by the key, in the direction of the order, as an index has them."""

    table: Table
    field: Field
    place: Place
    where: str
    values: list[Any]
    joins: str
    keys_alone: bool
    total: int = 0

    @property
    def direction(self) -> str:
        return "DESC" if self.place.descending else "ASC"

    def select(self, phase: int, *conditions: str) -> str:
        rows = "" if self.keys_alone else f", {self.table.alias}.*"
        return (
            f"SELECT {self.table.key} AS key, {self.field.sql} AS sort_value, {phase} AS phase{rows} "
            f"FROM {self.table.source} {self.joins} WHERE {' AND '.join([self.where, *conditions])}"
        )

    @property
    def in_order(self) -> str:
        return f"ORDER BY {self.field.sql} {self.direction}, {self.table.key} {self.direction} LIMIT {self.size}"

    @property
    def size(self) -> int:
        return self.place.size + 1

    def numbered(self) -> tuple[str, list[Any]]:
        if self.total:
            back = "ASC" if self.place.descending else "DESC"
            left = self.total - self.place.offset
            return (
                f"SELECT * FROM ({self.select(0)} ORDER BY {self.field.sql} {back}, {self.table.key} {back}"
                f" LIMIT {max(min(self.size, left), 0)} OFFSET {max(left - self.size, 0)}) ending"
            ), self.values
        return f"{self.select(0)} {self.in_order} OFFSET {self.place.offset}", self.values

    def numbered_with_nulls(self) -> tuple[str, list[Any]]:
        """Those that have a value, then the others, which are looked for only if the page isn't full without them."""
        offset, said = self.place.offset, f"{self.field.sql} IS NOT NULL"
        counted = f"SELECT count(*) FROM {self.table.source} {self.joins} WHERE {self.where} AND {said}"
        skipped = f"CASE WHEN EXISTS (SELECT FROM said) THEN 0 ELSE greatest({offset} - ({counted}), 0) END"
        nulls = self.select(1, f"{self.field.sql} IS NULL", f"(SELECT count(*) FROM said) < {self.size}")
        sql = f"""
            WITH said AS MATERIALIZED ({self.select(0, said)} {self.in_order} OFFSET {offset})
            SELECT * FROM said UNION ALL
            (SELECT * FROM ({nulls} ORDER BY {self.table.key} {self.direction}
                            LIMIT {self.size} OFFSET {skipped if offset else 0}) rest)
            ORDER BY phase, sort_value {self.direction}, key {self.direction} LIMIT {self.size}"""
        return sql, self.values * (3 if offset else 2)

    def after(self) -> tuple[str, list[Any]]:
        """A keyset is a bound on the first column and a filter behind it: PostgreSQL finds the bound in an index, which
        it can't do for (a, b) > (x, y) once nulls and directions differ. The nulls are a phase of their own."""
        after, field, key = self.place.after, self.field, self.table.key
        beyond = "<" if self.place.descending else ">"
        parts, bound = [], list[Any]()
        if after is None or after.value is not None:
            conditions, of = [], list[Any]()
            if after is not None:
                cast = f"%s::{field.type}"
                conditions.append(
                    f"{field.sql} {beyond}= {cast} AND ({field.sql} {beyond} {cast} OR {key} {beyond} %s)"
                )
                of = [after.value, after.value, after.key]
            elif field.nullable:
                conditions.append(f"{field.sql} IS NOT NULL")
            if field is WRITTEN:
                conditions.append(f"{field.sql} < pg_snapshot_xmin(pg_current_snapshot())")
            parts.append(f"({self.select(0, *conditions)} {self.in_order})")
            bound += [*self.values, *of]
        if field.nullable:
            conditions, of = [f"{field.sql} IS NULL"], []
            if after is not None and after.value is None:
                conditions.append(f"{key} {beyond} %s")
                of = [after.key]
            parts.append(f"({self.select(1, *conditions)} ORDER BY {key} {self.direction} LIMIT {self.size})")
            bound += [*self.values, *of]
        order = f"ORDER BY phase, sort_value {self.direction}, key {self.direction} LIMIT {self.size}"
        return f"SELECT * FROM ({' UNION ALL '.join(parts)}) found {order}", bound


def page_order(place: Place, alias: str = "page") -> str:
    """ORDER BY of the page once more, after the joins."""
    direction = "DESC" if place.descending else "ASC"
    return f"{alias}.phase, {alias}.sort_value {direction} NULLS LAST, {alias}.key {direction}"


# ---------------------------------------------------------------------------------------------------------- addresses


def address(request: Any, sent: Sequence[tuple[str, str]], changes: Mapping[str, object]) -> str:
    """The absolute address of this list with some parameters changed (None: left out)."""
    query = [(name, value) for name, value in sent if name not in changes]
    query += [(name, str(value)) for name, value in changes.items() if value is not None]
    return f"{request.scheme}://{request.get_host()}{request.path}" + ("?" + urlencode(query) if query else "")


def neighbours(
    request: Any, asked: Asked, place: Place, more: bool, last: After | None
) -> tuple[int | None, str | None, str | None]:
    """(page, next, previous) of the envelope."""
    sent = asked.sent
    if place.walking:
        wanted = asked.get("ordering") or "id"
        if not more or last is None:
            return None, None, None
        if place.kind == "changes":
            return None, resumed(request, asked, last), None
        return None, address(request, sent, {"cursor": seal(last, scope(asked, wanted)), **once(asked)}), None
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


def once(asked: Asked) -> dict[str, object]:
    """A walk counts once: what a count costs grows with the table, what a page costs must not."""
    return {"count": "none"} if "count" in asked.values and not asked.given("count") else {}


def resume(request: Any, asked: Asked, place: Place, last: After | None, horizon: str) -> str:
    """The address that a caller asks after this walk, and then again and again, for what has changed meanwhile."""
    if place.kind != "changes":
        return resumed(request, asked, After(place.after.horizon if place.after else horizon, 0))
    assert place.after is not None and place.after.value is not None
    if int(place.after.value) > int(horizon):
        raise Invalid({"cursor": "is of another time of this database, which was restored since: begin a new walk"})
    return resumed(request, asked, last or place.after)


def resumed(request: Any, asked: Asked, after: After) -> str:
    cursor = RESUMING + seal(After(after.value, after.key), scope(asked, RESUMING))
    return address(request, asked.sent, {"cursor": cursor, "ordering": None, **once(asked)})
