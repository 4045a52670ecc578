"""Runs: how far each got, what it brought, its pages and rejects; cancel, resume, replay, requeue."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter, RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ReadOnlyInline, ago, key_of, label, link, list_link, rows
from assets.wording import span
from ingestion import runs
from ingestion.admin.rereading import replay, requeue_pages
from ingestion.admin.source import STATUSES
from ingestion.admin.starting import start
from ingestion.models import RawPayload, Reject, Run

REJECT_STATES = {"open": "danger", "resolved": "success", "discarded": "plain"}
PAGE_STATES = {"stored": "info", "normalized": "success", "failed": "danger"}


class PageInline(ReadOnlyInline):
    model = RawPayload
    verbose_name_plural = "pages"
    ordering = ("number",)
    fields = readonly_fields = (
        "page_link",
        "state_shown",
        "received",
        "inserted",
        "updated",
        "unchanged",
        "rejected",
        "error",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[RawPayload]:
        return super().get_queryset(request).defer("headers", "meta")

    @display(description="page")
    def page_link(self, page: RawPayload) -> Any:
        return link("ingestion_rawpayload", page.pk, page.number)

    @display(description="state")
    def state_shown(self, page: RawPayload) -> Any:
        return label(page.state, PAGE_STATES.get(page.state, ""))

    @display(description="received")
    def received(self, page: RawPayload) -> Any:
        return ago(page.received_at)


class RejectInline(ReadOnlyInline):
    model = Reject
    verbose_name_plural = "rejects first met in this run"
    ordering = ("pk",)
    fields = readonly_fields = ("record", "field", "reason", "state_shown")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reject]:
        return super().get_queryset(request).defer("raw")

    @display(description="record")
    def record(self, reject: Reject) -> Any:
        return link("ingestion_reject", reject.pk, f"page {reject.payload_id}, record {reject.position + 1}")

    @display(description="state")
    def state_shown(self, reject: Reject) -> Any:
        return label(reject.state, REJECT_STATES.get(reject.state, ""))


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """A run is one attempt at all that a source has. What it fetched stays, however it ends."""

    list_display = (
        "number",
        "source",
        "state",
        "progress",
        "began",
        "took",
        "processed",
        "inserted",
        "updated",
        "unchanged",
        "rejected",
    )
    list_display_links = ("number",)
    list_filter = (
        ("source", RelatedDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
        ("started_at", RangeDateTimeFilter),
    )
    list_select_related = ("source",)
    search_fields = ("=id", "error")
    search_help_text = "number, or a word of the error"
    actions = ("cancel", "resume", "replay_pages", "requeue_failed")
    actions_detail = ("cancel_here", "resume_here", "replay_here", "requeue_here")
    inlines = (PageInline, RejectInline)
    change_form_outer_before_template = "admin/cryptoetl/run_progress.html"
    fieldsets = ((None, {"fields": (("outcome_shown", "counts", "course"),)}),)
    readonly_fields = ("outcome_shown", "counts", "course")

    def get_inline_instances(self, request: HttpRequest, obj: Run | None = None) -> list[Any]:
        """Tables with nothing in them are left out."""
        inlines: list[Any] = super().get_inline_instances(request, obj)
        if obj is None:
            return inlines
        held = {RawPayload: obj.pages > 0, Reject: obj.rejected > 0}
        return [inline for inline in inlines if held[inline.model]]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Those that can do something for this run."""
        run = Run.objects.filter(pk=object_id).first()
        active = run is not None and run.status in Run.ACTIVE
        failed = run is not None and run.payloads.filter(state=RawPayload.State.FAILED).exists()
        useful = {
            "cancel_here": active,
            "resume_here": not active,
            "replay_here": not active and run is not None and run.pages > 0,
            "requeue_here": failed,
        }
        actions = super().get_actions_detail(request, object_id)
        return [each for each in actions if useful[each.action_name.removeprefix("ingestion_run_")]]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        run = Run.objects.select_related("source").filter(pk=key_of(self, object_id)).first()
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "run": run})

    # ------------------------------------------------------------------------------------------------------ columns

    @display(description="run", ordering="pk")
    def number(self, run: Run) -> str:
        return f"#{run.pk}"

    @display(description="status", ordering="status")
    def state(self, run: Run) -> Any:
        return label(run.status, STATUSES.get(run.status, ""))

    @display(description="progress")
    def progress(self, run: Run) -> Any:
        return progress(run)

    @display(description="started", ordering="started_at")
    def began(self, run: Run) -> Any:
        return ago(run.started_at)

    @display(description="took")
    def took(self, run: Run) -> str:
        return span(runs.lasted(run)) if run.started_at else "–"

    # ------------------------------------------------------------------------------------------------- its own page

    @display(description="outcome")
    def outcome_shown(self, run: Run) -> Any:
        waits = run.status in Run.ACTIVE and run.lease_token is None and run.fetched_at is None
        return rows(
            [
                ("source", link("assets_source", run.source_id, run.source.title)),
                ("status", self.state(run)),
                ("reason", run.error or "–"),
                ("next attempt", ago(run.due_at) if waits else "–"),
                ("whole sweep", "yes" if run.whole else "no"),
                ("last id processed", run.last_processed_id or "–"),
            ]
        )

    @display(description="counts")
    def counts(self, run: Run) -> Any:
        return rows(
            [
                ("pages", list_link("ingestion_rawpayload", f"{run.pages:,}", run__id__exact=run.pk)),
                ("processed", f"{run.processed:,}"),
                ("new", f"{run.inserted:,}"),
                ("changed", f"{run.updated:,}"),
                ("unchanged", f"{run.unchanged:,}"),
                ("rejected", list_link("ingestion_reject", f"{run.rejected:,}", run__id__exact=run.pk)),
            ]
        )

    @display(description="course")
    def course(self, run: Run) -> Any:
        return rows(
            [
                ("trigger", run.trigger + (", from the beginning" if run.full else "")),
                ("sweep", run.sweep or "–"),
                ("queued", ago(run.queued_at)),
                ("started", ago(run.started_at)),
                ("fetched", ago(run.fetched_at)),
                ("finished", ago(run.finished_at)),
                ("took", self.took(run)),
                ("retries", run.retries),
                ("taken over from dead workers", run.takeovers),
            ]
        )

    # ------------------------------------------------------------------------------------------------------ actions

    @confirmed(
        "Cancel", "Stop these runs after the page they are at? What is stored stays.", icon="cancel", danger=True
    )
    def cancel(self, request: HttpRequest, chosen: QuerySet[Run]) -> str | None:
        stopped = [f"{run}" for run in chosen if runs.cancel(run)]
        if not stopped:
            messages.warning(request, "None of these is under way.")
            return None
        return f"Stopping {', '.join(stopped)}."

    @confirmed("Resume", "Start a run of their sources that goes on where the checkpoint stands?", icon="resume")
    def resume(self, request: HttpRequest, chosen: QuerySet[Run]) -> str | None:
        return start(request, {run.source_id: run.source for run in chosen.select_related("source")}.values())

    @confirmed(
        "Replay",
        "Normalize the stored pages of these runs again? An older observation never overwrites a newer one.",
        icon="replay",
    )
    def replay_pages(self, request: HttpRequest, chosen: QuerySet[Run]) -> str | None:
        first = chosen.select_related("source").first()
        command = f"replay {first.source.slug} --run {first.pk}" if first else "replay"
        return replay(request, RawPayload.objects.filter(run__in=chosen.order_by()), command)

    @confirmed("Requeue failed pages", "Read the failed pages of these runs again?", icon="refresh")
    def requeue_failed(self, request: HttpRequest, chosen: QuerySet[Run]) -> str | None:
        return requeue_pages(request, RawPayload.objects.filter(run__in=chosen.order_by()))

    cancel_here = on_its_page(cancel)
    resume_here = on_its_page(resume)
    replay_here = on_its_page(replay_pages)
    requeue_here = on_its_page(requeue_failed)


def progress(run: Run) -> SafeString:
    """How far it got, or why it got no further."""
    if run.error:
        return format_html('<span class="cx-reason" title="{}">{}</span>', run.error, Truncator(run.error).chars(120))
    return format_html('<progress class="cx-bar" max="100" value="{}" aria-label="progress"></progress>', share(run))


def share(run: Run) -> int:
    """How much of the run is done in percent, as far as the sweep before tells."""
    if run.status not in Run.ACTIVE:
        return 100 if run.status == Run.Status.COMPLETED or run.whole else 50 if run.pages else 0
    before = run.source.last_sweep_records
    return min(int(100 * run.processed / before), 99) if before else 0
