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

from assets import filters, selectors, unified
from assets.errors import Invalid
from assets.examples import ASSET_DETAIL, ASSET_PAGE, DATA_PAGE, SUMMARY
from assets.export import Wanted, stream
from assets.filters import ASSET_FILTERS, ASSET_PARAMETERS, DATA_FILTERS, DATA_PARAMETERS
from assets.pagination import Place, neighbours, place, resume
from assets.parameters import Asked
from assets.reading import Reading
from assets.renderers import (
    BrowsableAPIRenderer,
    CSVRenderer,
    JSONRenderer,
    NDJSONRenderer,
    ParquetRenderer,
    to_json,
)
from assets.selectors import Rows
from assets.serializers import (
    AssetDetailSerializer,
    AssetPageSerializer,
    DataPageSerializer,
    SummarySerializer,
)
from assets.tables import ASSETS, DATA, Table, data_table


class ListReading(Reading):
    """A list of rows: page, total, neighbours, validators."""

    is_conditional = True
    table: ClassVar[Table]

    def listed(
        self, request: Request, asked: Asked, here: Place, rows: Rows, total: int | None, **more: Any
    ) -> HttpResponse:
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
        # Where a walk goes on, without the transactions under way when it began: they move with any write anywhere.
        goes_on = [rows.last.value, rows.last.key] if here.walking and following and rows.last else following
        rest = to_json([total, page, here.size, goes_on, before, {**more, "resume": None}])
        return self.conditional(request, content, [rows.text, rest], rows.modified, rows.due)


def past(asked: Asked) -> datetime | None:
    """The time of `as_of`. Raises Invalid when nobody can know yet."""
    as_of: datetime | None = asked["as_of"]
    if as_of is not None and as_of > datetime.now(UTC):
        raise Invalid({"as_of": "lies in the future"})
    return as_of


class Data(ListReading):
    """Unified rows: one for each source and asset, each source's current word.

    `format=csv`, `ndjson` and `parquet` stream every row that the filter finds, in one snapshot; paging doesn't apply.
    With `as_of` a row is its source's last word until then, out of history: price, market cap, volume and `updated_at`
    are of that time, `is_stale` and `delisted` too; symbol, name and `asset_id` are today's, and what history doesn't
    keep (`percent_change_24h`, `rank`, `last_seen_at`) is null. Its usual order is by `id`.
    """

    table = DATA
    tag = "data"
    summary = "Rows of every source"
    parameters = DATA_PARAMETERS
    serializer_class = DataPageSerializer
    examples: ClassVar = {"A page": DATA_PAGE}
    renderer_classes = (JSONRenderer, BrowsableAPIRenderer, CSVRenderer, NDJSONRenderer, ParquetRenderer)

    def get(self, request: Request) -> HttpResponseBase:
        asked = self.asked(request)
        as_of = past(asked)
        table = DATA if as_of is None else data_table(as_of)
        found = filters.conditions(asked, DATA_FILTERS, table)
        kind = request.accepted_renderer.format
        if kind in ("csv", "ndjson", "parquet"):
            return self.exported(request, kind, asked, Wanted(table, found, asked["fields"]))
        here = place(asked, "rank" if as_of is None else "id", self.tag)
        if here.kind == "changes" and as_of is not None:
            raise Invalid({"as_of": "never changes: there is nothing to resume"})
        rows = selectors.data_page(here, found, selectors.facts_of(table, asked, found), table, asked["fields"])
        total = selectors.total(table, asked, found, here, rows)
        more = {}
        if here.walking and as_of is None:
            more["resume"] = resume(request, asked, here, rows.last, rows.horizon)
        return self.listed(request, asked, here, rows, total, **more)

    def exported(self, request: Request, kind: str, asked: Asked, wanted: Wanted) -> StreamingHttpResponse:
        """The whole filtered list, by id unless another order is asked for."""
        here = place(asked, "id", self.tag)
        if here.kind == "changes":
            raise Invalid({"cursor": "resumes a walk, which comes in pages: leave out `format`, or ask for it as json"})
        content: Any = [] if request.method == "HEAD" else stream(kind, wanted, here.field, here.descending)
        return as_file(request, content, "data")

    @staticmethod
    def row_address(row: dict[str, Any]) -> str:
        return f"/data/{row['id']}"


