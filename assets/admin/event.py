"""Events: listings that appeared, went stale, went missing for good, came back, or moved to another asset."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.reading import ReadOnlyAdmin, ago, label, link
from assets.admin.searching import SearchedByListing
from assets.models import Event

KINDS: dict[str, str] = {
    Event.Kind.LISTED: "success",
    Event.Kind.STALE: "warning",
    Event.Kind.DELISTED: "danger",
    Event.Kind.RELISTED: "info",
    Event.Kind.MOVED: "warning",
}


@admin.register(Event)
class EventAdmin(SearchedByListing, ReadOnlyAdmin):
    """Listings that appeared, went stale, were delisted, came back, or moved to another asset."""

    list_display = ("when", "what", "listing_link", "name", "source", "detail")
    list_filter = (("kind", ChoicesDropdownFilter), ("listing__source", RelatedDropdownFilter))
    list_select_related = ("listing__source",)
    search_fields = ("listing__symbol", "listing__name", "=listing__source_asset_id")
    search_help_text = "symbol, name, or the source's id"
    fields = readonly_fields = ("when", "what", "listing_link", "name", "source", "detail")

    @display(description="when", ordering="at")
    def when(self, event: Event) -> Any:
        return ago(event.at)

    @display(description="event", ordering="kind")
    def what(self, event: Event) -> Any:
        return label(event.get_kind_display().lower(), KINDS.get(event.kind, ""))

    @display(description="listing")
    def listing_link(self, event: Event) -> Any:
        return link("assets_listing", event.listing_id, event.listing.source_asset_id)

    @display(description="coin")
    def name(self, event: Event) -> str:
        return f"{event.listing.symbol} {event.listing.name}"

    @display(description="source")
    def source(self, event: Event) -> str:
        return event.listing.source.title
