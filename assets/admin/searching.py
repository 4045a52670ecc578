"""Search in lists whose rows are about a listing: by the index that the API's search goes by, at any number of rows."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from assets import searching
from assets.models import Listing, Source


class SearchedByListing:
    """Each word is a part of the listing's symbol or name, or is the source's id for it.

    Django's own search, by `search_fields`, does the same row by row. It is left what the index can't tell: words that
    are short, in quotes, or very many listings'.
    """

    listing_field = "listing"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = listings_of(search_term)
        if found is None:
            answer: tuple[QuerySet[Any], bool] = super().get_search_results(  # type: ignore[misc]
                request, queryset, search_term
            )
            return answer
        return queryset.filter(**{f"{self.listing_field}__in": found}), False


def listings_of(term: str) -> set[int] | None:
    """The listings that each word of it is about; None when the index can't tell."""
    found: set[int] | None = None
    # Of each source, for that is how the ids are indexed.
    sources = list(Source.objects.values_list("pk", flat=True))
    for word in term.split():
        named = None if '"' in word or "'" in word else searching.listings_with(word, searching.ANY)
        if named is None:
            return None
        ids = {listing for listing, _ in named}
        own = Listing.objects.filter(source__in=sources, source_asset_id__in=(word, word.lower(), word.upper()))
        ids.update(own.values_list("pk", flat=True))
        found = ids if found is None else found & ids
    return found
