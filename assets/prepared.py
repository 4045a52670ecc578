"""Statements that are asked again and again are planned once for each connection: planning a page takes longer than
finding it.

Only statements whose plan is good for all their values belong here. Behind a pooler that hands a connection from one
client to another a prepared statement may be gone: then nothing is prepared any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connection

#: A connection keeps no more than so many; what comes later is planned each time.
MOST = 50
#: By connection, then by statement: its name, or None when it was asked once and may never be again.
_known: WeakKeyDictionary[Any, dict[str, str | None]] = WeakKeyDictionary()
_pooled = False


def execute(cursor: Any, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> None:
    """As `cursor.execute`; the third time that a connection is asked this, it need not think about how."""
    global _pooled
    known = _known.setdefault(connection.connection, {})
    name = known.get(sql)
    if _pooled or (name is None and (sql not in known and len(known) >= MOST)):
        cursor.execute(sql, values)
        return
    try:
        if name is None and sql in known:
            # By psycopg2's own cursor, whose errors Django does not wrap: this is no statement of the caller's.
            with connection.wrap_database_errors:
                known[sql] = prepare(cursor.cursor, sql, marks(values), len(known))
        elif name is not None:
            cursor.execute(f"EXECUTE {name}({', '.join(marks(values))})" if values else f"EXECUTE {name}", values)
            return
        else:
            known[sql] = None
    except DatabaseError as error:
        # Somebody else's connection until just now: ours is prepared elsewhere, or his is here.
        if getattr(error.__cause__, "pgcode", None) not in ("26000", "42P05") or connection.in_atomic_block:
            raise
        _pooled = True
    cursor.execute(sql, values)


def marks(values: Sequence[Any] | Mapping[str, Any]) -> list[str]:
    """How a statement marks the places of its values."""
    return [f"%({name})s" for name in values] if isinstance(values, Mapping) else ["%s"] * len(values)


def prepare(cursor: Any, sql: str, marks: Sequence[str], number: int) -> str:
    """The statement's name."""
    name = f"asked_{number}_{abs(hash(sql))}"
    for place, mark in enumerate(marks, 1):
        sql = sql.replace(mark, f"${place}", 1 if mark == "%s" else -1)
    cursor.execute(f"PREPARE {name} AS {sql}".replace("%%", "%"))
    return name
