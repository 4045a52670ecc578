"""Reading a CSV through the source as the pipeline does, for the tests of it: fetch, split, parse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from assets.records import AssetRecord
from ingestion.errors import Malformed
from ingestion.source import HttpFile, HttpResponse, Item, Options, Page, PageFacts
from ingestion.sources.csv_file import SOURCE

HEADER = "symbol,name,price,date\n"


class NoHttp:
    """What a local file needs of the network."""

    def get(self, path: str, params: object = None) -> HttpResponse:
        raise AssertionError("A CSV source asks for no responses.")

    def download(self, url: str) -> HttpFile:
        raise AssertionError("A local file is not downloaded.")


@dataclass
class Sweep:
    """What one sweep over the path gave."""

    records: list[AssetRecord] = field(default_factory=list)
    rejects: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    cursor: str | None = None
    """Where the next sweep starts."""

    @property
    def prices(self) -> list[str]:
        return [str(record.price_usd) for record in self.records]


def pages_of(path: Path | str, cursor: str | None = None, batch_size: int = 1000) -> Iterator[Page]:
    said = SOURCE.fetch(NoHttp(), cursor, Options(path=str(path), batch_size=batch_size))
    return (page for page in said if isinstance(page, Page))


def items_of(page: Page) -> list[Item]:
    # As the pipeline stores them: the facts of a page go through JSON.
    facts = PageFacts(page.received_at, json.loads(json.dumps(dict(page.meta))))
    return list(SOURCE.split(page.body, page.encoding, facts))


def sweep(path: Path | str, cursor: str | None = None, batch_size: int = 1000) -> Sweep:
    """A whole sweep; the cursor of the last one stays where nothing is new."""
    result = Sweep(cursor=cursor)
    for page in pages_of(path, cursor, batch_size):
        result.pages.append(page)
        result.cursor = page.final_cursor if page.cursor is None else page.cursor
        items = items_of(page)
        assert len(items) == page.records, "A page says how many records it holds."
        assert [item.position for item in items] == list(range(len(items)))
        result.items += items
        for item in items:
            try:
                result.records.append(SOURCE.parse(item))
            except Malformed as error:
                result.rejects.append(str(error))
    return result


def coin_rows(first: int, last: int) -> str:
    """Rows of different coins, numbered."""
    return "".join(f"C{n},Coin {n},{n}.5,2024-01-01\n" for n in range(first, last + 1))


def write_large(path: Path, first: int = 1) -> None:
    """More than is read at once: 30,000 rows, so that a sweep is in the middle of the file at its first page."""
    path.write_text(HEADER + coin_rows(first, first + 29_999))
