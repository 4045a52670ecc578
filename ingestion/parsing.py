"""What a stored page holds: records with their places, what can't be read, and the shape of it all. Changes nothing.

A body is kept as text with the codec that gives its bytes back. A page that is as its source documents it throughout is
read as a whole; one record out of the ordinary, and each is read by itself.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from assets.records import AssetRecord
from ingestion import drift
from ingestion.errors import Malformed
from ingestion.models import RawBody, RawPayload
from ingestion.source import Item, PageFacts, Source
from ingestion.sources import BY_SLUG


def as_text(body: bytes, encoding: str) -> tuple[str, str]:
    """(text, codec) with text.encode(codec) == body; base64 where the body is no text that PostgreSQL can hold.

    One wrong byte makes a byte a character (latin-1) throughout: so the records are still to be seen in it.
    """
    for codec in (encoding, "latin-1"):
        with suppress(UnicodeError, LookupError):
            text = body.decode(codec)
            if "\0" not in text and text.encode(codec) == body:
                return text, codec
    return base64.b64encode(body).decode(), "base64"


def as_bytes(body: RawBody) -> bytes:
    """The body as received."""
    return base64.b64decode(body.text) if body.encoding == "base64" else body.text.encode(body.encoding)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that can't be read."""

    source_asset_id: str
    """The coin that it is about; "" where not even that can be read."""
    position: int
    field: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a page holds: records with their positions, and what can't be read."""

    records: list[tuple[int, AssetRecord]]
    rejects: list[Rejected]
    shape: drift.Shape


def parse(payload: RawPayload) -> Parsed:
    """Raises Malformed when the page as a whole can't be read."""
    source = BY_SLUG[payload.source.slug]
    facts = PageFacts(payload.received_at, payload.meta)
    body = as_bytes(payload.body)
    shape = drift.shape_of(source, body, payload.meta)
    quick = quickly(source, body, facts, shape)
    if quick is not None:
        return Parsed(list(enumerate(quick)), [], shape)
    encoding = "utf-8" if payload.body.encoding == "base64" else payload.body.encoding
    records: list[tuple[int, AssetRecord]] = []
    rejects: list[Rejected] = []
    for item in source.split(body, encoding, facts):
        try:
            records.append((item.position, read(source, item)))
        except Malformed as error:
            rejects.append(Rejected(coin_in(source, item), item.position, error.field, str(error), item.text))
    return Parsed(records, rejects, shape)


def quickly(
    source: Source, body: bytes, facts: PageFacts, shape: drift.Shape | None = None
) -> list[AssetRecord] | None:
    """The records of a page that is as documented throughout; None where it must be read item by item."""
    if source.quick is None:
        return None
    shape = shape or drift.shape_of(source, body, facts.meta)
    # A decoder of decimals takes "1.5" for 1.5; a text where a number belongs is refused here. A page whose shape is
    # not known, for it holds a number that no float could be, may hold such a text.
    if not shape.items or any("text" in shape.types.get(path, ()) for path in source.quick.numbers):
        return None
    return source.quick.read(body, facts)


def read(source: Source, item: Item) -> AssetRecord:
    """The item's record. Raises Malformed with the field's name."""
    if isinstance(item.data, Malformed):
        raise item.data
    return source.parse(item)


def coin_in(source: Source, item: Item) -> str:
    """The source's id of the coin that an unreadable item is about, "" where the item does not say."""
    try:
        return source.identify(item) if source.identify else ""
    except Malformed:
        return ""


def fingerprint(reject: Rejected) -> bytes:
    return blake2b(f"{reject.reason}\0{reject.raw}".encode(errors="replace"), digest_size=16).digest()


def clean(text: str) -> str:
    """What PostgreSQL can hold of a text: NUL bytes shown as such."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode()
