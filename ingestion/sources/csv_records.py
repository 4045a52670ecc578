"""Cutting the text of a CSV into records, so that one quote that is never closed can't swallow the rest of the file.

The csv module of the standard library splits the fields. Over it stands one rule, which depends on nothing but the
record's own text, so that a page cut out of a file is cut again exactly as the file was: a record of several lines
counts only when its quotes are sound, its fields are as many as the header's, and it is not too large; else its first
line alone is an unreadable record, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

#: No row about a coin is longer (bytes), or runs over more lines.
MAX_RECORD = 1 << 20
MAX_LINES = 1000

# The csv module refuses fields above 128 KiB by a limit that is one for the process; here the whole record has a limit.
csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD))

#: A line too many: what is still open when it is read has no end in what was given.
_END = ("\n",)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file's rows are written."""

    delimiter: str = ","
    quotechar: str = '"'
    newline: str = "\n"
    """What ends a line: a line feed (with or without carriage returns before it), or a carriage return alone."""
    least: int = 1
    """How many fields a row must have; the header's trailing fields without a name may be missing."""
    most: int = 1 << 30
    """How many it may have; more are tolerated when they are empty."""

    def reader(self, lines: Any, *, strict: bool = False) -> Any:
        """A csv reader of this layout."""
        return csv.reader(
            lines, delimiter=self.delimiter, quotechar=self.quotechar, skipinitialspace=True, strict=strict
        )

    def lines(self, text: str) -> list[str]:
        """The lines of a text, each with its end; the last may have none. (str.splitlines knows too many ends.)"""
        parts = text.split(self.newline)
        last = parts.pop()
        lines = [part + self.newline for part in parts]
        if last:
            lines.append(last)
        return lines

    def fits(self, fields: list[str]) -> bool:
        """True when a row has as many fields as the header asks for."""
        return len(fields) >= self.least and (len(fields) <= self.most or not any(fields[self.most :]))


#: Lines `start` to `end` of what was cut, and the fields; None when they can't be read, and then the reason.
Record = tuple[int, int, list[str] | None, str]


class Cutter:
    """Cuts lines into records."""

    def __init__(self, layout: Layout, codec: str) -> None:
        self.layout = layout
        self.codec = codec
        """In which the size of a record is measured, so that it is the same for a file and for a page of it."""
        self.consumed = 0
        """How many lines are done with, blank ones and empty rows included."""
        self.is_open = False
        """True when the last cut ended inside quotes that more text might have closed."""

    def cut(self, lines: list[str], *, final: bool) -> Iterator[Record]:
        """The records in the lines. Unless `final`, one that is open at the end is left until more lines are there."""
        self.consumed, self.is_open = 0, False
        while self.consumed < len(lines):
            before = self.consumed
            yield from self._window(lines, final)
            if self.consumed == before:
                return

    def _window(self, lines: list[str], final: bool) -> Iterator[Record]:
        """The records of at most MAX_LINES lines, up to and with the first that is in disorder."""
        base = self.consumed
        window = lines[base : base + MAX_LINES]
        size, at = len(window), 0
        reader = self.layout.reader(chain(window, _END))
        try:
            for fields in reader:
                end = reader.line_num
                if end > size:
                    break
                if end - at == 1:
                    if any(fields):
                        yield base + at, base + end, fields, ""
                elif self._is_sound(window[at:end], fields):
                    yield base + at, base + end, fields, ""
                else:
                    break
                at = end
                self.consumed = base + at
        except csv.Error as error:
            end, trouble = size, f"can't be read as CSV: {error}"
        else:
            trouble = "has a quote that is never closed, or text behind a closing one"
        if at == size:
            return
        if end > size and self._may_go_on(lines, base, at, final):
            return
        self.consumed = base + at + 1
        yield base + at, base + at + 1, None, trouble

    def _is_sound(self, lines: list[str], fields: list[str]) -> bool:
        """True when a record of several lines is one, and not the work of a stray quote."""
        if not self.layout.fits(fields) or len("".join(lines).encode(self.codec)) > MAX_RECORD:
            return False
        try:
            list(self.layout.reader(lines, strict=True))
        except csv.Error:
            return False
        return True

    def _may_go_on(self, lines: list[str], base: int, at: int, final: bool) -> bool:
        """True when the record open at the end of the window may be closed by lines that were not looked at."""
        if base + MAX_LINES < len(lines):
            return at > 0
        pending = lines[base + at :]
        if len(pending) >= MAX_LINES or len("".join(pending).encode(self.codec)) > MAX_RECORD:
            return False
        self.is_open = self.is_open or final
        return not final
