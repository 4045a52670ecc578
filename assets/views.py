"""/data and /assets. A view reads the parameters, asks a selector and wraps the answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from assets import filters, selectors, unified
from assets.errors import Invalid
from assets.examples import ASSET, DATA_PAGE, SUMMARY
from assets.export import Export, copy_sql
from assets.filters import ASSET_FILTERS, ASSET_PARAMETERS, DATA_FILTERS, DATA_PARAMETERS
from assets.pagination import neighbours, place
from assets.parameters import Asked
from assets.reading import Reading
from assets.renderers import BrowsableAPIRenderer, CSVRenderer, JSONRenderer, NDJSONRenderer, to_json
from assets.selectors import Rows
from assets.serializers import (
    AssetDetailSerializer,
    AssetPageSerializer,
    DataPageSerializer,
    SummarySerializer,
)
from assets.tables import ASSETS, DATA, Table


class ListReading(Reading):
    """A list of rows: page, total, neighbours, validators."""

    table: ClassVar[Table]

    def listed(self, request: Request, asked: Asked, rows: Rows, total: int | None, **more: Any) -> HttpResponse:
        here = place(asked, "rank")
        page, following, before = neighbours(request, asked, here, rows.more, rows.last)
        content = {
            "data": rows.json,
            "total": total,
            "page": page,
            "page_size": here.size,
            "next": following,
            "previous": before,
            **more,
        }
        rest = to_json([total, page, here.size, following, before, more])
        return self.conditional(request, content, [*rows.texts, rest], rows.modified)


class Data(ListReading):
    """Unified rows: one for each source and asset, each source's current word.

    `format=csv` and `format=ndjson` stream every row that the filter finds, in one snapshot; paging doesn't apply.
    """

    table = DATA
    tag = "data"
    summary = "Rows of every source"
    parameters = DATA_PARAMETERS
    serializer_class = DataPageSerializer
    examples: ClassVar = {"A page": DATA_PAGE}
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer, CSVRenderer, NDJSONRenderer)

    def get(self, request: Request) -> HttpResponseBase:
        asked = self.asked(request)
        found = filters.conditions(asked, DATA_FILTERS)
        kind = request.accepted_renderer.format
        if kind in ("csv", "ndjson"):
            return self.exported(request, kind, asked, found)
        rows = selectors.data_page(place(asked, "rank"), found)
        return self.listed(request, asked, rows, selectors.total(DATA, asked, found))

    def exported(self, request: Request, kind: str, asked: Asked, found: list[Any]) -> StreamingHttpResponse:
        """The whole filtered list, by id unless another order is asked for."""
        here = place(asked, "id")
        where, values, needs = filters.where(found)
        direction = "DESC" if here.descending else "ASC"
        order = f"{DATA.fields[here.field].sql} {direction} NULLS LAST, {DATA.key}"
        content: Any = [] if request.method == "HEAD" else Export(copy_sql(kind, where, needs, order), values)
        return as_file(request, content, "data")

    @staticmethod
    def row_address(row: dict[str, Any]) -> str:
        return f"/data/{row['id']}"


class DataSummary(Reading):
    """How much there is, how new it is, and what it is worth: in all, and by source."""

    tag = "data"
    summary = "Summary"
    serializer_class = SummarySerializer
    examples: ClassVar = {"Two sources": SUMMARY}

    def get(self, request: Request) -> HttpResponse:
        self.asked(request)
        content, modified = selectors.summary()
        return self.conditional(request, {"data": content}, [to_json(content)], modified)


class Assets(ListReading):
    """One row for each real-world asset, whatever the number of sources: what they agree on, and each one's word."""

    table = ASSETS
    tag = "assets"
    summary = "Real-world assets with their consensus"
    parameters = ASSET_PARAMETERS
    serializer_class = AssetPageSerializer
    examples: ClassVar = {"A page": {"data": [ASSET], "total": 1, "page": 1, "page_size": 50, "next": None}}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        found = filters.conditions(asked, ASSET_FILTERS)
        rows = unified.assets_page(place(asked, "rank"), found)
        more = {"ambiguous": selectors.is_ambiguous(asked["symbol"])} if asked["symbol"] else {}
        return self.listed(request, asked, rows, selectors.total(ASSETS, asked, found), **more)


def as_file(request: Request, content: Iterable[bytes], what: str) -> StreamingHttpResponse:
    """The lines as a file of the form that was asked for."""
    renderer = request.accepted_renderer
    response = StreamingHttpResponse(content, content_type=f"{renderer.media_type}; charset=utf-8")
    name = f"cryptoetl-{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{renderer.format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


class OfAsset(Reading):
    """An address below one asset: a source's own id, or a former one, leads to the present one."""

    tag = "assets"
    leads_elsewhere = True
    path_parameters: ClassVar = {"asset_id": "The asset's id, as /assets shows it; `source:id` leads to it."}

    def found(self, request: Request, asset_id: str, rest: str = "") -> int | Response:
        """The asset's key, or the redirect to its present address. Raises NotFound."""
        if "\0" in asset_id or "\ufffd" in asset_id:
            raise Invalid({"asset_id": "holds a NUL byte" if "\0" in asset_id else "is not UTF-8"})
        known = filters.resolve(asset_id)
        if known is None:
            raise NotFound(f"There is no asset {asset_id[:200]!r}.")
        key, slug = known
        if slug == asset_id:
            return key
        query = request.META.get("QUERY_STRING", "")
        response = self.answer(request, {"asset_id": slug}, 308)
        response["Location"] = f"/assets/{quote(slug, safe=':')}{rest}" + (f"?{query}" if query else "")
        return response


class AssetDetail(OfAsset):
    """One asset: its consensus, every source's quote, and why these listings are one."""

    summary = "One asset"
    rows_at = ("data", "quotes")
    row_address = staticmethod(Data.row_address)
    serializer_class = AssetDetailSerializer
    examples: ClassVar = {"Bitcoin": {"data": ASSET}}

    def get(self, request: Request, asset_id: str) -> HttpResponse:
        self.asked(request)
        key = self.found(request, asset_id)
        if isinstance(key, Response):
            return key
        shown = unified.asset(key)
        if shown is None:
            raise NotFound(f"There is no asset {asset_id[:200]!r}.")
        text, modified = shown
        return self.conditional(request, {"data": text}, [to_json(text)], modified)
