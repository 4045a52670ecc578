"""One question to PostgreSQL that waits no longer than it is told, on a connection of its own that never blocks.

A server that takes connections and says nothing would hold any other client for as long as it likes.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import Any

import psycopg2
import psycopg2.extensions


def ask(question: str, values: dict[str, Any], seconds: float, *dsn: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows. `own` among the values is the server's number for who asks, as it was told when it connected.

    Raises TimeoutError when there is no answer within that time, psycopg2.Error when there is none to be had.
    """
    deadline = monotonic() + seconds
    for ours in ("cursor_factory", "connection_factory"):
        parameters.pop(ours, None)
    link: Any = None
    try:
        link = psycopg2.connect(*dsn, **parameters, async_=True)
        wait(link, deadline)
        cursor = link.cursor()
        cursor.execute(question, {**values, "own": link.get_backend_pid()})
        wait(link, deadline)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
    finally:
        if link is not None:
            link.close()


def wait(link: Any, deadline: float) -> None:
    """Until the connection is ready for more. Raises TimeoutError."""
    while (state := link.poll()) != psycopg2.extensions.POLL_OK:
        left = deadline - monotonic()
        handles = [link.fileno()]
        ready = (
            select.select(handles, [], [], max(left, 0))
            if state == psycopg2.extensions.POLL_READ
            else select.select([], handles, [], max(left, 0))
        )
        if not any(ready):
            raise TimeoutError
