"""Streams a whole filtered list as CSV or NDJSON: PostgreSQL writes it (COPY), this process passes it on.

One statement is one snapshot, on a connection of its own: memory stays constant, and a reader that hangs up frees the
connection at once. A text that a spreadsheet would take for a formula is made harmless.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.db import OperationalError, connections

from assets.errors import Unserved
from assets.reader import become_reader
from assets.tables import DATA, DATA_COLUMNS, DATA_JOINS

#: Exports at a time in one process: each holds a connection and a thread, and the API must go on answering.
AT_A_TIME = 4
CHUNK = 64 * 1024
#: Seconds that an export may take: other statements have less, but a slow reader of a large one needs its time.
LONGEST = 3600
#: The first row is wanted soon: tables are walked in the order of their keys, where the planner would rather hash and
#: sort them first.
OPTIONS = "-c enable_hashjoin=off -c enable_sort=off -c max_parallel_workers_per_gather=0"
FREE = threading.BoundedSemaphore(AT_A_TIME)

TEXTS = ("asset_id", "symbol", "name", "source", "source_asset_id")
#: One cell of a spreadsheet is a formula when it begins with one of these: the text, and a quote before it then.
HARMLESS = "CASE WHEN {0} ~ '^[=+@\\t\\r\\n-]' THEN '''' || {0} ELSE {0} END"


def copy_sql(kind: str, where: str, needs: str, order: str) -> str:
    """COPY of the rows of /data that the filter finds, in that order."""
    everything = (
        f"""SELECT {DATA_COLUMNS} FROM {DATA.source} {" ".join(DATA_JOINS.values())} WHERE {where} ORDER BY {order}"""
    )
    if kind == "ndjson":
        return copy(kind, everything)
    cells = ", ".join(
        f"{HARMLESS.format(name)} AS {name}"
        if name in TEXTS
        else f"{name}::text AS {name}"
        if name in ("is_stale", "delisted")
        else name
        for name in DATA.fields
    )
    return copy(kind, f"SELECT {cells} FROM ({everything}) shown")


def copy(kind: str, rows: str) -> str:
    """COPY of what the statement finds, a line each."""
    if kind == "ndjson":
        # JSON holds no control character, so as CSV with these two no line is quoted or escaped.
        as_it_is = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"
        return f"COPY (SELECT row_to_json(shown)::text FROM ({rows}) shown) TO STDOUT ({as_it_is})"
    return f"COPY ({rows}) TO STDOUT (FORMAT csv, HEADER)"


class Export:
    """The bytes of a COPY, as they come. Iterate it once; `close` may come at any time, from any thread."""

    def __init__(self, sql: str, values: list[Any] | dict[str, Any]) -> None:
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
    become_reader(connection, LONGEST)
    return connection
