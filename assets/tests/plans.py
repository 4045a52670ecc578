"""What PostgreSQL goes through to carry out a statement, for tests that hold it to be in proportion to its work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection


def forget_statistics(*tables: str) -> None:
    """PostgreSQL knows nothing of what is in these tables, as when they were filled a moment ago."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute("UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = %s::regclass", [table])
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])


def rows_gone_through(sql: str, values: Any = None) -> int:
    """The statement is carried out."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
        (plan,) = cursor.fetchone()[0]
    kept = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")
    return int(sum(step.get(name, 0) * step["Actual Loops"] for step in steps(plan["Plan"]) for name in kept))


def steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for inner in step.get("Plans", ()):
        yield from steps(inner)
