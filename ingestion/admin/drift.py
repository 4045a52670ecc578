"""Drift: changes in the shape of a source's records, with a sample, and what they were measured against."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, code, indented, label, link, rows
from assets.wording import counted
from ingestion.models import Drift, FieldSeen

KINDS = {"added": "info", "removed": "danger", "retyped": "danger", "nullable": "warning"}


class Acknowledged(SimpleListFilter):
    title, parameter_name = "seen by a person", "seen"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "not yet"), ("yes", "yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Drift]) -> QuerySet[Drift]:
        return queryset if self.value() is None else queryset.filter(acknowledged_at__isnull=self.value() == "no")


@admin.register(Drift)
class DriftAdmin(ReadOnlyAdmin):
    """Fields of a source's records that are new, gone, or of another type. Acknowledge what you have looked at."""

    list_display = ("path", "source", "kind_shown", "detail", "run_link", "seen", "acknowledged")
    list_filter = (("source", RelatedDropdownFilter), ("kind", ChoicesDropdownFilter), Acknowledged)
    list_select_related = ("source",)
    search_fields = ("path", "detail")
    search_help_text = "a part of the field's path"
    actions = ("acknowledge",)
    actions_detail = ("acknowledge_here",)
    fieldsets = ((None, {"fields": ("facts",)}), ("A record that shows it", {"fields": ("sample_shown",)}))
    readonly_fields = ("facts", "sample_shown")

    @display(description="change", ordering="kind")
    def kind_shown(self, drift: Drift) -> Any:
        return label(drift.get_kind_display().lower(), KINDS.get(drift.kind, ""))

    @display(description="first in")
    def run_link(self, drift: Drift) -> Any:
        return link("ingestion_run", drift.run_id, f"run {drift.run_id}")

    @display(description="seen", ordering="seen_at")
    def seen(self, drift: Drift) -> Any:
        return ago(drift.seen_at)

    @display(description="acknowledged", ordering="acknowledged_at")
    def acknowledged(self, drift: Drift) -> Any:
        return ago(drift.acknowledged_at) if drift.acknowledged_at else label("not yet", "warning")

    @display(description="drift")
    def facts(self, drift: Drift) -> Any:
        page = drift.payload_id
        return rows(
            [
                ("source", link("assets_source", drift.source_id, drift.source.title)),
                ("field", drift.path),
                ("change", self.kind_shown(drift)),
                ("what", drift.detail),
                ("first met in", self.run_link(drift)),
                ("on page", link("ingestion_rawpayload", page, f"page {page}") if page else "it is pruned by now"),
                ("seen", self.seen(drift)),
                ("acknowledged", self.acknowledged(drift)),
            ]
        )

    @display(description="sample")
    def sample_shown(self, drift: Drift) -> Any:
        return code(indented(drift.sample)) if drift.sample else "None was kept."

    @confirmed("Acknowledge", "Mark these changes as seen?", icon="visibility")
    def acknowledge(self, request: HttpRequest, chosen: QuerySet[Drift]) -> str | None:
        count = chosen.filter(acknowledged_at=None).update(acknowledged_at=Now())
        if not count:
            messages.warning(request, "All of these were acknowledged before.")
            return None
        return f"{counted(count, 'change')} acknowledged."

    acknowledge_here = on_its_page(acknowledge)


@admin.register(FieldSeen)
class FieldSeenAdmin(ReadOnlyAdmin):
    """The fields that each source's records have had so far: what drift is measured against."""

    list_display = ("path", "source", "kinds", "always_shown", "first_seen")
    list_filter = (("source", RelatedDropdownFilter),)
    list_select_related = ("source",)
    search_fields = ("path",)
    search_help_text = "a part of the field's path"
    fields = readonly_fields = ("path", "source", "kinds", "always_shown", "first_seen")

    @display(description="types seen")
    def kinds(self, field: FieldSeen) -> str:
        return ", ".join(field.types)

    @display(description="in every record", boolean=True, ordering="always")
    def always_shown(self, field: FieldSeen) -> bool:
        return field.always

    @display(description="first seen", ordering="first_seen_at")
    def first_seen(self, field: FieldSeen) -> Any:
        return ago(field.first_seen_at)
