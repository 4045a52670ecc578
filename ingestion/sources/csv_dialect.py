"""Looking at a CSV file: what separates its fields, where its header is, and what its columns mean.

All that is found is in one Dialect, which goes with every page, so that a stored page is parsed without its file. What
can't be told from looking is refused with a sentence: a file without a coin, without any figure, without times for the
many rows of one coin, with figures in another currency, with dates for columns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from typing import Any

from ingestion.errors import Malformed
from ingestion.sources.csv_columns import known_names, unique
from ingestion.sources.csv_meaning import Meaning, meaning_of, without_header
from ingestion.sources.csv_records import Cutter, Layout
from ingestion.sources.csv_text import LineReader, codec_of, readable
from ingestion.sources.dates import DayOrder, is_time
from ingestion.sources.figures import number

#: How much of a file is looked at, how many of its rows, and how far down a header may stand below other lines.
HEAD = 1 << 18
SAMPLE = 1000
HEADER_WITHIN = 10
DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written and what its columns mean. JSON-able."""

    codec: str
    """What it is cut in: latin-1 for every encoding of bytes."""
    data_at: int
    """The offset of the first byte below the header."""
    delimiter: str
    quotechar: str
    newline: str
    header: list[str]
    """As people see it, every name once."""
    least: int
    """How many fields a row must have."""
    meaning: Meaning = field(default_factory=Meaning)

    def layout(self) -> Layout:
        """How to cut it."""
        return Layout(self.delimiter, self.quotechar, self.newline, self.least, len(self.header))

    def facts(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    def digest(self) -> str:
        """Equal for files that are read in the same way."""
        return hashlib.blake2b(json.dumps(self.facts(), sort_keys=True).encode(), digest_size=8).hexdigest()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Dialect:
        """The dialect that `facts` were taken from."""
        return cls(**{**facts, "meaning": Meaning(**facts["meaning"])})


def dialect_of(file: FileIO, name: str) -> Dialect:
    """How an open file is to be read, found from its beginning; from all of it where a date may be read in two ways."""
    head = os.pread(file.fileno(), HEAD, 0)
    dialect = look(head, name, whole=len(head) < HEAD)
    if not dialect.meaning.days_doubtful:
        return dialect
    order, column = DayOrder(), dialect.meaning.columns["observed_at"]
    for lines, _ in LineReader(file.fileno(), dialect.data_at, dialect.codec, dialect.layout(), name).blocks():
        for _, _, fields, _ in Cutter(dialect.layout(), dialect.codec).cut(lines, final=True):
            if fields and len(fields) > column:
                order.see(fields[column])
        if order.proven:
            break
    return replace(dialect, meaning=replace(dialect.meaning, day_first=order.day_first, days_doubtful=False))


def look(head: bytes, name: str, *, whole: bool) -> Dialect:
    """How the file that begins with `head` is to be read. Raises Malformed with a sentence when it can't be."""
    if not head.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise Malformed(f"{name} is empty.")
    codec, start = codec_of(head, name)
    text = head[start:].decode(codec, "ignore")
    newline = "\n" if "\n" in text or "\r" not in text else "\r"
    if not whole:
        text = text[: text.rfind(newline) + 1]
        if not text:
            raise Malformed(f"{name} has no line end in its first {len(head):,} bytes, so it is no CSV.")
    lines = Layout(newline=newline).lines(text)
    layout, rows = _best_layout(lines, codec, newline)
    if layout is None:
        raise Malformed(f"{name} is no CSV: neither comma, semicolon, tab nor bar divides its lines into columns.")
    at = _header_at(rows)
    if at is None:
        header_end = rows[0].start
        header = [""] * _usual_width([row.fields for row in rows])
    else:
        header_end = rows[at].end
        header = [readable(cell, codec).strip() for cell in rows[at].fields]
    least = max((index for index, cell in enumerate(header, 1) if cell), default=len(header))
    layout = Layout(layout.delimiter, layout.quotechar, newline, least, len(header))
    sample = _sample(lines[header_end:], layout, codec, whole)
    if at is None:
        header, meaning = without_header(sample, len(header), name)
    else:
        if whole and not sample and not any(line.strip() for line in lines[header_end:]):
            raise Malformed(f"{name} holds a header and no row.")
        meaning = meaning_of(header, sample, name)
    data_at = start + len("".join(lines[:header_end]).encode(codec))
    return Dialect(codec, data_at, layout.delimiter, layout.quotechar, newline, unique(header), least, meaning)


@dataclass(frozen=True, slots=True)
class _Row:
    start: int
    end: int
    fields: list[str]


def _best_layout(lines: list[str], codec: str, newline: str) -> tuple[Layout | None, list[_Row]]:
    """The layout under which the first lines make the best table, and its rows."""
    best: tuple[Any, Layout | None, list[_Row]] = ((), None, [])
    first = lines[:200]
    quotes = "\"'" if sum(line.startswith("'") for line in first) > len(first) // 2 else '"'
    for delimiter in DELIMITERS:
        for quotechar in quotes:
            layout = Layout(delimiter, quotechar, newline)
            records = Cutter(layout, codec).cut(first, final=True)
            rows = [_Row(start, end, fields) for start, end, fields, _ in records if fields][:60]
            width = _usual_width([row.fields for row in rows])
            if width < 2:
                continue
            at = _header_at(rows)
            known = 0 if at is None else known_names(rows[at].fields)
            regular = sum(len(row.fields) == width for row in rows) / len(rows)
            score = (known if known > 1 else 0, regular > 0.7, known, width, quotechar == "'")
            if score > best[0]:
                best = (score, layout, rows)
    return best[1], best[2]


def _usual_width(rows: Sequence[list[str]]) -> int:
    """The number of fields that most rows have, the wider of two that are as frequent."""
    widths = Counter(len(fields) for fields in rows)
    return max(widths, key=lambda width: (widths[width], width), default=0)


def _header_at(rows: list[_Row]) -> int | None:
    """Which of the first rows is the header; None when the file begins with its data."""
    best, most = None, 0
    for at, row in enumerate(rows[:HEADER_WITHIN]):
        known = known_names(row.fields)
        if len(row.fields) > 1 and known > most and not any(map(_is_figure, row.fields)):
            best, most = at, known
    if best is not None:
        return best
    # Names that nobody here knows, above figures: a header in a language that ALIASES does not speak.
    words_first = rows and not any(_is_figure(cell) or is_time(cell) for cell in rows[0].fields)
    return 0 if words_first and any(_is_figure(cell) for row in rows[1:] for cell in row.fields) else None


def _is_figure(cell: str) -> bool:
    if not any(character.isdigit() for character in cell):
        return False
    for mark in ".,":
        try:
            number(cell, mark, money=True, percent=True)
        except ValueError:
            continue
        return True
    return False


def _sample(lines: list[str], layout: Layout, codec: str, whole: bool) -> list[list[str]]:
    """The first rows that have the right width, as a person reads them."""
    sample: list[list[str]] = []
    for _, _, fields, _ in Cutter(layout, codec).cut(lines, final=whole):
        if fields and layout.fits(fields):
            row = [readable(cell, codec).strip() for cell in fields[: layout.most]]
            sample.append(row + [""] * (layout.most - len(row)))
            if len(sample) == SAMPLE:
                break
    return sample
