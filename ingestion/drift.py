"""Notices when a source's records change their shape: a field added, gone, of another type, or null for the first time.

A source's first whole sweep is the baseline; from its first record on, a field that its module neither handles nor
ignores by name is drift. Null is none where the source documents that it may come. CSV columns are compared by what
they mean, not by what they are called.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingestion.models import Drift, FieldSeen, RawPayload
from ingestion.source import Source

log = logging.getLogger(__name__)

#: Fewer items than this say nothing about a field that is gone.
ENOUGH = 10


@dataclass(slots=True)
class Shape:
    """What the records of one page hold."""

    items: int = 0
    types: dict[str, set[str]] = field(default_factory=dict)
    """Dotted path -> JSON types seen (number, text, boolean, list, object, null)."""
    times: dict[str, int] = field(default_factory=dict)
    """Dotted path -> number of items that had it."""
    examples: dict[tuple[str, str], Any] = field(default_factory=dict)
    """(dotted path, type) -> the first item that showed it."""


NAMES: Mapping[type, str] = {
    int: "number",
    float: "number",
    str: "text",
    bool: "boolean",
    list: "list",
    dict: "object",
    type(None): "null",
}


def shape_of(source: Source, body: bytes, meta: Mapping[str, Any]) -> Shape:
    """The shape of a page that could be split. A page that is no JSON is measured by its columns."""
    shape = Shape()
    if columns := meta.get("columns"):
        shape.items, shape.types = ENOUGH, {name: {"text"} for name in columns}
        shape.times = dict.fromkeys(columns, ENOUGH)
        return shape
    try:
        items = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return shape
    if "items" in meta and isinstance(items, dict):
        items = items.get(meta["items"])
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            shape.items += 1
            measure(item, "", shape, item)
    return shape


def measure(values: Mapping[str, Any], prefix: str, shape: Shape, item: Mapping[str, Any]) -> None:
    types, times = shape.types, shape.times
    for key, value in values.items():
        path = prefix + key
        kind = NAMES[type(value)]
        if path not in types:
            types[path], times[path] = set(), 0
        times[path] += 1
        if kind not in types[path]:
            types[path].add(kind)
            shape.examples[path, kind] = item
        if kind == "object":
            measure(value, path + ".", shape, item)


def watch(payload: RawPayload, source: Source, shape: Shape) -> None:
    """What is new about the page's shape is written down, as drift and as the baseline to come.

    Part of the caller's transaction.
    """
    if not shape.items:
        return
    learning = payload.source.last_sweep_at is None
    seen = {row.path: row for row in FieldSeen.objects.filter(source_id=payload.source_id)}
    found: list[tuple[str, str, str, str]] = []
    fresh: list[FieldSeen] = []
    for path, types in shape.types.items():
        known = seen.get(path)
        listed = ", ".join(sorted(types))
        if known is None:
            if path not in source.known_fields and (source.known_fields or not learning):
                found.append((Drift.Kind.ADDED, path, min(types), f"neither handled nor ignored by name: {listed}"))
            always = shape.times[path] == shape.items
            fresh.append(FieldSeen(source_id=payload.source_id, path=path, types=sorted(types), always=always))
        elif news := types - set(known.types):
            expected = learning or known.types == ["null"] or (news == {"null"} and path in source.nullable)
            if not expected:
                kind = Drift.Kind.NULLABLE if news == {"null"} else Drift.Kind.RETYPED
                found.append(
                    (kind, path, min(news), f"{', '.join(known.types)} before, now also {', '.join(sorted(news))}")
                )
            known.types = sorted(set(known.types) | types)
            known.save(update_fields=["types"])
    if shape.items >= ENOUGH:
        for path, known in seen.items():
            if known.always and path not in shape.types:
                if not learning:
                    found.append((Drift.Kind.REMOVED, path, "", "every record had it before, none of this page has it"))
                known.always = False
                known.save(update_fields=["always"])
    FieldSeen.objects.bulk_create(fresh, ignore_conflicts=True)
    Drift.objects.bulk_create(
        Drift(
            source_id=payload.source_id,
            run_id=payload.run_id,
            payload=payload,
            kind=kind,
            path=path[:500],
            detail=detail,
            sample=sample(shape.examples.get((path, type_name))),
        )
        for kind, path, type_name, detail in found
    )
    if found:
        log.warning("shape changed", extra={"source": source.slug, "fields": [path for _, path, _, _ in found]})


def sample(item: Any) -> str:
    """The item that shows it, as JSON, cut to what an admin page can show."""
    return "" if item is None else msgspec.json.encode(item).decode()[:2000].replace("\0", "␀")
