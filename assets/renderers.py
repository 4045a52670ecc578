"""What an answer looks like: JSON with exact numbers for programs, a page with a form and a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import orjson
from django.conf import settings
from django.template.loader import render_to_string
from django.utils.encoding import escape_uri_path
from rest_framework import renderers

#: Rows and columns that the HTML page shows as a table; the JSON beside it has everything.
TABLE_COLUMNS = 40
#: What is said about an answer, not in it.
ENVELOPE = {
    *("request_id", "api_latency_ms", "error", "demo", "ambiguous"),
    *("total", "page", "page_size", "next", "previous", "resume"),
}
#: Fields whose value has an address of its own.
ADDRESSES = {"asset_id": "/assets/", "run_id": "/stats/runs/"}


def encode(value: Any) -> Any:
    """What orjson doesn't know: a decimal keeps its digits, a time is ISO 8601 UTC with Z."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    if isinstance(value, datetime):
        return utc(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def utc(time: datetime) -> str:
    """ISO 8601 UTC with Z, no more decimals than it has: as PostgreSQL writes it in the rows."""
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def to_json(value: Any) -> bytes:
    return orjson.dumps(value, default=encode, option=orjson.OPT_PASSTHROUGH_DATETIME)


class JSONRenderer(renderers.JSONRenderer):
    """orjson; rows that PostgreSQL has made into JSON are passed through as `orjson.Fragment`."""

    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        if settings.DEMO and isinstance(data, dict):
            data = {**data, "demo": True}
        return to_json(data)


class CSVRenderer(renderers.BaseRenderer):
    """Names the form; `assets.export` streams it. Rendered here is what has no rows: an error."""

    media_type = "text/csv"
    format = "csv"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if renderer_context:
            renderer_context["response"]["Content-Type"] = "application/json"
        return JSONRenderer().render(data)


class NDJSONRenderer(CSVRenderer):
    media_type = "application/x-ndjson"
    format = "ndjson"


class ParquetRenderer(CSVRenderer):
    media_type = "application/vnd.apache.parquet"
    format = "parquet"


class BrowsableAPIRenderer(renderers.BrowsableAPIRenderer):
    """The same answer for a person: what can be asked as a form, the rows as a table, the JSON as it is."""

    format = "html"
    template = "assets/browse.html"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> str:
        context = dict(renderer_context or {})
        view, request, response = context["view"], context["request"], context["response"]
        text = JSONRenderer().render(data)
        decoded = json.loads(text, parse_float=str, parse_int=str) if text else {}
        said = content(decoded)
        answer = {
            "view": view,
            "request": request,
            "name": view.get_view_name(),
            "description": [" ".join(part.split()) for part in view.get_view_description(html=False).split("\n\n")],
            "status": f"{response.status_code} {response.status_text}",
            "ok": response.status_code < 400,
            "error": decoded.get("error"),
            "json": msgspec.json.format(text, indent=2).decode() if text else "",
            "next": decoded.get("next"),
            "previous": decoded.get("previous"),
            "total": None if decoded.get("total") is None else int(decoded["total"]),
            "ambiguous": decoded.get("ambiguous"),
            "latency": decoded.get("api_latency_ms"),
            "fields": form_fields(view, request),
            "tables": tables(said, view, request),
            "facts": facts(said),
            "nothing": decoded.get("data") == [],
            "formats": [
                (renderer.format, with_parameters(request, {"format": renderer.format}))
                for renderer in view.renderer_classes
                if renderer.format != self.format
            ],
            "below": [
                (name, f"{escape_uri_path(request.path).rstrip('/')}/{name}")
                for name in getattr(view, "below", ())
                if response.status_code < 400
            ],
            "demo": settings.DEMO,
        }
        return render_to_string(self.template, answer, request=getattr(request, "_request", request))


def with_parameters(request: Any, changes: Mapping[str, str]) -> str:
    """The address of this page with some parameters changed, and without those that are empty but the cursor."""
    kept = {name: value for name, value in request.query_params.items() if value or name == "cursor"}
    query = {name: value for name, value in kept.items() if name not in changes} | dict(changes)
    return escape_uri_path(request.path) + "?" + urlencode(query)


def form_fields(view: Any, request: Any) -> list[dict[str, Any]]:
    """A line of the form for each parameter."""
    return [
        {
            "name": parameter.name,
            "description": parameter.description,
            "choices": parameter.choices,
            "example": parameter.example,
            "value": request.query_params.get(parameter.name, ""),
            "default": parameter.schema.get("default", ""),
        }
        for parameter in getattr(view, "parameters", ())
        if parameter.name != "cursor"
    ]


def content(decoded: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer says, by name; the rows of a list are its `data`."""
    data = decoded.get("data")
    return data if isinstance(data, dict) else {n: value for n, value in decoded.items() if n not in ENVELOPE}


def tables(said: Mapping[str, Any], view: Any, request: Any) -> list[dict[str, Any]]:
    """Each list of rows in it, and each mapping of a name to a row."""
    found = []
    for name, value in said.items():
        rows = value
        if isinstance(value, dict) and all(isinstance(row, dict) for row in value.values()):
            rows = [{name.removesuffix("s"): key} | row for key, row in value.items()]
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            found.append({"name": "" if name == "data" else name, **table(rows, view, request)})
    return found


def table(rows: list[dict[str, Any]], view: Any, request: Any) -> dict[str, Any]:
    """The rows as cells, the headings of a list with the way to order by them."""
    rows = [dict(flat(row)) for row in rows]
    names = [name for name in rows[0] if all(cell(row.get(name)) is not None for row in rows)][:TABLE_COLUMNS]
    orderings = next((p.choices for p in getattr(view, "parameters", ()) if p.name == "ordering"), ())
    now = request.query_params.get("ordering", "")
    headings = []
    for name in names:
        after = f"-{name}" if now == name else name
        href = with_parameters(request, {"ordering": after}) if name in orderings else ""
        mark = "▲" if now == name else "▼" if now == f"-{name}" else ""
        number = any(is_number(row.get(name)) for row in rows)
        headings.append({"name": name, "href": href, "mark": mark, "number": number})
    own = getattr(view, "row_address", None)
    lines = [
        [
            {
                "text": cell(row.get(name)),
                "href": own(row) if own and name == "id" else leads_to(name, row.get(name)),
                "number": is_number(row.get(name)),
            }
            for name in names
        ]
        for row in rows
    ]
    return {"headings": headings, "rows": lines}


def facts(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it says beside its rows, one line each; what is nested deeper is in the JSON."""
    return [
        {"name": name, "text": text, "href": leads_to(name, value)}
        for name, value in flat(said)
        if name != "data" and (text := cell(value)) is not None
    ]


def flat(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values, those of one level below as well, where they say more."""
    for name, value in said.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{part}", inner) for part, inner in value.items() if part not in said)
        else:
            yield name, value


def leads_to(name: str, value: Any) -> str:
    """The address of what a field names; "" when it names nothing."""
    where = ADDRESSES.get(name.rpartition(".")[2])
    return "" if value is None or where is None else where + quote(str(value), safe=":")


def cell(value: Any) -> str | None:
    """What is shown of it; None of what is nested deeper."""
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return None if isinstance(value, dict | list) else str(value)


def is_number(value: Any) -> bool:
    """Whether the cell is a figure, which lines up at the right. (Numbers are decoded as the text that they are.)"""
    return isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit()
