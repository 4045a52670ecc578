"""Quotes: the current word of each source on each coin, with a link to the very record that it came from."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.reading import ReadOnlyAdmin, ago, dollars, item_link, large, link, percent, rows
from assets.admin.searching import SearchedByListing
from assets.models import Quote


@admin.register(Quote)
class QuoteAdmin(SearchedByListing, ReadOnlyAdmin):
    """The current word of each source on each coin, with the record that it came from."""

    list_display = (
        "listing_shown",
        "name",
        "source",
        "price",
        "cap",
        "volume",
        "change",
        "rank",
        "observed",
        "received",
    )
    list_display_links = ("listing_shown",)
    list_filter = (("source", RelatedDropdownFilter),)
    list_select_related = ("listing", "source")
    search_fields = ("listing__symbol", "listing__name", "=listing__source_asset_id")
    search_help_text = "symbol, name, or the source's id"
    ordering = ("rank", "listing")
    fieldsets = ((None, {"fields": (("listing_link", "figures", "origin"),)}),)
    readonly_fields = ("listing_link", "figures", "origin")

    @display(description="coin")
    def listing_shown(self, quote: Quote) -> str:
        return quote.listing.symbol or quote.listing.source_asset_id

    @display(description="name")
    def name(self, quote: Quote) -> str:
        return quote.listing.name

    @display(description="price", ordering="price_usd")
    def price(self, quote: Quote) -> Any:
        return dollars(quote.price_usd)

    @display(description="market cap", ordering="market_cap")
    def cap(self, quote: Quote) -> Any:
        return large(quote.market_cap)

    @display(description="volume 24 h", ordering="volume_24h")
    def volume(self, quote: Quote) -> Any:
        return large(quote.volume_24h)

    @display(description="24 h", ordering="percent_change_24h")
    def change(self, quote: Quote) -> Any:
        return percent(quote.percent_change_24h)

    @display(description="observed", ordering="observed_at")
    def observed(self, quote: Quote) -> Any:
        return ago(quote.observed_at)

    @display(description="as received")
    def received(self, quote: Quote) -> Any:
        return item_link(quote.page_id, quote.position)

    @display(description="coin")
    def listing_link(self, quote: Quote) -> Any:
        listing = quote.listing
        return rows(
            [
                ("source", quote.source.title),
                ("listing", link("assets_listing", listing.pk, listing.source_asset_id)),
                ("symbol", listing.symbol),
                ("name", listing.name),
                ("asset", link("assets_asset", quote.asset_id, quote.asset.slug)),
            ]
        )

    @display(description="figures, exact")
    def figures(self, quote: Quote) -> Any:
        names = "price_usd market_cap volume_24h percent_change_24h rank circulating_supply total_supply max_supply"
        exact = [(name, getattr(quote, name)) for name in names.split()]
        return rows(
            [
                (name.replace("_", " "), "–" if value is None else f"{value:,f}" if name != "rank" else value)
                for name, value in exact
            ]
        )

    @display(description="where from")
    def origin(self, quote: Quote) -> Any:
        return rows(
            [
                ("observed by the source", ago(quote.observed_at)),
                ("written", ago(quote.changed_at)),
                ("as received", item_link(quote.page_id, quote.position)),
            ]
        )
