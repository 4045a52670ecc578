"""SQL of a page of a list: by number, or behind the row where a walk stands, which costs the same at any depth.

Every ordering ends with the row's key, and nulls come last in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assets.pagination import Place
from assets.tables import WRITTEN, Field, Table

#: Behind so many rows a page's keys are found in the index alone, and their rows afterwards.
DEEP = 1000


def page_of(
    table: Table, place: Place, where: str, values: Sequence[Any], needs: str, keys_alone: bool = False, total: int = 0
) -> tuple[str, list[Any]]:
    """SQL of the page: (key, sort_value, phase) and, unless only the keys are found, the table's own columns.

    It is one row more than the page, so that a next one is known. Given how many rows there are, the page is looked for
    from the list's end.
    """
    field = table.fields.get(place.field, WRITTEN)
    asking = Asking(table, field, place, where, list(values), table.joined(needs + field.needs), keys_alone, total)
    if place.walking:
        return asking.after()
    # An index goes backwards with its nulls first; forwards they are last as it is.
    return asking.numbered_with_nulls() if field.nullable and place.descending else asking.numbered()


@dataclass(frozen=True, slots=True)
class Asking:
    """A page of a list being looked for. Ties go by the key, in the direction of the order, as an index has them."""

    table: Table
    field: Field
    place: Place
    where: str
    values: list[Any]
    joins: str
    keys_alone: bool
    total: int = 0

    @property
    def direction(self) -> str:
        return "DESC" if self.place.descending else "ASC"

    def select(self, phase: int, *conditions: str) -> str:
        rows = "" if self.keys_alone else f", {self.table.alias}.*"
        return (
            f"SELECT {self.table.key} AS key, {self.field.sql} AS sort_value, {phase} AS phase{rows} "
            f"FROM {self.table.source} {self.joins} WHERE {' AND '.join([self.where, *conditions])}"
        )

    @property
    def in_order(self) -> str:
        return f"ORDER BY {self.field.sql} {self.direction}, {self.table.key} {self.direction} LIMIT {self.size}"

    @property
    def size(self) -> int:
        return self.place.size + 1

    def numbered(self) -> tuple[str, list[Any]]:
        if self.total:
            back = "ASC" if self.place.descending else "DESC"
            left = self.total - self.place.offset
            return (
                f"SELECT * FROM ({self.select(0)} ORDER BY {self.field.sql} {back}, {self.table.key} {back}"
                f" LIMIT {max(min(self.size, left), 0)} OFFSET {max(left - self.size, 0)}) ending"
            ), self.values
        return f"{self.select(0)} {self.in_order} OFFSET {self.place.offset}", self.values

    def numbered_with_nulls(self) -> tuple[str, list[Any]]:
        """Those that have a value, then the others, which are looked for only if the page isn't full without them."""
        offset, said = self.place.offset, f"{self.field.sql} IS NOT NULL"
        counted = f"SELECT count(*) FROM {self.table.source} {self.joins} WHERE {self.where} AND {said}"
        skipped = f"CASE WHEN EXISTS (SELECT FROM said) THEN 0 ELSE greatest({offset} - ({counted}), 0) END"
        nulls = self.select(1, f"{self.field.sql} IS NULL", f"(SELECT count(*) FROM said) < {self.size}")
        sql = f"""
            WITH said AS MATERIALIZED ({self.select(0, said)} {self.in_order} OFFSET {offset})
            SELECT * FROM said UNION ALL
            (SELECT * FROM ({nulls} ORDER BY {self.table.key} {self.direction}
                            LIMIT {self.size} OFFSET {skipped if offset else 0}) rest)
            ORDER BY phase, sort_value {self.direction}, key {self.direction} LIMIT {self.size}"""
        return sql, self.values * (3 if offset else 2)

    def after(self) -> tuple[str, list[Any]]:
        """A keyset is a bound on the first column and a filter behind it: PostgreSQL finds the bound in an index, which
        it can't do for (a, b) > (x, y) once nulls and directions differ. The nulls are a phase of their own."""
        after, field, key = self.place.after, self.field, self.table.key
        beyond = "<" if self.place.descending else ">"
        parts, bound = [], list[Any]()
        if after is None or after.value is not None:
            conditions, of = [], list[Any]()
            if after is not None:
                cast = f"%s::{field.type}"
                conditions.append(
                    f"{field.sql} {beyond}= {cast} AND ({field.sql} {beyond} {cast} OR {key} {beyond} %s)"
                )
                of = [after.value, after.value, after.key]
            elif field.nullable:
                conditions.append(f"{field.sql} IS NOT NULL")
            if field is WRITTEN:
                conditions.append(f"{field.sql} < pg_snapshot_xmin(pg_current_snapshot())")
            parts.append(f"({self.select(0, *conditions)} {self.in_order})")
            bound += [*self.values, *of]
        if field.nullable:
            conditions, of = [f"{field.sql} IS NULL"], []
            if after is not None and after.value is None:
                conditions.append(f"{key} {beyond} %s")
                of = [after.key]
            parts.append(f"({self.select(1, *conditions)} ORDER BY {key} {self.direction} LIMIT {self.size})")
            bound += [*self.values, *of]
        order = f"ORDER BY phase, sort_value {self.direction}, key {self.direction} LIMIT {self.size}"
        return f"SELECT * FROM ({' UNION ALL '.join(parts)}) found {order}", bound


def page_order(place: Place, alias: str = "page") -> str:
    """ORDER BY of the page once more, after the joins."""
    direction = "DESC" if place.descending else "ASC"
    return f"{alias}.phase, {alias}.sort_value {direction} NULLS LAST, {alias}.key {direction}"
