"""/assets/{asset_id}/history: what the caller asks for, and the answer as JSON, CSV or NDJSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import orjson
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from assets import history
from assets.examples import CANDLES, POINTS
from assets.export import Export
from assets.history import Series, Window
from assets.pagination import address
from assets.renderers import BrowsableAPIRenderer, CSVRenderer, JSONRenderer, NDJSONRenderer, to_json, utc
from assets.serializers import HistorySerializer
from assets.tables import source_label
from assets.views import OfAsset, as_file

#: What candles are derived from.
MADE_OF = "our own observations, and backfilled points where a candle counts them"


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
        if not isinstance(key, int):
            return key
        window = history.window(asked)
        series = history.series_of(key, window.source)
        kind = request.accepted_renderer.format
        if kind in ("csv", "ndjson"):
            content: Any = [] if request.method == "HEAD" else lines(kind, series, window)
            return as_file(request, content, f"{re.sub(r'[^A-Za-z0-9._-]', '_', asset_id)[:100]}-{window.interval}")
        following: str | None = None
        if window.interval == "raw":
            text, beyond, gaps = history.points(series, window)
            whose = window.source
            if beyond is not None:
                following = address(request, asked.sent, {"from": utc(beyond), "to": utc(window.end)})
        else:
            chosen, text, gaps = history.candles(series, window)
            whose = chosen.source if chosen else window.source
        content = {
            "asset_id": asset_id,
            "interval": window.interval,
            "from": window.begin,
            "to": window.end,
            "source": whose and source_label(whose),
            "derived": window.interval != "raw",
            "derived_from": None if window.interval == "raw" else MADE_OF,
            "data": orjson.Fragment(f"[{text}]"),
            "gaps": gaps,
            "next": following,
        }
        # Without the times asked for: those that the caller left open move with the clock.
        ends = (window.begin, window.end)
        known = [{name: value for name, value in gap.items() if value not in ends} for gap in gaps]
        return self.conditional(request, content, [text, to_json([known, whose])], None)


def lines(kind: str, series: Sequence[Series], asked: Window) -> Iterable[bytes]:
    """The rows of the window, a line each; of points as many as there are."""
    if asked.interval == "raw":
        return Export(*history.copy_of_points(kind, series, asked))
    chosen = history.candles(series, asked)[0] or next(iter(series), None)
    return Export(*history.copy_of_candles(kind, chosen, asked)) if chosen else []
