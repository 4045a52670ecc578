"""Decisions: what people said of two listings. It wins over every rule until it is undone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, label, link
from assets.models import Decision
from assets.resolving import undo
from assets.wording import counted


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """What people said of two listings. It wins over every rule until it is undone."""

    list_display = ("pair", "word", "names", "decided_by", "when", "reason")
    list_filter = ("same", "decided_by")
    list_select_related = ("a__source", "b__source")
    search_fields = ("a__symbol", "a__name", "b__symbol", "b__name")
    search_help_text = "symbol or name of either"
    actions = ("undo_these",)
    actions_detail = ("undo_here",)
    fields = readonly_fields = ("first", "second", "word", "decided_by", "when", "reason")

    @display(description="listings")
    def pair(self, decision: Decision) -> str:
        return " and ".join(f"{one.source.slug}:{one.source_asset_id}" for one in (decision.a, decision.b))

    @display(description="word", ordering="same")
    def word(self, decision: Decision) -> Any:
        return label("same coin", "success") if decision.same else label("different coins", "warning")

    @display(description="called")
    def names(self, decision: Decision) -> str:
        return f"{decision.a.symbol} {decision.a.name} / {decision.b.symbol} {decision.b.name}"

    @display(description="when", ordering="decided_at")
    def when(self, decision: Decision) -> Any:
        return ago(decision.decided_at)

    @display(description="the one")
    def first(self, decision: Decision) -> Any:
        return link("assets_listing", decision.a_id, f"{decision.a.source.slug}:{decision.a.source_asset_id}")

    @display(description="the other")
    def second(self, decision: Decision) -> Any:
        return link("assets_listing", decision.b_id, f"{decision.b.source.slug}:{decision.b.source_asset_id}")

    @confirmed("Undo", "Undo these decisions? The rule decides about their listings again.", icon="undo", danger=True)
    def undo_these(self, request: HttpRequest, chosen: QuerySet[Decision]) -> str | None:
        decisions = list(chosen.select_related(None))
        for decision in decisions:
            undo(decision)
        return f"{counted(len(decisions), 'decision')} undone; the rule decides again."

    undo_here = on_its_page(undo_these)
