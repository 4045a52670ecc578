"""Backfill pieces: what a source said of its coins' past, call by call, as received."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.reading import ReadOnlyAdmin, ago, code, indented, label, link, rows
from ingestion.models import BackfillPiece
from ingestion.parsing import as_bytes

STATES = {"stored": "info", "done": "success", "failed": "danger", "unknown": "warning"}
#: Characters of an answer that its page shows.
SHOWN = 20_000


@admin.register(BackfillPiece)
class BackfillPieceAdmin(ReadOnlyAdmin):
    """What `manage.py backfill` fetched of the coins' past, call by call."""

    list_display = ("coin", "source", "interval", "since", "until", "state_shown", "points", "received")
    list_filter = (("source", RelatedDropdownFilter), ("state", ChoicesDropdownFilter))
    list_select_related = ("source", "listing")
    search_fields = ("listing__source_asset_id",)
    search_help_text = "a part of the source's own id"
    fieldsets = ((None, {"fields": ("facts",)}), ("As received", {"fields": ("answer",)}))
    readonly_fields = ("facts", "answer")

    @display(description="coin")
    def coin(self, piece: BackfillPiece) -> str:
        return piece.listing.source_asset_id

    @display(description="from", ordering="begin")
    def since(self, piece: BackfillPiece) -> str:
        return f"{piece.begin:%Y-%m-%d %H:%M}"

    @display(description="to", ordering="end")
    def until(self, piece: BackfillPiece) -> str:
        return f"{piece.end:%Y-%m-%d %H:%M}"

    @display(description="state", ordering="state")
    def state_shown(self, piece: BackfillPiece) -> Any:
        return label(piece.get_state_display(), STATES[piece.state])

    @display(description="received", ordering="received_at")
    def received(self, piece: BackfillPiece) -> Any:
        return ago(piece.received_at)

    @display(description="piece")
    def facts(self, piece: BackfillPiece) -> Any:
        return rows(
            [
                ("source", link("assets_source", piece.source_id, piece.source.title)),
                ("coin", link("assets_listing", piece.listing_id, self.coin(piece))),
                ("from", self.since(piece)),
                ("to", self.until(piece)),
                ("a point every", piece.interval),
                ("state", self.state_shown(piece)),
                ("new points", f"{piece.points:,}"),
                ("why", piece.error or "–"),
                ("address", piece.url or "–"),
                ("received", self.received(piece)),
            ]
        )

    @display(description="answer")
    def answer(self, piece: BackfillPiece) -> Any:
        if piece.body is None:
            return "not kept any longer" if piece.url else "none"
        return code(indented(as_bytes(piece.body).decode(errors="replace"))[:SHOWN])
