"""Figures and times as people read them; the exact ones stand beside them, in the title of the cell and in the JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from assets.wording import counted, distance, span

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
def ago(time: datetime | None) -> SafeString | str:
    """How long ago, or how long until; the time itself when the pointer rests on it."""
    if time is None:
        return "never"
    utc = time.astimezone(UTC)
    words = '<time datetime="{}" title="{} UTC">{}</time>'
    return format_html(words, utc.isoformat(), f"{utc:%Y-%m-%d %H:%M:%S}", distance(time))


register.filter("counted", counted)
register.filter("span", span)


@register.filter
def percent_of(part: int | None, whole: int | None) -> int:
    return round(100 * part / whole) if part and whole else 0


@register.filter
def ticks(text: str) -> SafeString:
    """What stands in backticks is code."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))
