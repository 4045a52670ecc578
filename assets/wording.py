"""Counts and lengths of time as people say them, in one way on every page and in every command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def counted(count: int, noun: str) -> str:
    """`1 page`, `2,500 pages`: of a noun whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(length: timedelta | float) -> str:
    """A length of time: 3.2 s, 5 min, 3 h 20 min, 2 days."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24:,} days"


def distance(at: datetime) -> str:
    """How far a time is from now: `5 min ago`, `in 3 h`."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"
