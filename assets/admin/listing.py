"""Listings: each source's entry for a coin, the asset it is in, and the evidence that put it there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from assets.admin.confirming import NOT_FOLLOWED, confirmed
from assets.admin.reading import ReadOnlyAdmin, ago, bullets, dollars, grid, item_link, label, link, method, rows
from assets.admin.searching import SearchedByListing
from assets.models import Candidate, Decision, Event, Listing
from assets.resolving import are_one, decide

#: A person joins or parts a handful; more than this is a slip of the hand.
AT_MOST = 10


class Presence(SimpleListFilter):
    title, parameter_name = "presence", "presence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("present", "present"), ("missed", "missed by the last sweep"), ("delisted", "delisted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Listing]) -> QuerySet[Listing]:
        match self.value():
            case "present":
                return queryset.filter(missed_sweeps=0)
            case "missed":
                return queryset.filter(missed_sweeps__gt=0, delisted_at=None)
            case "delisted":
                return queryset.filter(delisted_at__isnull=False)
        return queryset


@admin.register(Listing)
class ListingAdmin(SearchedByListing, ReadOnlyAdmin):
    """A listing is one source's entry for a coin. Tick several to say that they are one coin, or different ones."""

    listing_field = "pk"
    list_display = ("key", "symbol", "name", "asset_link", "price", "because", "sure", "presence")
    list_filter = (("source", RelatedDropdownFilter), Presence)
    list_select_related = ("source", "asset", "quote")
    search_fields = ("symbol", "name", "=source_asset_id")
    search_help_text = "symbol, name, or the source's id"
    ordering = ("-id",)
    actions = ("join", "part")
    fieldsets = (
        (None, {"fields": (("identity", "evidence"),)}),
        ("The same asset", {"fields": ("siblings",)}),
        ("In doubt", {"fields": ("doubts",)}),
        ("Decisions of people", {"fields": ("decisions",)}),
        ("What happened to it", {"fields": ("events_shown",)}),
    )
    readonly_fields = ("identity", "evidence", "siblings", "doubts", "decisions", "events_shown")

    @display(description="listing", ordering="source_asset_id")
    def key(self, listing: Listing) -> str:
        return f"{listing.source.slug}:{listing.source_asset_id}"

    @display(description="asset")
    def asset_link(self, listing: Listing) -> Any:
        return link("assets_asset", listing.asset_id, listing.asset.slug)

    @display(description="price")
    def price(self, listing: Listing) -> Any:
        return dollars(listing.quote.price_usd) if hasattr(listing, "quote") else "–"

    @display(description="method", ordering="method")
    def because(self, listing: Listing) -> str:
        return method(listing)

    @display(description="confidence", ordering="confidence")
    def sure(self, listing: Listing) -> Any:
        kind = "success" if listing.confidence >= 0.9 else "info" if listing.confidence >= 0.7 else "warning"
        return label(f"{listing.confidence:.2f}", kind)

    @display(description="presence", ordering="missed_sweeps")
    def presence(self, listing: Listing) -> Any:
        if listing.delisted_at:
            return label("delisted", "danger")
        return (
            label(f"missed {listing.missed_sweeps}×", "warning")
            if listing.missed_sweeps
            else label("present", "success")
        )

    # ---------------------------------------------------------------------------------------------- a person's word

    @confirmed(
        "Same coin",
        "Are these one coin? They become one asset, and stay one whatever the rule says, until the decision is undone.",
        icon="merge",
        reason=True,
    )
    def join(self, request: HttpRequest, chosen: QuerySet[Listing]) -> str | None:
        return self.decide_all(request, chosen, same=True)

    @confirmed(
        "Different coins",
        "Are these different coins? They become assets of their own, and stay apart, until the decision is undone.",
        icon="call_split",
        reason=True,
    )
    def part(self, request: HttpRequest, chosen: QuerySet[Listing]) -> str | None:
        return self.decide_all(request, chosen, same=False)

    def decide_all(self, request: HttpRequest, chosen: QuerySet[Listing], *, same: bool) -> str | None:
        listings = list(chosen.order_by("source__identity_rank", "pk")[: AT_MOST + 1])
        if not 2 <= len(listings) <= AT_MOST:
            messages.error(request, f"Choose 2 to {AT_MOST} listings.")
            return None
        first, *others = listings
        pairs = [(first, other) for other in others]
        if not same:
            pairs = [(a, b) for at, a in enumerate(listings) for b in listings[at + 1 :]]
        for a, b in pairs:
            decide(a, b, same=same, by=request.user.get_username(), reason=request.POST.get("reason", "")[:500])
        names = ", ".join(self.key(listing) for listing in listings)
        if same and not are_one(listings):
            return f"{names}: said to be one coin.{NOT_FOLLOWED}"
        return f"{names} {'are one asset' if same else 'are kept apart'}."

    # ------------------------------------------------------------------------------------------------- its own page

    @display(description="listing")
    def identity(self, listing: Listing) -> Any:
        quote = getattr(listing, "quote", None)
        return rows(
            [
                ("source", listing.source.title),
                ("the source's id", listing.source_asset_id),
                ("symbol", listing.symbol or "–"),
                ("name", listing.name or "–"),
                ("price", dollars(quote.price_usd) if quote else "–"),
                ("as received", item_link(quote.page_id, quote.position) if quote else "–"),
                ("contracts", bullets(listing.contracts)),
                ("first seen", ago(listing.first_seen_at)),
                ("presence", self.presence(listing)),
                ("last seen", ago(listing.last_seen_at or listing.source.last_sweep_at)),
            ]
        )

    @display(description="why it is there")
    def evidence(self, listing: Listing) -> Any:
        return rows(
            [
                ("asset", self.asset_link(listing)),
                ("method", method(listing)),
                ("confidence", self.sure(listing)),
                ("reasons", bullets(listing.reasons)),
            ]
        )

    @display(description="others in it")
    def siblings(self, listing: Listing) -> Any:
        others = (
            Listing.objects.filter(asset_id=listing.asset_id)
            .exclude(pk=listing.pk)
            .select_related("source", "quote")
            .order_by("source__identity_rank")
        )
        return grid(
            ["listing", "symbol", "name", "price", "method", "confidence", "reasons"],
            [
                [
                    link("assets_listing", other.pk, self.key(other)),
                    other.symbol,
                    other.name,
                    self.price(other),
                    method(other),
                    self.sure(other),
                    "; ".join(other.reasons),
                ]
                for other in others
            ],
            "It is alone in its asset.",
        )

    @display(description="candidates")
    def doubts(self, listing: Listing) -> Any:
        pairs = Candidate.objects.filter(Q(a=listing) | Q(b=listing)).select_related("a__source", "b__source")
        return grid(
            ["pair", "score", "reasons"],
            [
                [
                    link("assets_candidate", pair.pk, f"{self.key(pair.a)} and {self.key(pair.b)}"),
                    f"{pair.score:.2f}",
                    "; ".join(pair.reasons),
                ]
                for pair in pairs
            ],
            "Nothing is in doubt.",
        )

    @display(description="decisions")
    def decisions(self, listing: Listing) -> Any:
        made = Decision.objects.filter(Q(a=listing) | Q(b=listing)).select_related("a__source", "b__source")
        return grid(
            ["decision", "by", "when", "why"],
            [
                [
                    link("assets_decision", one.pk, f"{self.key(one.a)} {'=' if one.same else '≠'} {self.key(one.b)}"),
                    one.decided_by,
                    ago(one.decided_at),
                    one.reason,
                ]
                for one in made
            ],
            "None: the rule decides.",
        )

    @display(description="events")
    def events_shown(self, listing: Listing) -> Any:
        events = Event.objects.filter(listing=listing)[:50]
        return grid(
            ["event", "detail", "when"],
            [[event.get_kind_display(), event.detail, ago(event.at)] for event in events],
            "Nothing since it was first seen.",
        )
