"""What commands show: rows of progress that are drawn anew on a terminal and are plain lines elsewhere, and tables."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from django.core.management.base import OutputWrapper as Output

#: Where nothing can be drawn anew, a row whose text alone changed is written at most this often.
PLAIN_EVERY = 10.0
DRAWN_EVERY = 0.1
BAR = 24


@dataclass(slots=True)
class Row:
    text: str = ""
    share: float | None = None
    state: str = ""
    written: str = ""
    written_at: float = 0.0


class Progress:
    """Named rows, drawn anew on a terminal; elsewhere a line when a row's state changed, and now and then its text."""

    def __init__(self, output: Output) -> None:
        self.output, self.drawing = output, output.isatty()
        self.rows: dict[str, Row] = {}
        self._lines_drawn = 0
        self._drawn_at = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.drawing and self.rows:
            self._draw()
            # What is drawn stays.
            self._lines_drawn = 0
        elif not self.drawing:
            for name, row in self.rows.items():
                if row.text != row.written:
                    self._write(f"{name}: {row.text}\n")

    def row(self, name: str, text: str, share: float | None = None, state: str = "") -> None:
        """The row reads so; `share` of 1 is done (None: nobody knows), `state` is what plain lines are for."""
        row = self.rows.setdefault(name, Row())
        changed = row.state != state
        row.text, row.share, row.state = text, share, state
        if self.drawing:
            if changed or monotonic() - self._drawn_at >= DRAWN_EVERY:
                self._draw()
        elif (changed or not row.written or monotonic() - row.written_at >= PLAIN_EVERY) and text != row.written:
            row.written, row.written_at = text, monotonic()
            self._write(f"{name}: {text}\n")

    def note(self, line: str) -> None:
        """A line that stays."""
        self._clear()
        self._write(line + "\n")
        if self.drawing and self.rows:
            self._draw()

    def _draw(self) -> None:
        self._clear()
        columns = shutil.get_terminal_size().columns
        width = max(map(len, self.rows))
        for name, row in self.rows.items():
            self._write(f"{name:{width}}  {bar(row.share)}  {row.text}"[: columns - 1] + "\n")
        self._lines_drawn, self._drawn_at = len(self.rows), monotonic()

    def _clear(self) -> None:
        if self._lines_drawn:
            self._write(f"\x1b[{self._lines_drawn}A\x1b[J")
            self._lines_drawn = 0

    def _write(self, text: str) -> None:
        self.output.write(text, style_func=str, ending="")
        self.output.flush()


def bar(share: float | None) -> str:
    """A share of 1 as a bar; where nobody knows it, an empty one."""
    if share is None:
        return "[" + "·" * BAR + "]     "
    share = min(max(share, 0.0), 1.0)
    full = int(share * BAR)
    return "[" + "█" * full + "·" * (BAR - full) + f"] {share:4.0%}"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    numbers: frozenset[int] = frozenset(),
    width: int | None = None,
) -> str:
    """Columns as wide as they must be; the last one is wrapped at `width`, at least 40 wide (None: never wrapped)."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(header), *(len(line[at]) for line in lines)]) for at, header in enumerate(headers)]
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max((width or 100_000) - left, 40)

    def shown(cells: Sequence[str]) -> str:
        first, *more = textwrap.wrap(cells[-1], room) or [""]
        start = "  ".join(
            f"{cell:>{column}}" if at in numbers else f"{cell:{column}}"
            for at, (cell, column) in enumerate(zip(cells[:-1], widths[:-1], strict=True))
        )
        if len(headers) - 1 in numbers:
            first = f"{first:>{widths[-1]}}"
        return "\n".join([f"{start}  {first}".rstrip(), *(" " * left + line for line in more)])

    return "\n".join([shown(list(headers)), shown(["-" * min(column, room) for column in widths]), *map(shown, lines)])


def width_of(output: Output) -> int | None:
    """How wide the terminal is; None where the output is none, so that a line stays a line."""
    return shutil.get_terminal_size((120, 24)).columns if output.isatty() else None


def moment(at: datetime | None) -> str:
    """A time as people read it, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else ""
