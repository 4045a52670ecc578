"""Checkpoints: where each source goes on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, code, label, link, rows
from ingestion.admin.source import reset_all
from ingestion.models import Checkpoint


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """Where the next run of each source goes on."""

    list_display = ("source", "goes_on", "sweep", "short_cursor", "page_link", "run_link", "moved")
    list_select_related = ("source",)
    ordering = ("source__identity_rank", "source__slug")
    actions = ("reset",)
    actions_detail = ("reset_here",)
    fieldsets = ((None, {"fields": ("facts",)}), ("Cursor", {"fields": ("whole_cursor",)}))
    readonly_fields = ("facts", "whole_cursor")

    @display(description="next run")
    def goes_on(self, checkpoint: Checkpoint) -> Any:
        if checkpoint.in_sweep:
            return label("goes on in this sweep", "info")
        return label("begins a sweep" if checkpoint.cursor is None else "reads what is new")

    @display(description="cursor")
    def short_cursor(self, checkpoint: Checkpoint) -> str:
        cursor = checkpoint.cursor or "the beginning"
        return cursor if len(cursor) <= 60 else cursor[:59] + "…"

    @display(description="last page")
    def page_link(self, checkpoint: Checkpoint) -> Any:
        return (
            link("ingestion_rawpayload", checkpoint.page_id, f"page {checkpoint.page_id}")
            if checkpoint.page_id
            else "–"
        )

    @display(description="run")
    def run_link(self, checkpoint: Checkpoint) -> Any:
        return link("ingestion_run", checkpoint.run_id, f"run {checkpoint.run_id}") if checkpoint.run_id else "–"

    @display(description="moved", ordering="updated_at")
    def moved(self, checkpoint: Checkpoint) -> Any:
        return ago(checkpoint.updated_at)

    @display(description="checkpoint")
    def facts(self, checkpoint: Checkpoint) -> Any:
        return rows(
            [
                ("source", link("assets_source", checkpoint.source_id, checkpoint.source.title)),
                ("next run", self.goes_on(checkpoint)),
                ("sweep", checkpoint.sweep),
                ("last page covered", self.page_link(checkpoint)),
                ("moved by", self.run_link(checkpoint)),
                ("moved", self.moved(checkpoint)),
            ]
        )

    @display(description="resume point")
    def whole_cursor(self, checkpoint: Checkpoint) -> Any:
        return code(checkpoint.cursor or "the beginning")

    @confirmed(
        "Reset",
        "Forget where these sources go on? Their next run begins at the beginning; what is in the tables stays.",
        icon="first_page",
        danger=True,
    )
    def reset(self, request: HttpRequest, chosen: QuerySet[Checkpoint]) -> str | None:
        return reset_all(request, [checkpoint.source for checkpoint in chosen.select_related("source")])

    reset_here = on_its_page(reset)
