"""What commands draw on a terminal, and write where there is none."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management.base import OutputWrapper

from ingestion.management import terminal
from ingestion.management.terminal import Progress, bar, table


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: StringIO) -> str:
    """What is left on the screen after every redrawing."""
    lines: list[str] = []
    text = stream.getvalue()
    while text:
        head, escape, rest = text.partition("\x1b[")
        lines += head.split("\n")[:-1]
        if not escape:
            break
        count, _, text = rest.partition("A\x1b[J")
        del lines[-int(count) :]
    return "\n".join(lines)


def test_a_terminal_shows_the_present_state_of_every_row_once():
    stream = Terminal()
    with Progress(OutputWrapper(stream)) as progress:
        progress.row("one", "begins", None, "a")
        progress.row("two", "half", 0.5, "a")
        progress.note("a line that stays")
        progress.row("one", "done", 1.0, "b")
    left = shown(stream)
    assert left.splitlines() == [
        "a line that stays",
        f"one  {bar(1.0)}  done",
        f"two  {bar(0.5)}  half",
    ]


def test_without_a_terminal_a_line_is_written_when_a_state_changes_and_for_the_end():
    stream = StringIO()
    with Progress(OutputWrapper(stream)) as progress:
        progress.row("one", "begins", 0.0, "a")
        for number in range(50):
            progress.row("one", f"{number} of 50", number / 50, "b")
        progress.row("two", "only once", None, "a")
    assert stream.getvalue().splitlines() == ["one: begins", "one: 0 of 50", "two: only once", "one: 49 of 50"]


def test_without_a_terminal_long_work_is_heard_of_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal, "monotonic", lambda: now[0])
    stream = StringIO()
    progress = Progress(OutputWrapper(stream))
    for second in range(31):
        now[0] = float(second)
        progress.row("one", f"{second} s", None, "a")
    assert stream.getvalue().splitlines() == ["one: 0 s", "one: 10 s", "one: 20 s", "one: 30 s"]


@pytest.mark.parametrize(("share", "percent"), [(-1, "  0%"), (0.0, "  0%"), (0.5, " 50%"), (1, "100%"), (7, "100%")])
def test_a_bar_never_overflows(share, percent):
    assert len(bar(share)) == len(bar(None))
    assert bar(share).endswith(percent)


def test_a_table_is_a_line_a_row_and_wraps_on_a_terminal_alone():
    reason = "a long reason " * 10
    rows = [("one", 1, reason), ("twenty", 20, "")]
    plain = table(("name", "count", "reason"), rows, frozenset({1}))
    assert plain.splitlines()[2:] == [f"one         1  {reason}".rstrip(), "twenty     20"]
    narrow = table(("name", "count", "reason"), rows, frozenset({1}), width=60)
    assert len(narrow.splitlines()) > 4
    assert max(map(len, narrow.splitlines())) <= 60