class DataSummary(Reading):
    """How much there is, how new it is, and what it is worth: in all, and by source."""

    is_conditional = True
    tag = "data"
    summary = "Summary"
    serializer_class = SummarySerializer
    examples: ClassVar = {"Three sources": SUMMARY}

    def get(self, request: Request) -> HttpResponse:
        self.asked(request)
        content, modified = selectors.summary()
        return self.conditional(request, {"data": content}, [to_json(content)], modified)


class Assets(ListReading):
    """One row for each real-world asset, whatever the number of sources: what they agree on, and each one's word.

    With `as_of` the consensus is reckoned from each source's last word until then, out of history, by today's rule and
    today's knowledge of which listings are one asset. Ranks and changes in percent are not kept: they are null, and the
    usual order is by today's rank.
    """

    table = ASSETS
    tag = "assets"
    summary = "Real-world assets with their consensus"
    parameters = ASSET_PARAMETERS
    serializer_class = AssetPageSerializer
    examples: ClassVar = {"A page": ASSET_PAGE}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        as_of = past(asked)
        here = place(asked, "rank", self.tag)
        found = filters.conditions(asked, ASSET_FILTERS, ASSETS)
        if as_of is not None:
            if here.field not in unified.KEPT:
                raise Invalid({"ordering": f"must be one of {', '.join(unified.KEPT)} with as_of"})
            if asked["agreement"]:
                raise Invalid({"agreement": "can't be used together with as_of"})
            found.append(unified.existed(as_of))
        facts = selectors.facts_of(ASSETS, asked, found)
        rows = unified.assets_page(here, found, unified.Wanted(asked["fields"], as_of), facts)
        more = {"ambiguous": selectors.is_ambiguous(asked["symbol"])} if asked["symbol"] else {}
        return self.listed(request, asked, here, rows, selectors.total(ASSETS, asked, found, here, rows), **more)


def as_file(request: Request, content: Iterable[bytes], what: str) -> StreamingHttpResponse:
    """The bytes as a file of the form that was asked for."""
    renderer = request.accepted_renderer
    charset = "" if renderer.format == "parquet" else "; charset=utf-8"
    response = StreamingHttpResponse(content, content_type=renderer.media_type + charset)
    name = f"cryptoetl-{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{renderer.format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


class OfAsset(Reading):
    """An address below one asset: a source's own id, or a former one, leads to the present one."""

    tag = "assets"
    is_conditional = True
    leads_elsewhere = True
    path_parameters: ClassVar = {"asset_id": "The asset's id, as /assets shows it; `source:id` leads to it."}

    def found(self, request: Request, asset_id: str, rest: str = "") -> int | HttpResponse:
        """The asset's key, or the redirect to its present address. Raises NotFound."""
        known = filters.resolve(sane(asset_id))
        if known is None:
            raise NotFound(f"There is no asset {asset_id[:200]!r}.")
        key, slug = known
        if slug == asset_id:
            return key
        query = request.META.get("QUERY_STRING", "")
        response = self.answer(request, {"asset_id": slug}, 308)
        response["Location"] = f"/assets/{quote(slug, safe=':')}{rest}" + (f"?{query}" if query else "")
        return response


def sane(asset_id: str) -> str:
    """The id, which can be asked for. Raises Invalid."""
    if "\0" in asset_id or "\ufffd" in asset_id:
        raise Invalid({"asset_id": "holds a NUL byte" if "\0" in asset_id else "is not UTF-8"})
    return asset_id


class AssetDetail(OfAsset):
    """One asset: its consensus, every source's quote, and why these listings are one."""

    summary = "One asset"
    below: ClassVar = ("history",)
    row_address = staticmethod(Data.row_address)
    serializer_class = AssetDetailSerializer
    examples: ClassVar = {"Bitcoin": ASSET_DETAIL}

    def get(self, request: Request, asset_id: str) -> HttpResponse:
        self.asked(request)
        # Nearly everybody asks by the present id.
        shown = unified.asset(sane(asset_id), unified.Wanted(with_identity=True))
        if shown is None:
            elsewhere = self.found(request, asset_id)
            if not isinstance(elsewhere, int):
                return elsewhere
            raise NotFound(f"There was no asset {asset_id[:200]!r} until just now.")
        text, rows = shown
        return self.conditional(request, {"data": text}, [to_json(text)], rows.modified, rows.due)
