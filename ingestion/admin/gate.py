"""Gates: the circuit of each source, its calls of the last minute and of the month, and when they run out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, grid, label, link, rows
from ingestion import gate as gates
from ingestion.admin.source import CIRCUITS, standing_of
from ingestion.models import CallMonth, Gate
from ingestion.registry import configured
from ingestion.sources import BY_SLUG
from ingestion.standing import standings


@admin.register(Gate)
class GateAdmin(ReadOnlyAdmin):
    """What may pass to each source: its calls of the last minute and of the month, and its circuit, which repeated
    failures open: then nothing passes for a while."""

    list_display = (
        "source",
        "circuit",
        "opens",
        "failures",
        "this_minute",
        "this_month",
        "left",
        "runs_out",
        "last_error",
    )
    list_select_related = ("source",)
    ordering = ("source__identity_rank", "source__slug")
    actions = ("close",)
    actions_detail = ("close_here",)
    fieldsets = ((None, {"fields": ("now",)}), ("Calls by month", {"fields": ("months",)}))
    readonly_fields = ("now", "months")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        stand = {standing.slug: standing for standing in standings()}
        for row in changelist.result_list:
            row.source.standing = stand[row.source.slug]
        return changelist

    @display(description="circuit")
    def circuit(self, gate: Gate) -> Any:
        state = standing_of(gate.source).circuit
        return label(state, CIRCUITS.get(state, ""))

    @display(description="next call")
    def opens(self, gate: Gate) -> Any:
        return ago(gate.open_until) if gate.open_until else "any time"

    @display(description="last minute")
    def this_minute(self, gate: Gate) -> str:
        since = datetime.now(UTC) - gates.WINDOW
        made = sum(at > since for at in gate.recent_calls)
        if gate.source.slug not in BY_SLUG or not BY_SLUG[gate.source.slug].network:
            return f"{made:,}"
        return f"{made:,} of {configured(gate.source.slug).limits.per_minute:,}"

    @display(description="this month")
    def this_month(self, gate: Gate) -> str:
        its = standing_of(gate.source)
        return f"{its.calls:,}" + (f" of {its.budget.limit:,}" if its.budget and its.budget.limit else "")

    @display(description="left")
    def left(self, gate: Gate) -> str:
        budget = standing_of(gate.source).budget
        return "no limit" if budget is None or budget.left is None else f"{budget.left:,}"

    @display(description="run out")
    def runs_out(self, gate: Gate) -> Any:
        budget = standing_of(gate.source).budget
        return ago(budget.runs_out_at) if budget and budget.runs_out_at else "not this month"

    @display(description="gate")
    def now(self, gate: Gate) -> Any:
        budget = standing_of(gate.source).budget
        return rows(
            [
                ("source", link("assets_source", gate.source_id, gate.source.title)),
                ("circuit", self.circuit(gate)),
                ("next call", self.opens(gate)),
                ("failed calls in a row", gate.failures),
                ("last error", gate.last_error or "–"),
                ("last minute", self.this_minute(gate)),
                ("this month", str(budget) if budget else "–"),
            ]
        )

    @display(description="ledger")
    def months(self, gate: Gate) -> Any:
        ledger = CallMonth.objects.filter(source=gate.source).order_by("-month")[:24]
        return grid(
            ["month", "calls"], [[f"{row.month:%Y-%m}", f"{row.calls:,}"] for row in ledger], "No call was made yet."
        )

    @confirmed(
        "Close the circuit",
        "Let the next call to these sources through at once? A failed one opens the circuit again.",
        icon="electrical_services",
    )
    def close(self, request: HttpRequest, chosen: QuerySet[Gate]) -> str | None:
        rows = list(chosen.select_related("source"))
        for row in rows:
            gates.succeeded(row.source)
        return f"The circuit of {', '.join(row.source.title for row in rows)} is closed."

    close_here = on_its_page(close)
