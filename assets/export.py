"""Streams a whole filtered list as a file: PostgreSQL writes CSV or NDJSON (COPY), this process passes it on.

One statement is one snapshot, on a connection of its own: memory stays constant, and a reader that hangs up frees the
connection at once. A text that a spreadsheet would take for a formula is made harmless.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections

from assets import filters
from assets.errors import Unserved
from assets.reader import become_reader
from assets.tables import Condition, Field, Table

#: Exports at a time in one process: each holds a connection and a thread, and the API must go on answering.
AT_A_TIME = 4
CHUNK = 64 * 1024
#: Seconds that an export may take: other statements have less, but a slow reader of a large one needs its time.
LONGEST = 3600
#: The first row is wanted soon: tables are walked in the order of their keys, where the planner would rather hash and
#: sort them first.
OPTIONS = "-c enable_hashjoin=off -c enable_sort=off -c max_parallel_workers_per_gather=0"
FREE = threading.BoundedSemaphore(AT_A_TIME)

#: Texts that others wrote; the name of a source is ours.
TEXTS = ("asset_id", "symbol", "name", "source_asset_id")
#: A cell of a spreadsheet is a formula when it begins with one of these. (A regular expression takes much longer.)
FORMULA = ", ".join(str(ord(sign)) for sign in "=+-@\t\r\n")
HARMLESS = f"CASE WHEN ascii({{0}}) IN ({FORMULA}) THEN chr(39) || {{0}} ELSE {{0}} END"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows and which of their fields: all of them, if `names` is None."""

    table: Table
    found: Sequence[Condition]
    names: Sequence[str] | None = None

    @property
    def columns(self) -> list[str]:
        return [name for name in self.table.columns if self.names is None or name in self.names]

    def rows(self, field: str, descending: bool) -> tuple[str, list[Any]]:
        """SQL of the rows in that order, ties by the key; the values in it."""
        where, values, _ = filters.where(self.found)
        by, direction = self.table.fields[field], "DESC NULLS LAST" if descending else "ASC"
        return (
            f"SELECT {self.table.shown(self.names)} FROM {self.table.source} {self.table.all_joined} WHERE {where}"
            f" ORDER BY {by.sql} {direction}, {self.table.key} {direction.split()[0]}"
        ), values


def stream(kind: str, wanted: Wanted, field: str, descending: bool) -> Iterator[bytes]:
    """The file's bytes, as they come. Whoever stops before the end closes it."""
    rows, values = wanted.rows(field, descending)
    if kind == "ndjson":
        fields = {name: wanted.table.fields[name] for name in wanted.columns}
        return Export(copy_lines(f"SELECT {json_line(fields)} FROM ({rows}) shown"), values)
    if kind == "parquet":
        from assets.parquet import Parquet

        return Parquet(wanted, csv_sql(rows, wanted.columns, harmless=False), values)
    return Export(csv_sql(rows, wanted.columns), values)


def csv_sql(rows: str, names: Sequence[str], harmless: bool = True) -> str:
    cells = ", ".join(
        f"{HARMLESS.format(name)} AS {name}"
        if name in TEXTS and harmless
        else f"{name}::text AS {name}"
        if name in ("is_stale", "delisted")
        else name
        for name in names
    )
    if len(names) == 1 and harmless:
        # Readers of CSV leave out an empty line, which a null alone would be: it is written as "".
        rows, cells = f"SELECT {cells} FROM ({rows}) shown", f"coalesce({names[0]}::text, '') AS {names[0]}"
    return copy("csv", f"SELECT {cells} FROM ({rows}) shown")


def copy(kind: str, rows: str) -> str:
    """COPY of what the statement finds, a line each."""
    if kind == "ndjson":
        return copy_lines(f"SELECT row_to_json(shown)::text FROM ({rows}) shown")
    return f"COPY ({rows}) TO STDOUT (FORMAT csv, HEADER)"


def copy_lines(lines: str) -> str:
    """COPY of lines of JSON as they are: they hold no control character, so as CSV with these two none is quoted."""
    return f"COPY ({lines}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"


def json_line(fields: Mapping[str, Field]) -> str:
    """SQL: the row as row_to_json writes it, which looks the type of each value up again, a fifth of the time."""
    return (
        "concat('{"
        + ", ',".join(f""""{name}":', {json_value(name, field)}""" for name, field in fields.items())
        + ", '}')"
    )


def json_value(name: str, field: Field) -> str:
    """SQL: the value as JSON. Of times only the quotes are wanting: they hold nothing to escape."""
    if field.type == "timestamptz":
        value = f"""'"' || {name} || '"'"""
    else:
        value = f"to_json({name})::text" if field.type == "text" else f"{name}::text"
    return f"coalesce({value}, 'null')" if field.nullable else value


class Export:
    """The bytes of a COPY, as they come. Iterate it once; `close` may come at any time, from any thread.

    What `before` asks with its cursor is of the same snapshot as the rows.
    """

    def __init__(
        self, sql: str, values: list[Any] | dict[str, Any], before: Callable[[Any], None] | None = None
    ) -> None:
        if not FREE.acquire(blocking=False):
            raise Unserved(f"{AT_A_TIME} exports are under way already; try again when one has ended.")
        self._error: BaseException | None = None
        self._closing = threading.Lock()
        self._closed = False
        reading, writing = os.pipe()
        # Written through a buffer: psycopg2 hands over a row at a time, and would not notice a write cut short.
        self._from, self._to = os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=CHUNK)
        try:
            with connections["default"].wrap_database_errors:
                self._connection = connect()
                with self._connection.cursor() as cursor:
                    if before is not None:
                        before(cursor)
                    statement = cursor.mogrify(sql, values)
        except BaseException:
            self._from.close()
            self._to.close()
            FREE.release()
            raise
        self._thread = threading.Thread(target=self._copy, args=(statement,), name="export", daemon=True)
        self._thread.start()
        self._first = self._from.read(CHUNK)
        if not self._first and (error := self.error) is not None:
            self.close()
            with connections["default"].wrap_database_errors:
                raise error

    @property
    def error(self) -> BaseException | None:
        """What ended the COPY before its end."""
        return self._error

    def _copy(self, statement: bytes) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.copy_expert(statement, self._to)
        except BaseException as error:
            # Before the pipe ends, so that whoever reads its end sees it.
            self._error = error
        finally:
            try:
                self._to.close()
            except OSError as error:
                self._error = self._error or error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk, self._first = self._first or (b"" if self._closed else self._from.read(CHUNK)), b""
        if chunk:
            return chunk
        if self._error is not None and not self._closed:
            # Cuts the answer off, so that nobody takes half of the rows for all of them.
            raise OperationalError("The export was cut off.") from self._error
        self.close()
        raise StopIteration

    def close(self) -> None:
        """The connection is closed, and what PostgreSQL was doing for it is over."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if self._thread.is_alive():
            with suppress(Exception):  # The connection is gone already.
                self._connection.cancel()
        self._from.close()
        self._thread.join()
        self._connection.close()
        FREE.release()


def connect() -> Any:
    """A connection of its own to the database that Django uses."""
    database = connections["default"]
    parameters = database.get_connection_params()
    parameters["options"] = f"{parameters.get('options', '')} {OPTIONS}".strip()
    connection = database.get_new_connection(parameters)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    become_reader(connection, LONGEST)
    return connection
