"""Where a row comes from: the run, the page as received, and in it the very record."""

from __future__ import annotations

import re
from typing import Any

import orjson

from ingestion.models import RawPayload
from ingestion.parsing import as_bytes
from ingestion.source import PageFacts
from ingestion.sources import BY_SLUG

#: What passes for JSON in a provider's answer and is none, outside of texts. Such a record is shown as text.
JSON = re.compile(rb"\s*[\[{]")


def provenance(payload_id: int, position: int) -> dict[str, Any] | None:
    """What /data/{id} shows beside the row; None when retention has removed the page."""
    payload = RawPayload.objects.select_related("source", "body").filter(pk=payload_id).first()
    if payload is None:
        return None
    return {
        "run_id": payload.run_id,
        "payload_id": payload.pk,
        "position": position,
        "url": payload.url,
        "status_code": payload.status_code,
        "received_at": payload.received_at,
        "record": record(payload, position),
    }


def record(payload: RawPayload, position: int) -> Any:
    """The record as received: its own JSON, digit by digit, or the text of its line. None when it isn't in the page."""
    source = BY_SLUG.get(payload.source.slug)
    if source is None:
        return None
    encoding = "utf-8" if payload.body.encoding == "base64" else payload.body.encoding
    facts = PageFacts(payload.received_at, payload.meta)
    for item in source.split(as_bytes(payload.body), encoding, facts):
        if item.position == position:
            return as_json(item.text)
    return None


def as_json(text: str) -> Any:
    """The text as the JSON that it is; text that is none stays text."""
    data = text.encode("utf-8", "replace")
    if not JSON.match(data):
        return text
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(data)
