"""The records a second of each way as a bar chart, in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.result import Result

WIDTH, NAMES, BAR, GAP = 860, 380, 22, 10
OURS, OTHERS = "#0f766e", "#94a3b8"
RIVALS = ("COPY", "dlt", "update_or_create")


def draw(results: Sequence[Result]) -> str:
    bars = list({result.what: result for result in results if result.drawn and "WAL" not in result.what}.values())
    most = max(result.per_second for result in bars)
    height = len(bars) * (BAR + GAP) + 40
    rows = []
    for place, result in enumerate(bars):
        y = 30 + place * (BAR + GAP)
        width = max(result.per_second / most * (WIDTH - NAMES - 90), 1)
        color = OTHERS if result.what.startswith(RIVALS) else OURS
        rows.append(
            f'<text x="{NAMES - 8}" y="{y + 15}" text-anchor="end">{escape(result.what)}</text>'
            f'<rect x="{NAMES}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" fill="{color}"/>'
            f'<text x="{NAMES + width + 6:.1f}" y="{y + 15}">{result.per_second:,.0f}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="system-ui, sans-serif" font-size="13" fill="#0f172a">'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{NAMES}" y="18" fill="#64748b">records a second</text>' + "".join(rows) + "</svg>\n"
    )
