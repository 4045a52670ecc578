"""Where in a list a caller is: by page, by limit and offset, or by cursor; and the addresses of the pages beside it.

Every ordering ends with the row's key, so no row is seen twice or missed; nulls come last in both directions. A cursor
says after which row to go on, so its cost is the same at any depth; it is signed, and good for its list, ordering and
filter alone.

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
from django.utils.encoding import escape_uri_path

from assets.errors import Invalid
from assets.parameters import Asked, Parameter, choice, text, whole

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
    of: str = ""
    """The list that it is a part of."""


def place(asked: Asked, default_ordering: str, of: str) -> Place:
    """The caller's place in the list of that name.

    Raises Invalid when two ways of paging are mixed, or when the cursor is no use.
    """
    walking = asked.given("cursor")
    wanted = asked.get("ordering") or ("id" if walking else default_ordering)
    field, descending = wanted.removeprefix("-"), wanted.startswith("-")
    by_offset = asked.given("limit") or asked.given("offset")
    mixed = [name for name in ("page", "page_size") if asked.given(name)] if by_offset else []
    if walking:
        mixed = [name for name in ("page", "offset") if asked.given(name)]
    if walking and not mixed and asked.given("limit") and asked.given("page_size"):
        raise Invalid({"page_size": "can't be used together with limit"})
    if mixed:
        other = "cursor" if walking else "limit and offset"
        raise Invalid(dict.fromkeys(mixed, f"can't be used together with {other}"))
    if walking:
        size = asked["limit"] or asked["page_size"]
        sealed = asked["cursor"] or ""
        if sealed.startswith(RESUMING):
            if asked.given("ordering"):
                raise Invalid({"ordering": "can't be chosen where a walk is resumed: rows come as they were written"})
            after = unseal(sealed[1:], scope(asked, RESUMING, of))
            return Place("", False, size, walking=True, after=after, kind="changes", of=of)
        begun = unseal(sealed, scope(asked, wanted, of)) if sealed else None
        return Place(field, descending, size, walking=True, after=begun, kind="cursor", of=of)
    if by_offset:
        return Place(
            field, descending, asked["limit"] or settings.API_PAGE_SIZE, offset=asked["offset"] or 0, kind="offset"
        )
    return Place(field, descending, asked["page_size"], offset=(asked["page"] - 1) * asked["page_size"])


def scope(asked: Asked, wanted: str, of: str) -> bytes:
    """What a cursor is good for: the list, the ordering and every filter."""
    filters = sorted((name, value) for name, value in asked.sent if name not in NOT_A_FILTER)
    return orjson.dumps([of, wanted, filters])


def seal(after: After, scope: bytes) -> str:
    payload = orjson.dumps([after.value, after.key, after.horizon])
    return urlsafe_b64encode(sign(payload, scope) + payload).rstrip(b"=").decode()


def unseal(cursor: str, scope: bytes) -> After:
    """Raises Invalid for a cursor that is damaged, or was made for another list, ordering or filter."""
    try:
        sealed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (UnicodeEncodeError, Base64Error):
        raise Invalid({"cursor": "is damaged: take it from `next` as it is"}) from None
    if not hmac.compare_digest(sealed[:8], sign(sealed[8:], scope)):
        raise Invalid({"cursor": "is damaged, or was made for another list, ordering or filter"})
    return After(*orjson.loads(sealed[8:]))


def sign(payload: bytes, scope: bytes) -> bytes:
    return blake2b(
        payload + b"\0" + scope, digest_size=8, key=settings.SECRET_KEY.encode()[:64], person=b"cursor"
    ).digest()


# ---------------------------------------------------------------------------------------------------------- addresses


def address(request: Any, sent: Sequence[tuple[str, str]], changes: Mapping[str, object]) -> str:
    """The absolute address of this list with some parameters changed (None: left out)."""
    query = [(name, value) for name, value in sent if name not in changes]
    query += [(name, str(value)) for name, value in changes.items() if value is not None]
    here = f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}"
    return f"{here}?{urlencode(query)}" if query else here


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
            return None, resumed(request, asked, place, last), None
        return None, address(request, sent, {"cursor": seal(last, scope(asked, wanted, place.of)), **once(asked)}), None
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
        return resumed(request, asked, place, After(place.after.horizon if place.after else horizon, 0))
    assert place.after is not None and place.after.value is not None
    if int(place.after.value) > int(horizon):
        raise Invalid({"cursor": "is of another time of this database, which was restored since: begin a new walk"})
    return resumed(request, asked, place, last or place.after)


def resumed(request: Any, asked: Asked, place: Place, after: After) -> str:
    cursor = RESUMING + seal(After(after.value, after.key), scope(asked, RESUMING, place.of))
    return address(request, asked.sent, {"cursor": cursor, "ordering": None, **once(asked)})
