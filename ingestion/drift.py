"""Notices when a source's records change their shape: a field added, gone, of another type, or null for the first time.

A source's first whole sweep is the baseline; from its first record on, a field that its module neither handles nor
ignores by name is drift. Null is none where the source documents that it may come. CSV columns are compared by what
they mean, not by what they are called.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from assets.copying import json_of
from ingestion.models import Drift, FieldSeen, RawPayload
from ingestion.source import Source

log = logging.getLogger(__name__)

#: Fewer items than this say nothing about a field that is gone.
ENOUGH = 10
#: A path has at most so many characters: the index that it is in takes 2,704 bytes.
LONGEST_PATH = 500
#: Objects are looked into so far down.
DEEPEST = 16


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


#: Numbers as floats, as far down as sources nest them: here only their type counts.
_Inner = bool | float | str | list | dict | None
_Middle = bool | float | str | list | dict[str, _Inner] | None
_items = msgspec.json.Decoder(list[dict[str, bool | float | str | list | dict[str, _Middle] | None]])
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
    if columns := [keepable(name) for name in meta.get("columns", ())]:
        shape.items, shape.types = ENOUGH, {name: {"text"} for name in columns}
        shape.times = dict.fromkeys(columns, ENOUGH)
        return shape
    items = items_of(body, meta)
    # Items of one signature are measured once: of 250 in a page, some ten differ in more than their values.
    alike: dict[Hashable, list[Any]] = {}
    for item in items:
        if isinstance(item, dict):
            alike.setdefault(signature(item), [0, item])[0] += 1
    for times, item in alike.values():
        shape.items += times
        measure(item, "", shape, item, times)
    return shape


def items_of(body: bytes, meta: Mapping[str, Any]) -> list[Any]:
    """The records of a page of JSON; none where there is no list of them."""
    try:
        return _items.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        items = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return []
    if "items" in meta and isinstance(items, dict):
        items = items.get(meta["items"])
    return items if isinstance(items, list) else []


def signature(item: Mapping[str, Any], depth: int = 1) -> Hashable:
    """Equal for items that have the same fields of the same types, in the same order."""
    types = tuple(map(type, item.values()))
    if dict in types and depth < DEEPEST:
        return tuple(item), types, tuple(signature(value, depth + 1) for value in item.values() if type(value) is dict)
    return tuple(item), types


def measure(
    values: Mapping[str, Any], prefix: str, shape: Shape, item: Mapping[str, Any], items: int, depth: int = 1
) -> None:
    """What `items` items, all with the signature of this one, add to the shape."""
    types, times = shape.types, shape.times
    for key, value in values.items():
        path = keepable(prefix + key)
        kind = NAMES[type(value)]
        if path not in types:
            types[path], times[path] = set(), 0
        times[path] += items
        if kind not in types[path]:
            types[path].add(kind)
            shape.examples[path, kind] = item
        if kind == "object" and depth < DEEPEST:
            measure(value, path + ".", shape, item, items, depth + 1)


def keepable(path: str) -> str:
    """The path as it can be kept: NUL shown as such, and of a very long one the beginning, and a hash of it all."""
    path = path.replace("\0", "␀")
    if len(path) <= LONGEST_PATH:
        return path
    whole = blake2b(path.encode(), digest_size=8).hexdigest()
    return f"{path[: LONGEST_PATH - len(whole) - 1]}…{whole}"


def watch(pages: Sequence[tuple[RawPayload, Shape]], source: Source) -> None:
    """What is new about the shapes of these pages of a source is written down, as drift and as the baseline to come.

    Part of the caller's transaction.
    """
    pages = [(payload, shape) for payload, shape in pages if shape.items]
    if not pages:
        return
    row = pages[0][0].source
    baseline = Baseline(source, row.last_sweep_at is None, {one.path: one for one in row.fields_seen.all()})
    found = [drift for payload, shape in pages for drift in baseline.take_in(payload, shape)]
    fresh = [one for one in baseline.seen.values() if one.pk is None]
    FieldSeen.objects.bulk_create(fresh, ignore_conflicts=True)
    FieldSeen.objects.bulk_update(
        [one for one in baseline.changed.values() if one.pk is not None], ["types", "always"], batch_size=500
    )
    Drift.objects.bulk_create(found)
    if found:
        log.warning("shape changed", extra={"source": source.slug, "fields": [drift.path for drift in found]})


@dataclass(slots=True)
class Baseline:
    """What the records of a source were seen to hold until now."""

    source: Source
    learning: bool
    """Its first whole sweep isn't over: what it holds is the baseline, not drift."""
    seen: dict[str, FieldSeen]
    changed: dict[str, FieldSeen] = field(default_factory=dict)

    def take_in(self, payload: RawPayload, shape: Shape) -> list[Drift]:
        """The page's shape is part of the baseline; what was new about it."""
        found: list[tuple[str, str, str, str]] = []
        for path, types in shape.types.items():
            known = self.seen.get(path)
            listed = ", ".join(sorted(types))
            if known is None:
                if path not in self.source.known_fields and (self.source.known_fields or not self.learning):
                    found.append((Drift.Kind.ADDED, path, min(types), f"neither handled nor ignored by name: {listed}"))
                always = shape.times[path] == shape.items
                self.seen[path] = FieldSeen(source_id=payload.source_id, path=path, types=sorted(types), always=always)
            elif news := types - set(known.types):
                null = news == {"null"}
                if not (self.learning or known.types == ["null"] or (null and path in self.source.nullable)):
                    found.append(
                        (
                            Drift.Kind.NULLABLE if null else Drift.Kind.RETYPED,
                            path,
                            min(news),
                            f"{', '.join(known.types)} before, now also {', '.join(sorted(news))}",
                        )
                    )
                known.types = sorted(set(known.types) | types)
                self.changed[path] = known
        if shape.items >= ENOUGH:
            for path, known in self.seen.items():
                if known.always and path not in shape.types:
                    if not self.learning:
                        found.append(
                            (Drift.Kind.REMOVED, path, "", "every record had it before, none of this page has it")
                        )
                    known.always = False
                    self.changed[path] = known
        return [
            Drift(
                source_id=payload.source_id,
                run_id=payload.run_id,
                payload=payload,
                kind=kind,
                path=path,
                detail=detail,
                sample=sample(shape.examples.get((path, type_name))),
            )
            for kind, path, type_name, detail in found
        ]


def sample(item: Any) -> str:
    """The item that shows it, as JSON, cut to what an admin page can show."""
    return "" if item is None else json_of(item)[:2000].replace("\0", "␀")
