"""Candidates: pairs that may be one coin, side by side with their facts, for a person to decide."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from assets.admin.confirming import NOT_FOLLOWED, confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, bullets, dollars, figure, grid, item_link, label, large, link
from assets.models import Candidate, Listing, Quote
from assets.resolving import are_one, decide


@admin.register(Candidate)
class CandidateAdmin(ReadOnlyAdmin):
    """Pairs that may be one coin or two. They stay apart until a person says which, or later figures do."""

    list_display = ("likeness", "left", "right", "prices", "caps", "why", "seen")
    list_display_links = ("likeness",)
    list_select_related = ("a__source", "b__source", "a__quote", "b__quote")
    list_filter = ("a__source", "b__source")
    search_fields = ("a__symbol", "a__name", "b__symbol", "b__name")
    search_help_text = "symbol or name of either"
    actions = ("same", "different")
    actions_detail = ("same_here", "different_here")
    fieldsets = ((None, {"fields": ("likeness", "why", "side_by_side")}),)
    readonly_fields = ("likeness", "why", "side_by_side")

    @display(description="score", ordering="score")
    def likeness(self, pair: Candidate) -> Any:
        return label(f"{pair.score:.2f}", "success" if pair.score >= Decimal("0.8") else "info")

    @display(description="the one")
    def left(self, pair: Candidate) -> Any:
        return listing_cell(pair.a)

    @display(description="the other")
    def right(self, pair: Candidate) -> Any:
        return listing_cell(pair.b)

    @display(description="prices")
    def prices(self, pair: Candidate) -> Any:
        return both(pair, lambda quote: dollars(quote.price_usd))

    @display(description="market caps")
    def caps(self, pair: Candidate) -> Any:
        return both(pair, lambda quote: large(quote.market_cap))

    @display(description="reasons")
    def why(self, pair: Candidate) -> Any:
        return bullets(pair.reasons)

    @display(description="seen", ordering="seen_at")
    def seen(self, pair: Candidate) -> Any:
        return ago(pair.seen_at)

    @display(description="side by side")
    def side_by_side(self, pair: Candidate) -> Any:
        a, b = pair.a, pair.b
        facts: list[tuple[str, Callable[[Listing], Any]]] = [
            ("listing", lambda one: link("assets_listing", one.pk, f"{one.source.slug}:{one.source_asset_id}")),
            ("symbol", lambda one: one.symbol or "–"),
            ("name", lambda one: one.name or "–"),
            ("asset", lambda one: link("assets_asset", one.asset_id, one.asset.slug)),
            ("others in it", lambda one: in_its_asset(one)),
            ("contracts", lambda one: bullets(one.contracts)),
            ("first seen", lambda one: ago(one.first_seen_at)),
            ("presence", lambda one: "delisted" if one.delisted_at else "present"),
        ]
        quoted: list[tuple[str, Callable[[Quote], Any]]] = [
            ("price", lambda quote: dollars(quote.price_usd)),
            ("market cap", lambda quote: dollars(quote.market_cap)),
            ("volume 24 h", lambda quote: dollars(quote.volume_24h)),
            ("24 h", lambda quote: figure(quote.percent_change_24h, " %")),
            ("rank", lambda quote: quote.rank or "–"),
            ("circulating", lambda quote: figure(quote.circulating_supply)),
            ("total supply", lambda quote: figure(quote.total_supply)),
            ("max supply", lambda quote: figure(quote.max_supply)),
            ("observed", lambda quote: ago(quote.observed_at)),
            ("as received", lambda quote: item_link(quote.page_id, quote.position)),
        ]
        lines: list[list[object]] = [[name, show(a), show(b)] for name, show in facts]
        lines += [
            [name, *(show(one.quote) if hasattr(one, "quote") else "–" for one in (a, b))] for name, show in quoted
        ]
        return grid(["", a.source.title, b.source.title], lines)

    # ---------------------------------------------------------------------------------------------- a person's word

    @confirmed(
        "Same coin",
        "Are the two of each pair one coin? They become one asset, and stay one, until the decision is undone.",
        icon="merge",
        reason=True,
    )
    def same(self, request: HttpRequest, chosen: QuerySet[Candidate]) -> str | None:
        return self.decide_each(request, chosen, same=True)

    @confirmed(
        "Different coins",
        "Are the two of each pair different coins? They stay apart and are no longer asked about.",
        icon="call_split",
        reason=True,
    )
    def different(self, request: HttpRequest, chosen: QuerySet[Candidate]) -> str | None:
        return self.decide_each(request, chosen, same=False)

    same_here = on_its_page(same)
    different_here = on_its_page(different)

    def decide_each(self, request: HttpRequest, chosen: QuerySet[Candidate], *, same: bool) -> str:
        pairs = [(pair.a, pair.b) for pair in chosen]
        for a, b in pairs:
            decide(a, b, same=same, by=request.user.get_username(), reason=request.POST.get("reason", "")[:500])
        names = ", ".join(f"{a.symbol} {a.name} and {b.symbol} {b.name}" for a, b in pairs[:3])
        more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
        followed = not same or all(map(are_one, pairs))
        return f"{names}{more}: {'one coin' if same else 'different coins'}." + ("" if followed else NOT_FOLLOWED)


def listing_cell(listing: Listing) -> Any:
    return format_html(
        "<strong>{}</strong> {}<br><span class='cx-faint'>{}:{}</span>",
        listing.symbol,
        listing.name,
        listing.source.slug,
        listing.source_asset_id,
    )


def both(pair: Candidate, show: Callable[[Quote], Any]) -> Any:
    """A figure of either side, one below the other."""
    shown = [show(one.quote) if hasattr(one, "quote") else "–" for one in (pair.a, pair.b)]
    return format_html("{}<br>{}", *shown)


def in_its_asset(listing: Listing) -> Any:
    """What else is in the asset that a listing is in."""
    others = Listing.objects.filter(asset_id=listing.asset_id).exclude(pk=listing.pk).select_related("source")
    return bullets([f"{other.source.slug}:{other.source_asset_id}" for other in others])
