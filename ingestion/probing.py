"""One knock at a source's door: whether its address, key and plan are in order. It counts as any call does."""

from __future__ import annotations

from time import perf_counter

from assets.models import Source as SourceRow
from ingestion.errors import Malformed
from ingestion.registry import configured
from ingestion.source import Page


def probe(row: SourceRow) -> str:
    """What was found, in a few words. Raises SourceError with the sentence that says what is wrong."""
    config = configured(row.slug)
    begun = perf_counter()
    if config.source.probe_path:
        answer = config.http(row).get(config.source.probe_path)
        return f"answers within {perf_counter() - begun:.2f} s ({answer.url})"
    pages = config.source.fetch(config.http(row), None, config.options)
    try:
        page = next(pages, None)
    finally:
        pages.close()  # type: ignore[attr-defined]
    if not isinstance(page, Page):
        raise Malformed(f"{row.title} holds nothing.")
    if page.broken:
        raise Malformed(page.broken)
    more = "" if page.cursor is None else " in its first page, and more"
    return f"can be read: {page.records:,} records{more} ({page.url})"
