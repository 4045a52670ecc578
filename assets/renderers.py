"""What an answer looks like: JSON with exact numbers for programs, a page with a form and a table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import orjson
from django.conf import settings
from django.template.loader import render_to_string
from rest_framework import renderers

#: Rows and columns that the HTML page shows as a table; the JSON beside it has everything.
TABLE_COLUMNS = 16
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
        answer = {
            "view": view,
            "request": request,
            "name": view.get_view_name(),
            "description": view.get_view_description(html=False),
            "status": f"{response.status_code} {response.status_text}",
            "ok": response.status_code < 400,
            "error": decoded.get("error"),
            "json": msgspec.json.format(text, indent=2).decode() if text else "",
            "next": decoded.get("next"),
            "previous": decoded.get("previous"),
            "total": decoded.get("total"),
            "ambiguous": decoded.get("ambiguous"),
            "latency": decoded.get("api_latency_ms"),
            "fields": form_fields(view, request),
            "table": table(decoded, view, request),
            "facts": facts(decoded),
            "formats": [
                (renderer.format, with_parameters(request, {"format": renderer.format}))
                for renderer in view.renderer_classes
                if renderer.format != self.format
            ],
            "demo": settings.DEMO,
        }
        return render_to_string(self.template, answer, request=getattr(request, "_request", request))


def with_parameters(request: Any, changes: Mapping[str, str]) -> str:
    """The address of this page with some parameters changed, and without those that are empty but the cursor."""
    kept = {name: value for name, value in request.query_params.items() if value or name == "cursor"}
    query = {name: value for name, value in kept.items() if name not in changes} | dict(changes)
    return request.path + "?" + urlencode(query)


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


def table(decoded: Mapping[str, Any], view: Any, request: Any) -> dict[str, Any] | None:
    """The rows of a list as cells, its headings with the way to order by them; None when the answer is no list."""
    rows: Any = decoded
    for name in view.rows_at:
        rows = rows.get(name) if isinstance(rows, dict) else None
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        return None
    names = [name for name, value in rows[0].items() if not isinstance(value, dict | list)][:TABLE_COLUMNS]
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
                "href": own(row) if own and position == 0 else leads_to(name, row.get(name)),
                "number": is_number(row.get(name)),
            }
            for position, name in enumerate(names)
        ]
        for row in rows
    ]
    return {"headings": headings, "rows": lines}


def facts(decoded: Mapping[str, Any]) -> list[dict[str, str]]:
    """What an answer about one thing says of it, one line each; what is nested deeper is in the JSON."""
    data = decoded.get("data")
    found = []
    for name, value in data.items() if isinstance(data, dict) else ():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, inner in parts:
            if isinstance(inner, list) and all(isinstance(one, str) for one in inner):
                inner = ", ".join(inner) or None
            if not isinstance(inner, dict | list):
                shown = f"{name}.{part}" if part else name
                found.append({"name": shown, "text": cell(inner), "href": leads_to(part or name, inner)})
    return found


def leads_to(name: str, value: Any) -> str:
    """The address of what a field names; "" when it names nothing."""
    if value is None or name not in ADDRESSES:
        return ""
    return ADDRESSES[name] + quote(str(value), safe=":")


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def is_number(value: Any) -> bool:
    """Whether the cell is a figure, which lines up at the right. (Numbers are decoded as the text that they are.)"""
    return isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit()
