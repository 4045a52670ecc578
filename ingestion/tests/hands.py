"""Several hands at once, each on a connection of its own, and the moment at which one waits for another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connection

from ingestion.tests.crew import wait_for

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""


@contextmanager
def held(*statements: str) -> Iterator[None]:
    """What these statements lock or write is a third party's, uncommitted, to the end of the block: then it commits."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield
        other.commit()
    finally:
        other.close()


def waiting() -> int:
    """How many connections wait for what another one holds."""
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return int(cursor.fetchone()[0])


class Hands:
    """Calls at work beside each other, each in a thread with a connection of its own."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.begun: list[Future[Any]] = []

    def begin(self, work: Callable[..., Any], *arguments: Any, until_it_waits: bool = True) -> Future[Any]:
        """The call is under way, and waits for somebody."""
        before = waiting()

        def alone() -> Any:
            try:
                return work(*arguments)
            finally:
                connection.close()

        self.begun.append(future := self.pool.submit(alone))
        if until_it_waits:
            wait_for(lambda: waiting() > before or future.done(), "it waits", 20)
        return future

    def all_done(self) -> list[Any]:
        """What each has returned. Raises what one of them has."""
        return [future.result(60) for future in self.begun]


@contextmanager
def hands() -> Iterator[Hands]:
    with ThreadPoolExecutor(8) as pool:
        yield Hands(pool)
