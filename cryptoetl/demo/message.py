"""What goes in and out of a source of the demo, apart from sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Request:
    """One GET, without the source's prefix."""

    source: str
    path: str
    """From the slash on, without the query."""
    params: Mapping[str, str]
    """The last value of each."""
    headers: Mapping[str, str]
    """Lower case."""
    shift: int = 0
    """By how many coins the list has moved up since the page before was read (a fault); down if negative."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. A list of items is kept as the items' texts, so that a fault can damage one of them."""

    status: int = 200
    text: str = ""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    items: list[str] | None = None
    """Set in place of `text` where the answer is a list."""

    def body(self) -> bytes:
        if self.items is None:
            return self.text.encode("utf-8", "surrogateescape")
        if self.content_type.startswith("text/csv"):
            return "".join(self.items).encode("utf-8", "surrogateescape")
        return ("[" + ",".join(self.items) + "]").encode("utf-8", "surrogateescape")

    def with_headers(self, **headers: str) -> Reply:
        return replace(
            self, headers={**self.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        )
