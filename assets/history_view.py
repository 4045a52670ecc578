"""/assets/{asset_id}/history: what the caller asks for, and the answer as JSON, CSV or NDJSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from assets import history
from assets.examples import CANDLES, POINTS
from assets.export import Export
from assets.history import Series, Window
from assets.pagination import address
from assets.renderers import BrowsableAPIRenderer, CSVRenderer, JSONRenderer, NDJSONRenderer, to_json, utc
from assets.serializers import HistorySerializer
from assets.tables import source_label
from assets.views import OfAsset, as_file

#: What a candle of a file says.
CELLS = ("start", "end", *history.COLUMNS, "closed", "source")


class AssetHistory(OfAsset):
    """The asset's price as its sources observed it, or as candles made of that: `from` inclusive, `to` exclusive, UTC.

    Gaps are named, not filled; a candle that isn't over, or isn't wholly asked for, has `closed: false`.
    `format=csv` and `format=ndjson` give the rows alone, all of the window.
    """

    summary = "An asset's history"
    parameters = history.PARAMETERS
    serializer_class = HistorySerializer
    examples: ClassVar = {"Candles of an hour": CANDLES, "Points as observed": POINTS}
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer, CSVRenderer, NDJSONRenderer)

    def get(self, request: Request, asset_id: str) -> HttpResponseBase:
        asked = self.asked(request)
        key = self.found(request, asset_id, "/history")
        if isinstance(key, Response):
            return key
        window = history.window(asked)
        series = history.series_of(key, window.source)
        kind = request.accepted_renderer.format
        if kind in ("csv", "ndjson"):
            content: Any = [] if request.method == "HEAD" else lines(kind, series, window)
            return as_file(request, content, f"{re.sub(r'[^A-Za-z0-9._-]', '_', asset_id)[:100]}-{window.interval}")
        following: str | None = None
        data: list[Any]
        if window.interval == "raw":
            texts, beyond, gaps = history.points(series, window)
            data = [orjson.Fragment(text) for text in texts]
            whose = window.source
            if beyond is not None:
                following = address(request, asked.sent, {"from": utc(beyond), "to": utc(window.end)})
        else:
            chosen, data, gaps = history.candles(series, window, datetime.now(UTC))
            whose = chosen.source if chosen else window.source
        content = {
            "asset_id": asset_id,
            "interval": window.interval,
            "from": window.begin,
            "to": window.end,
            "source": whose and source_label(whose),
            "derived": window.interval != "raw",
            "derived_from": "our own observations" if window.interval != "raw" else None,
            "data": data,
            "gaps": gaps,
            "next": following,
        }
        # Without the times asked for: those that the caller left open move with the clock.
        return self.conditional(request, content, [to_json([data, gaps, whose])], None)


def lines(kind: str, series: Sequence[Series], asked: Window) -> Iterator[bytes] | Export:
    """The rows of the window, a line each; of points as many as there are."""
    if asked.interval == "raw":
        return Export(*history.copy_of_points(kind, series, asked))
    chosen, found, _ = history.candles(series, asked, datetime.now(UTC))
    rows = [{**candle, "source": source_label(chosen.source)} for candle in found] if chosen else []
    return as_csv(rows) if kind == "csv" else (to_json(row) + b"\n" for row in rows)


def as_csv(rows: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CELLS)
    for row in rows:
        writer.writerow([cell(row[name]) for name in CELLS])
    yield text.getvalue().encode()


def cell(value: Any) -> str:
    """As in JSON, where a decimal keeps its digits; a text without its quotes."""
    return value if isinstance(value, str) else to_json(value).decode().strip('"')
