"""Assets: the price that the sources agree on, each source's word beside it, and what was left out and why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from assets.admin.reading import (
    ReadOnlyAdmin,
    ago,
    bullets,
    dollars,
    figure,
    grid,
    item_link,
    label,
    large,
    link,
    method,
    percent,
    rows,
)
from assets.models import Asset, Quote

AGREEMENTS: dict[str, str] = {
    Asset.Agreement.NONE: "plain",
    Asset.Agreement.SINGLE: "info",
    Asset.Agreement.AGREE: "success",
    Asset.Agreement.MEDIAN: "success",
    Asset.Agreement.DISAGREE: "danger",
}


@admin.register(Asset)
class AssetAdmin(ReadOnlyAdmin):
    """One row for each real coin: the price that its sources agree on, and how far they are apart."""

    list_display = ("rank", "coin", "price", "agreed", "spread", "cap", "volume", "change", "sources", "age")
    list_display_links = ("coin",)
    list_filter = (("agreement", ChoicesDropdownFilter),)
    search_fields = ("symbol", "name", "slug")
    search_help_text = "symbol, name or asset id"
    fieldsets = (
        (None, {"fields": (("identity", "consensus"),)}),
        ("Each source's word", {"fields": ("quotes_shown",)}),
        ("Left out of the price", {"fields": ("left_out_shown",)}),
    )
    readonly_fields = ("identity", "consensus", "quotes_shown", "left_out_shown")

    def get_readonly_fields(self, request: HttpRequest, obj: Asset | None = None) -> Any:
        return self.readonly_fields

    @display(description="coin", ordering="symbol", header=True)
    def coin(self, asset: Asset) -> list[str]:
        return [f"{asset.symbol or '–'}", asset.name or asset.slug]

    @display(description="price", ordering="price_usd")
    def price(self, asset: Asset) -> Any:
        return dollars(asset.price_usd)

    @display(description="agreement", ordering="agreement")
    def agreed(self, asset: Asset) -> Any:
        return label(asset.get_agreement_display(), AGREEMENTS.get(asset.agreement, ""))

    @display(description="spread", ordering="spread_bps")
    def spread(self, asset: Asset) -> Any:
        return (
            "–"
            if asset.spread_bps is None or len(asset.sources_used) < 2
            else f"{asset.spread_bps:,.1f}\N{NO-BREAK SPACE}bps"
        )

    @display(description="market cap", ordering="market_cap")
    def cap(self, asset: Asset) -> Any:
        return large(asset.market_cap)

    @display(description="volume 24 h", ordering="volume_24h")
    def volume(self, asset: Asset) -> Any:
        return large(asset.volume_24h)

    @display(description="24 h", ordering="percent_change_24h")
    def change(self, asset: Asset) -> Any:
        return percent(asset.percent_change_24h)

    @display(description="quotes used")
    def sources(self, asset: Asset) -> Any:
        used = f"{len(asset.sources_used)} of {asset.quotes_count}"
        return format_html('<span title="{}">{}</span>', ", ".join(asset.sources_used), used)

    @display(description="observed", ordering="observed_at")
    def age(self, asset: Asset) -> Any:
        return ago(asset.observed_at)

    # ------------------------------------------------------------------------------------------------- its own page

    @display(description="asset")
    def identity(self, asset: Asset) -> Any:
        return rows(
            [
                ("asset id", asset.slug),
                ("symbol", asset.symbol or "–"),
                ("name", asset.name or "–"),
                ("rank", asset.rank or "–"),
                ("known since", ago(asset.created_at)),
                ("last changed", ago(asset.changed_at)),
            ]
        )

    @display(description="consensus")
    def consensus(self, asset: Asset) -> Any:
        return rows(
            [
                ("agreement", self.agreed(asset)),
                ("price", dollars(asset.price_usd)),
                ("lowest", dollars(asset.price_min)),
                ("highest", dollars(asset.price_max)),
                ("spread", figure(asset.spread_bps, " bps")),
                ("market cap", dollars(asset.market_cap)),
                ("volume 24 h", dollars(asset.volume_24h)),
                ("change 24 h", figure(asset.percent_change_24h, " %")),
                ("sources used", ", ".join(asset.sources_used) or "–"),
                ("oldest quote used", ago(asset.observed_at)),
                ("goes stale", ago(asset.fresh_until)),
            ]
        )

    @display(description="quotes")
    def quotes_shown(self, asset: Asset) -> Any:
        quotes: QuerySet[Quote] = (
            Quote.objects.filter(asset=asset)
            .select_related("listing", "source")
            .order_by("source__identity_rank", "listing__source_asset_id")
        )
        return grid(
            [
                "source",
                "listing",
                "price",
                "market cap",
                "volume 24 h",
                "24 h",
                "rank",
                "observed",
                "as received",
                "why here",
            ],
            [
                [
                    quote.source.title,
                    link("assets_listing", quote.listing_id, quote.listing.source_asset_id),
                    dollars(quote.price_usd),
                    large(quote.market_cap),
                    large(quote.volume_24h),
                    percent(quote.percent_change_24h),
                    quote.rank or "–",
                    ago(quote.observed_at),
                    item_link(quote.page_id, quote.position),
                    why(quote.listing),
                ]
                for quote in quotes
            ],
            "No source has a quote.",
        )

    @display(description="left out")
    def left_out_shown(self, asset: Asset) -> Any:
        return bullets([f"{each['source']}: {each['reason']}" for each in asset.left_out])


def why(listing: Any) -> Any:
    """The evidence that put a listing where it is."""
    return f"{method(listing)} ({listing.confidence:.2f})"
