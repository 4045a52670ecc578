"""Pages as received: every record of them, pretty and as it was understood; the whole as it came."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, code, figure, indented, label, link, list_link, pretty, rows
from ingestion.admin.rereading import replay, requeue_pages
from ingestion.admin.run import PAGE_STATES
from ingestion.errors import Malformed
from ingestion.models import RawPayload, Reject
from ingestion.parsing import as_bytes, read
from ingestion.source import Item, PageFacts
from ingestion.sources import BY_SLUG

RECORDS_SHOWN = 10
TEXT_SHOWN = 4_000


@admin.register(RawPayload)
class PageAdmin(ReadOnlyAdmin):
    """Pages as the sources sent them, to the byte. One that failed can be read again after a fix."""

    list_display = (
        "number_shown",
        "source",
        "run_link",
        "state_shown",
        "received",
        "bytes",
        "inserted",
        "updated",
        "unchanged",
        "rejected",
        "trouble",
    )
    list_display_links = ("number_shown",)
    list_filter = (("source", RelatedDropdownFilter), ("state", ChoicesDropdownFilter))
    list_select_related = ("source",)
    search_fields = ("=id", "=run__id", "error")
    search_help_text = "number of the page or the run, or a word of the error"
    actions = ("replay_pages", "requeue_failed")
    actions_detail = ("items", "download", "replay_here", "requeue_here")
    fieldsets = (
        (None, {"fields": (("outcome", "origin"),)}),
        ("As received", {"fields": ("beginning",)}),
        ("Headers", {"fields": ("headers_shown",), "classes": ("collapse",)}),
        ("What parsing needs beside the body", {"fields": ("meta_shown",), "classes": ("collapse",)}),
    )
    readonly_fields = ("outcome", "origin", "beginning", "headers_shown", "meta_shown")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RawPayload]:
        """With the size of the body, and never the body itself."""
        return super().get_queryset(request).annotate(body_size=F("body__size"))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Those that can do something for this page."""
        failed = RawPayload.objects.filter(pk=object_id, state=RawPayload.State.FAILED).exists()
        out = "ingestion_rawpayload_" + ("replay_here" if failed else "requeue_here")
        return [each for each in super().get_actions_detail(request, object_id) if each.action_name != out]

    # ------------------------------------------------------------------------------------------------------ columns

    @display(description="page", ordering="pk")
    def number_shown(self, page: RawPayload) -> str:
        return f"#{page.pk}"

    @display(description="run", ordering="run")
    def run_link(self, page: RawPayload) -> Any:
        return link("ingestion_run", page.run_id, f"run {page.run_id}, page {page.number}")

    @display(description="state", ordering="state")
    def state_shown(self, page: RawPayload) -> Any:
        return label(page.state, PAGE_STATES.get(page.state, ""))

    @display(description="received", ordering="received_at")
    def received(self, page: RawPayload) -> Any:
        return ago(page.received_at)

    @display(description="size")
    def bytes(self, page: RawPayload) -> str:
        return size(page.body_size)  # type: ignore[attr-defined]

    @display(description="error")
    def trouble(self, page: RawPayload) -> str:
        return page.error[:120]

    # ------------------------------------------------------------------------------------------------- its own page

    @display(description="what became of it")
    def outcome(self, page: RawPayload) -> Any:
        return rows(
            [
                ("state", self.state_shown(page)),
                ("reason", page.error or "–"),
                ("normalized", ago(page.normalized_at)),
                ("attempts", page.attempts),
                ("new", figure(page.inserted)),
                ("changed", figure(page.updated)),
                ("unchanged", figure(page.unchanged)),
                ("rejected", list_link("ingestion_reject", f"{page.rejected:,}", payload__id__exact=page.pk)),
            ]
        )

    @display(description="where from")
    def origin(self, page: RawPayload) -> Any:
        return rows(
            [
                ("source", link("assets_source", page.source_id, page.source.title)),
                ("run", self.run_link(page)),
                ("sweep", page.sweep),
                ("address", page.url),
                ("status", page.status_code or "–"),
                ("received", ago(page.received_at)),
                ("size", self.bytes(page)),
                ("goes on at", page.cursor or "the sweep is whole"),
            ]
        )

    @display(description="its beginning")
    def beginning(self, page: RawPayload) -> Any:
        body = page.body
        text = body.text if body.encoding != "base64" else f"(no text: base64)\n{body.text}"
        more = f"\n… {len(text) - TEXT_SHOWN:,} more characters" if len(text) > TEXT_SHOWN else ""
        return code(text[:TEXT_SHOWN] + more)

    @display(description="headers")
    def headers_shown(self, page: RawPayload) -> Any:
        return pretty(page.headers)

    @display(description="facts")
    def meta_shown(self, page: RawPayload) -> Any:
        return pretty(page.meta)

    # ------------------------------------------------------------------------------------------- records, and all of it

    @action(description="Records", icon="data_object", permissions=["view"], url_path="items")
    def items(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A window of records, each as received beside what was made of it; `?at=` is the one that is looked for."""
        page = self.page(object_id)
        at = max(whole(request.GET.get("at", "0")), 0)
        first = at - at % RECORDS_SHOWN
        rejects = {
            reject.position: reject
            for reject in Reject.objects.filter(
                payload=page, position__gte=first, position__lt=first + RECORDS_SHOWN
            ).defer("raw")
        }
        records, unreadable = window(page, first)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Records of {page.source.title}, {page}",
            "opts": self.opts,
            "page": page,
            "records": [{**record, "reject": rejects.get(record["position"])} for record in records],
            "unreadable": unreadable,
            "at": at if "at" in request.GET else None,
            "before": max(first - RECORDS_SHOWN, 0) if first else None,
            "after": first + RECORDS_SHOWN if len(records) == RECORDS_SHOWN else None,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/cryptoetl/items.html", context)

    @action(description="Download", icon="download", permissions=["view"], url_path="download")
    def download(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The body, byte for byte."""
        page = self.page(object_id)
        content_type = str(page.headers.get("content-type", ""))
        ending = (
            "json" if "json" in content_type else "html" if "html" in content_type else "csv" if page.meta else "txt"
        )
        name = f"{page.source.slug}-run{page.run_id}-page{page.number}.{ending}"
        return HttpResponse(
            as_bytes(page.body),
            content_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def page(self, object_id: str) -> RawPayload:
        found = RawPayload.objects.select_related("source", "body").filter(pk=whole(object_id)).first()
        if found is None:
            raise Http404(f"There is no page {object_id}.")
        return found

    # ------------------------------------------------------------------------------------------------------ actions

    @confirmed(
        "Replay",
        "Normalize these pages again? An older observation never overwrites a newer one.",
        icon="replay",
    )
    def replay_pages(self, request: HttpRequest, chosen: QuerySet[RawPayload]) -> str | None:
        first = chosen.first()
        return replay(request, chosen, f"replay {first.source.slug}" if first else "replay")

    @confirmed("Requeue", "Read these failed pages again?", icon="refresh")
    def requeue_failed(self, request: HttpRequest, chosen: QuerySet[RawPayload]) -> str | None:
        return requeue_pages(request, chosen)

    replay_here = on_its_page(replay_pages)
    requeue_here = on_its_page(requeue_failed)


def window(page: RawPayload, first: int) -> tuple[list[dict[str, Any]], str]:
    """RECORDS_SHOWN records from that position on, and why there is none if the page can't be read."""
    source = BY_SLUG.get(page.source.slug)
    if source is None:
        return [], "This version knows no such source."
    encoding = "utf-8" if page.body.encoding == "base64" else page.body.encoding
    try:
        items = source.split(as_bytes(page.body), encoding, PageFacts(page.received_at, page.meta))
        return [shown(source, item) for item in islice(items, first, first + RECORDS_SHOWN)], ""
    except Malformed as error:
        return [], str(error)


def shown(source: Any, item: Item) -> dict[str, Any]:
    """A record as received, and as it is understood today."""
    understood, trouble = None, ""
    try:
        record = read(source, item)._asdict()
        record["observed_at"] = f"{record['observed_at']:%Y-%m-%d %H:%M:%S} UTC"
        understood = [(name, value) for name, value in record.items() if value not in (None, ())]
    except Malformed as error:
        trouble = str(error)
    return {"position": item.position, "text": indented(item.text), "understood": understood, "trouble": trouble}


def size(count: int) -> str:
    return (
        f"{count:,} B"
        if count < 10_000
        else f"{count / 1024:,.0f} KB"
        if count < 10**7
        else f"{count / 1024**2:,.0f} MB"
    )


def whole(text: str) -> int:
    """The number that the text is; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
