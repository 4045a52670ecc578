"""Whatever table is written, in whatever dialect, read in whatever steps: every row comes once, as it was written."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from ingestion.errors import Malformed
from ingestion.sources.csv_records import Cutter, Layout
from ingestion.tests.sources.csv_reading import items_of, pages_of, sweep

#: Nothing in it that cp1252 does not have, or that no database takes.
TEXT = some.text(some.sampled_from("abcXYZ019 ,;\t|'\"\n\r._-$%#äßé€"), max_size=12)
CELLS = TEXT.map(lambda text: text.strip(" "))
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")


@some.composite
def files(draw: Any) -> tuple[bytes, list[list[str]]]:
    """The bytes of a CSV of coins, and its rows."""
    notes = draw(some.lists(some.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=30))
    end = draw(some.sampled_from(["\n", "\r\n"]))
    quoting = draw(some.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    if quoting != csv.QUOTE_ALL:  # the csv module leaves a lone carriage return without quotes, which is no CSV
        notes = [[cell.replace("\r", "").strip(" ") for cell in cells] for cells in notes]
    rows = [[f"C{number}", f"Coin {number}", f"{number}.5", *cells] for number, cells in enumerate(notes, 1)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=draw(some.sampled_from(",;\t|")), lineterminator=end, quoting=quoting)
    writer.writerow(["symbol", "name", "price", "note", "remark"])
    for row in rows:
        if draw(some.booleans()) and draw(some.booleans()):
            text.write(end)
        writer.writerow(row)
    written = text.getvalue()
    if draw(some.booleans()):
        written = written.removesuffix(end)
    return written.encode(draw(some.sampled_from(ENCODINGS))), rows


def write(folder: str, body: bytes) -> Path:
    path = Path(folder) / "coins.csv"
    path.write_bytes(body)
    return path


@settings(deadline=None, max_examples=150)
@given(files(), some.lists(some.integers(1, 40), min_size=1, max_size=4), some.booleans())
def test_all_rows_come_once_in_any_steps(file: tuple[bytes, list[list[str]]], steps: list[int], settled: bool) -> None:
    body, rows = file
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, body)
        if settled:
            os.utime(path, (0, 1_700_000_000))
        seen: list[list[str]] = []
        cursor: str | None = None
        for number in range(1000):
            # Some pages with this batch size, then a new start from the cursor with another one.
            batch = steps[number % len(steps)]
            pages = list(islice(pages_of(path, cursor, batch), 1 + number % 3))
            for page in pages:
                assert page.records <= batch
                items = items_of(page)
                assert len(items) == page.records
                seen += [list(item.data.values()) for item in items]
                assert page.body in body
                cursor = page.cursor or page.final_cursor
            if not pages or pages[-1].cursor is None:
                break
        assert seen == rows
        assert list(pages_of(path, cursor)) == []


@settings(deadline=None, max_examples=100)
@given(files(), some.integers(0, 100), some.integers(1, 10))
def test_a_file_that_grows_byte_by_byte_ends_as_if_it_had_been_read_whole(
    file: tuple[bytes, list[list[str]]], cut: int, batch: int
) -> None:
    body, rows = file
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, body[: len(body) * cut // 100])
        cursor, latest = None, {}
        for text in (path.read_bytes(), body):
            path.write_bytes(text)
            try:
                read = sweep(path, cursor, batch)
            except Malformed:
                continue  # cut inside its header, or in the middle of a character
            cursor = read.cursor
            latest.update({record.symbol: record for record in read.records})
        for row in rows:
            assert str(latest[row[0]].price_usd) == row[2]


@settings(deadline=None, max_examples=300)
@given(some.lists(some.text('ab,"\n\r ', max_size=8).map(lambda text: text + "\n"), max_size=40), some.data())
def test_a_slice_of_a_file_is_cut_as_the_file_was(texts: list[str], data: Any) -> None:
    layout = Layout(least=2, most=3)
    lines = layout.lines("".join(texts))
    whole = list(Cutter(layout, "latin-1").cut(lines, final=True))
    first = data.draw(some.integers(0, len(whole)))
    last = data.draw(some.integers(first, len(whole)))
    chosen = whole[first:last]
    slice_of = lines[chosen[0][0] : chosen[-1][1]] if chosen else []
    again = list(Cutter(layout, "utf-8").cut(slice_of, final=True))
    assert [fields for _, _, fields, _ in again] == [fields for _, _, fields, _ in chosen]
    # And no line is lost: what is in no record is blank, or an empty row.
    kept = {at for start, end, _, _ in whole for at in range(start, end)}
    for at, line in enumerate(lines):
        assert at in kept or not any(cell for row in layout.reader([line]) for cell in row)


@settings(deadline=None, max_examples=200)
@given(some.binary(max_size=400), some.integers(1, 7))
def test_junk_is_refused_or_read_without_losing_a_byte_that_matters(junk: bytes, batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, b"symbol,name,price\nBTC,Bitcoin,5\n" + junk)
        try:
            whole = sweep(path)
            steps = sweep(path, batch_size=batch)
        except Malformed as refusal:
            assert str(path) in str(refusal)
            return
        assert [item.raw for item in steps.items] == [item.raw for item in whole.items]
        assert len(whole.records) + len(whole.rejects) == sum(page.records for page in whole.pages)
