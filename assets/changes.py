"""Quotes that changed, in the order of commits and from any point on: what /stream tells, read from PostgreSQL.

A position is the oldest transaction that was still writing, and the time. What is told lies between two positions: rows
of transactions (`Quote.changed_in`) that had not ended at the first and had at the second. So what is committed late is
not missed and nothing is told twice, whatever the clock says; the time only tells how old a position is. The price: a
change waits until every transaction that began to write before it has ended.
"""

from __future__ import annotations

import re
import selectors
import socket
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connections

from assets.tables import DATA

#: What a trigger on the quotes tells once a transaction (see the migrations).
CHANNEL = "cryptoetl_quotes"
#: Rows read at a time.
PIECE = 500
#: Seconds that a position is good for. Older ones would read too much; who was away so long reads /data instead.
KEPT = 3600
TEXT = re.compile(r"(\d{1,19})-(\d{1,16})", re.ASCII)

NOW = """
    SELECT pg_snapshot_xmin(now)::text, pg_snapshot_xmax(now)::text, extract(epoch FROM clock_timestamp()) * 1000000
    FROM pg_current_snapshot() AS now
"""
CHANGED = f"""
    SELECT q.changed_in::text, q.listing_id, s.slug, a.slug,
           (SELECT row_to_json(shown)::text FROM (SELECT {DATA.shown()}) shown)
    FROM {DATA.source} {DATA.all_joined}
    WHERE (q.changed_in, q.listing_id) > (%(at)s::xid8, %(id)s) AND q.changed_in < %(until)s::xid8
    ORDER BY q.changed_in, q.listing_id LIMIT {PIECE}
"""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Everything before it has been told. As text it is the id of an event."""

    oldest: int
    """The oldest transaction that was writing; all before it had ended."""
    at: int
    """Microseconds of the epoch."""

    def __str__(self) -> str:
        return f"{self.oldest}-{self.at}"

    @classmethod
    def read(cls, text: str) -> Position:
        """Raises ValueError."""
        found = TEXT.fullmatch(text)
        if not found:
            raise ValueError("must be the id of an event of this stream")
        return cls(int(found[1]), int(found[2]))

    def leads_to(self, now: Position) -> bool:
        """Whether what happened until `now` can be read: it is not too old, and of this database."""
        return 0 <= now.oldest - self.oldest < 2**31 and now.at - self.at < KEPT * 1_000_000


class Change(NamedTuple):
    source: str
    asset_id: str
    text: str
    """The row as /data shows it, JSON."""


class Changes:
    """A connection of its own that listens. Its calls block; one thread at a time."""

    def __init__(self) -> None:
        database = connections["default"]
        parameters = database.get_connection_params() | {"application_name": "cryptoetl stream"}
        self.connection: Any = database.get_new_connection(parameters)
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        self.waker, self.woken = socket.socketpair()
        self.waker.setblocking(False)
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.connection.fileno(), selectors.EVENT_READ)
        self.ready.register(self.woken, selectors.EVENT_READ)

    def wait(self, seconds: float) -> bool:
        """Until something changed, somebody calls `wake`, or the time is up; whether one of the former."""
        found = self.ready.select(seconds)
        for key, _ in found:
            if key.fileobj is self.woken:
                self.woken.recv(4096)
        self.connection.poll()
        self.connection.notifies.clear()
        return bool(found)

    def wake(self) -> None:
        """From any thread."""
        try:
            self.waker.send(b"\0")
        except OSError:
            # Full: it has been woken often enough. Closed: there is nobody to wake.
            return

    def position(self) -> tuple[Position, bool]:
        """Where things stand, and whether nobody is writing."""
        with self.connection.cursor() as cursor:
            cursor.execute(NOW)
            oldest, following, at = map(int, cursor.fetchone())
        return Position(oldest, at), oldest == following

    def between(
        self, after: Position, until: Position, last: tuple[str, int] | None
    ) -> tuple[list[Change], tuple[str, int] | None]:
        """The next piece of what changed, and where it ended; the first begins after None."""
        at, id_ = last or (str(after.oldest), 0)
        with self.connection.cursor() as cursor:
            cursor.execute(CHANGED, {"at": at, "id": id_, "until": str(until.oldest)})
            rows = cursor.fetchall()
        return [Change(*row[2:]) for row in rows], (rows[-1][0], rows[-1][1]) if rows else last

    def close(self) -> None:
        self.ready.close()
        self.waker.close()
        self.woken.close()
        self.connection.close()
