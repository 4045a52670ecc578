"""Figures and times as people read them; the exact ones stand beside them, in the title of the cell and in the JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
UNITS: tuple[tuple[int, str], ...] = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


@register.filter
def short(value: Decimal | int | None) -> str:
    """1.35 T; – for nothing."""
    if value is None:
        return "–"
    figure = Decimal(value)
    for unit, letter in UNITS:
        if abs(figure) >= unit:
            return f"{figure / unit:.2f} {letter}"
    return f"{value:,.0f}"


@register.filter
def grouped(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


@register.filter
def price(value: Decimal | None) -> str:
    """At least four significant digits, never in powers of ten."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    decimals = 2 if abs(value) >= 100 else 4 if abs(value) >= 1 else 3 - value.adjusted()
    return f"{value:,.{decimals}f}"


@register.filter
def exact(value: Decimal | None) -> str:
    return "" if value is None else format(value, "f")


@register.filter
def ago(time: datetime | None) -> str:
    """How long ago, in the largest unit."""
    if time is None:
        return "never"
    return span((datetime.now(UTC) - time).total_seconds()) + " ago"


@register.filter
def span(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, letter in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size * 2:
            return f"{seconds / size:.0f} {letter}"
    return f"{seconds:.0f} s"


@register.filter
def percent_of(part: int | None, whole: int | None) -> int:
    return round(100 * part / whole) if part and whole else 0


@register.filter
def ticks(text: str) -> SafeString:
    """What stands in backticks is code."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))
