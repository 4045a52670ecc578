"""Rejects: records that can't be read, as received, with the reason; read again after a fix, or given up."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, code, indented, item_link, label, link, rows
from assets.wording import counted
from ingestion.admin.rereading import reread_rejects
from ingestion.admin.run import REJECT_STATES
from ingestion.models import Reject
from ingestion.requeueing import discard

FIELDS_LISTED = 50


class FieldFilter(SimpleListFilter):
    """By the field that could not be read: those of open rejects, which an index finds."""

    title, parameter_name = "field", "field"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        fields = (
            Reject.objects.filter(state=Reject.State.OPEN).order_by("field").values_list("field", flat=True).distinct()
        )
        return [(field or "-", field or "(the record as a whole)") for field in fields[:FIELDS_LISTED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reject]) -> QuerySet[Reject]:
        value = self.value()
        return queryset if value is None else queryset.filter(field="" if value == "-" else value)


@admin.register(Reject)
class RejectAdmin(ReadOnlyAdmin):
    """Records that can't be read. Read them again after a fix, or discard what never can be."""

    list_display = ("number", "source", "field", "short_reason", "start", "where", "state_shown", "first_seen")
    list_display_links = ("number", "short_reason")
    list_filter = (("source", RelatedDropdownFilter), ("state", ChoicesDropdownFilter), FieldFilter)
    list_select_related = ("source",)
    search_fields = ("=id", "reason")
    search_help_text = "number, or a part of the reason"
    actions = ("read_again", "give_up")
    actions_detail = ("read_again_here", "give_up_here")
    fieldsets = (
        (None, {"fields": (("verdict", "origin"),)}),
        ("As received", {"fields": ("raw_shown",)}),
    )
    readonly_fields = ("verdict", "origin", "raw_shown")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """None where it is closed."""
        still_open = Reject.objects.filter(pk=object_id, state=Reject.State.OPEN).exists()
        return super().get_actions_detail(request, object_id) if still_open else []

    @display(description="reject", ordering="pk")
    def number(self, reject: Reject) -> str:
        return f"#{reject.pk}"

    @display(description="reason", ordering="reason")
    def short_reason(self, reject: Reject) -> str:
        return reject.reason[:160]

    @display(description="as received")
    def start(self, reject: Reject) -> str:
        return reject.raw[:60] + ("…" if len(reject.raw) > 60 else "")

    @display(description="where")
    def where(self, reject: Reject) -> Any:
        return item_link(reject.payload_id, reject.position)

    @display(description="state", ordering="state")
    def state_shown(self, reject: Reject) -> Any:
        return label(reject.state, REJECT_STATES.get(reject.state, ""))

    @display(description="first seen", ordering="first_seen_at")
    def first_seen(self, reject: Reject) -> Any:
        return ago(reject.first_seen_at)

    @display(description="why")
    def verdict(self, reject: Reject) -> Any:
        return rows(
            [
                ("state", self.state_shown(reject)),
                ("field", reject.field or "the record as a whole"),
                ("reason", reject.reason),
                ("first seen", ago(reject.first_seen_at)),
                ("closed", ago(reject.closed_at)),
            ]
        )

    @display(description="where from")
    def origin(self, reject: Reject) -> Any:
        return rows(
            [
                ("source", link("assets_source", reject.source_id, reject.source.title)),
                ("run", link("ingestion_run", reject.run_id, f"run {reject.run_id}")),
                ("record", self.where(reject)),
            ]
        )

    @display(description="record")
    def raw_shown(self, reject: Reject) -> Any:
        return code(indented(reject.raw))

    @confirmed("Read again", "Read these records again, with the pages that hold them?", icon="refresh")
    def read_again(self, request: HttpRequest, chosen: QuerySet[Reject]) -> str | None:
        first = chosen.first()
        return reread_rejects(request, chosen, f"requeue {first.source.slug}" if first else "requeue --all")

    @confirmed(
        "Discard",
        "Give these records up? They stay, with their reasons, and are no longer open.",
        icon="delete_sweep",
        danger=True,
    )
    def give_up(self, request: HttpRequest, chosen: QuerySet[Reject]) -> str | None:
        if not (count := discard(chosen)):
            messages.warning(request, "None of these is open.")
            return None
        return f"{counted(count, 'rejected record')} given up."

    read_again_here = on_its_page(read_again)
    give_up_here = on_its_page(give_up)
