"""CSV files, as people and programs write them: a file, a pattern, or an address (`CSV_SOURCE_PATH`). US dollars; UTC.

Encoding, separator, header, the meaning of the columns, the mark of the decimals, the order of day and month are found
by looking at a file. What a person could not tell is refused with a sentence: figures in another currency, a history
without times, dates for columns, a list without figures, no coin in the rows or (evidently) in the file's name.

A file that changed is read again from its first row; one that only grew goes on where it stopped; one with nothing new
gives no page. One that is gone from a pattern, or that another was named for, is given up once all that there are could
be read. A file without times is observed when it was last written (`Last-Modified` of a server).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from assets.records import AssetRecord
from ingestion.errors import Malformed, Unavailable
from ingestion.source import Gone, Http, Item, Options, Page, PageFacts, Plan, Source
from ingestion.sources.csv_cursor import Mark, dump, load, rows_behind
from ingestion.sources.csv_location import located
from ingestion.sources.csv_pages import pages_of
from ingestion.sources.csv_records import Cutter, Layout
from ingestion.sources.csv_row import coin_reader, row_reader


def fetch(http: Http, cursor: str | None, options: Options) -> Iterator[Page | Gone]:
    """`batch_size` rows a page, fewer at `ends_at`, before a line that can't be kept and where the encoding changes.

    The cursor after any page is good for another batch size. A file in disorder does not keep the others of a pattern
    from being read; it fails the sweep at its end. Raises Refused, Malformed, Unavailable.
    """
    known = load(cursor)
    held: Page | None = None
    trouble: Malformed | None = None
    left = options.ends_at
    with located(options.path, http) as locations:
        marks: dict[str, Mark] = {at.name: known[at.name] for at in locations if at.name in known}
        gone = {name: mark for name, mark in known.items() if name not in {at.name for at in locations}}
        given = covered = marks.copy()
        for location in locations:
            try:
                for page, mark in pages_of(location, marks.get(location.name), max(options.batch_size, 1), left):
                    marks[location.name] = mark
                    if page is not None and left is not None:
                        left -= page.records
                    # One page is held back, for only the last one knows that the sweep is whole.
                    if page is not None and held is not None:
                        yield held
                        given = covered
                    held = page or held
                    if held is not None:
                        covered = marks.copy()
                        held = replace(held, cursor=dump(gone | marks))
            except Malformed as error:
                trouble = trouble or error
            except OSError as error:
                raise Unavailable(f"{location.name} could not be read to its end: {error.strerror}.") from None
    if gone and trouble is None:
        yield Gone(tuple(gone), dump(given))
    if held is not None:
        yield held if trouble else replace(held, cursor=None, final_cursor=dump(marks))
    if trouble is not None:
        raise trouble


def split(body: bytes, encoding: str, page: PageFacts) -> Iterator[Item]:
    """The rows of a page, each with its exact text; what can't be a row says why."""
    meta = page.meta
    text = body.decode(encoding)
    if trouble := meta.get("unreadable"):
        yield Item(0, Malformed(f"Row {meta['first_row']:,} {trouble}."), page, text)
        return
    header: list[str] = meta["header"]
    width = len(header)
    layout = Layout(meta["delimiter"], meta["quotechar"], meta["newline"], meta["least"], width)
    lines = layout.lines(text)
    for position, (start, end, fields, why) in enumerate(Cutter(layout, encoding).cut(lines, final=True)):
        data: Any
        if fields is not None and len(fields) == width:
            data = dict(zip(header, fields, strict=True))
        elif fields is not None and layout.fits(fields):
            data = dict(zip(header, fields + [""] * (width - len(fields)), strict=False))
        else:
            why = why or f"has {len(fields or ()):,} fields where the header has {width:,}"
            data = Malformed(f"Row {meta['first_row'] + position:,} {why}.")
        raw = lines[start] if end - start == 1 else "".join(lines[start:end])
        yield Item(position, data, page, raw.rstrip("\r\n"))


_last: tuple[PageFacts, Callable[[Mapping[str, str]], AssetRecord]] | None = None


def parse(item: Item) -> AssetRecord:
    """Pure. Raises Malformed with the field's name."""
    global _last
    if isinstance(item.data, Malformed):
        raise item.data
    # The rows of a page come one after the other: what its facts mean is worked out for the first of them.
    if (last := _last) is None or last[0] is not item.page:
        _last = last = (item.page, row_reader(item.page))
    return last[1](item.data)


def identify(item: Item) -> str:
    """The id of the coin that a row is about whose figures can't be read. Raises Malformed."""
    if isinstance(item.data, Malformed):
        raise item.data
    return coin_reader(item.page)(item.data)


SOURCE = Source(
    slug="csv",
    title="CSV file",
    home="",
    plans={"": Plan("", 1_000_000, None, timedelta(seconds=300))},
    fetch=fetch,
    split=split,
    parse=parse,
    identify=identify,
    min_records=1,
    identity_rank=3,
    network=False,
    rows_behind=rows_behind,
)
