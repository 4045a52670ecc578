"""One knock at a source's door: whether its address, key and plan are in order. It counts as any call does.

What is asked for is the first page of a sweep: another address may answer though this one does not, or not with data.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

from assets.models import Source as SourceRow
from assets.wording import counted
from ingestion.errors import Malformed
from ingestion.registry import configured
from ingestion.source import Page


def probe(row: SourceRow) -> str:
    """What was found, in a few words. Raises SourceError with the sentence that says what is wrong."""
    config = configured(row.slug)
    begun = perf_counter()
    # A source that can be asked for one coin is asked for no more.
    pages = config.source.fetch(config.http(row), None, replace(config.options, coins=1))
    try:
        page = next(pages, None)
    finally:
        pages.close()  # type: ignore[attr-defined]
    if isinstance(page, Page) and page.broken:
        raise Malformed(page.broken)
    if not isinstance(page, Page) or not page.records:
        raise Malformed(f"{row.title} holds nothing.")
    more = "" if page.cursor is None else " in its first page, and more"
    return f"can be read within {perf_counter() - begun:.2f} s: {counted(page.records, 'record')}{more} ({page.url})"
