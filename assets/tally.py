"""How many rows there are, known at any size without counting them: see `assets.models.Tally`."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from assets.tables import Condition, Table

ADD_UP = """
WITH gone AS (DELETE FROM assets_tally RETURNING *)
INSERT INTO assets_tally (source_id, quotes, assets)
SELECT source_id, sum(quotes), sum(assets) FROM gone GROUP BY source_id
"""


def total_sql(table: Table, found: Sequence[Condition]) -> str | None:
    """SQL of how many rows the filter finds; None where the tally doesn't know."""
    if not table.tallied or not all(condition.tally for condition in found):
        return None
    where = " AND ".join(f"{condition.tally} = {int(condition.value)}" for condition in found) or "true"
    return f"(SELECT coalesce(sum({table.tallied}), 0)::bigint FROM assets_tally WHERE {where})"


def from_the_end(table: Table, found: Sequence[Condition], offset: int) -> int:
    """How many rows there are, if a page that begins there lies nearer to the list's end; else 0."""
    if found or not (known := total_sql(table, found)):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {known}")
        (total,) = cursor.fetchone()
        return int(total) if offset > total / 2 else 0


def add_up() -> None:
    """The tally says the same in fewer rows."""
    with connection.cursor() as cursor:
        cursor.execute(ADD_UP)
