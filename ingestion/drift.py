"""Notices when a source's records change their shape: a field added, gone, of another type, or null for the first time.

The first page of a source is the baseline, measured against the fields that its module handles or ignores by name.
CSV columns are compared by what they mean, not by what they are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingestion.models import Drift, FieldSeen, RawPayload
from ingestion.source import Source

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
    """The shape of a page that could be split. A page that is no JSON list is measured by its columns."""
    shape = Shape()
    if columns := meta.get("columns"):
        shape.items, shape.types = ENOUGH, {name: {"text"} for name in columns}
        shape.times = dict.fromkeys(columns, ENOUGH)
        return shape
    try:
        items = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return shape
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            shape.items += 1
            measure(item, "", shape)
    return shape


def measure(item: Mapping[str, Any], prefix: str, shape: Shape) -> None:
    types, times = shape.types, shape.times
    for key, value in item.items():
        path = prefix + key
        kind = NAMES[type(value)]
        if path in types:
            types[path].add(kind)
            times[path] += 1
        else:
            types[path], times[path] = {kind}, 1
        if kind == "object":
            measure(value, path + ".", shape)


def watch(payload: RawPayload, source: Source, shape: Shape, sample: Iterable[str] = ()) -> list[Drift]:
    """What is new about the page's shape is written down, as drift and as the baseline to come. Part of the caller's transaction."""
    if not shape.items:
        return []
    seen = {row.path: row for row in FieldSeen.objects.filter(source_id=payload.source_id)}
    first = not seen
    found: list[tuple[str, str, str]] = []
    fresh: list[FieldSeen] = []
    for path, types in shape.types.items():
        known = seen.get(path)
        if known is None:
            if path not in source.known_fields:
                found.append(
                    (Drift.Kind.ADDED, path, f"a field that is neither handled nor ignored: {', '.join(sorted(types))}")
                )
            fresh.append(
                FieldSeen(
                    source_id=payload.source_id, path=path, types=sorted(types), always=shape.times[path] == shape.items
                )
            )
        elif not types <= set(known.types):
            news = types - set(known.types)
            kind = Drift.Kind.NULLABLE if news == {"null"} else Drift.Kind.RETYPED
            found.append((kind, path, f"{', '.join(known.types)} before, now also {', '.join(sorted(news))}"))
            known.types = sorted(set(known.types) | types)
            known.save(update_fields=["types"])
    if shape.items >= ENOUGH:
        for path, known in seen.items():
            if known.always and path not in shape.types:
                found.append((Drift.Kind.REMOVED, path, "every record had it before, none of this page has it"))
                known.always = False
                known.save(update_fields=["always"])
    FieldSeen.objects.bulk_create(fresh, ignore_conflicts=True)
    return Drift.objects.bulk_create(
        [
            Drift(
                source_id=payload.source_id,
                run_id=payload.run_id,
                payload=payload,
                kind=kind,
                path=path[:500],
                detail=detail,
                sample=next(iter(sample), "")[:2000],
            )
            for kind, path, detail in found
        ]
    )
