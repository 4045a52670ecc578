"""A connection to PostgreSQL whose other end is gone is noticed within half a minute, whatever swallowed its bytes.

A firewall that forgets a connection, a proxy that hangs: bytes are accepted and never arrive. The kernel's keepalives
notice only the first kind, and libpq would wait for ever. So every call that waits is watched by a thread of its
process: when nothing moved on the line for a while, the server is asked over another connection what it does. A server
at work is left at work, however long it takes. One that itself waits for us has not heard us, or we have not heard it:
the connection is shut, and its caller gets the error of a broken connection, which is tried again.

Behind a pooler nobody can be asked about: there nothing is cut, and the server's own time limits are all there is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import struct
import termios
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions

from ingestion.asking import ask

log = logging.getLogger(__name__)

#: Seconds without a byte after which the server is asked, and how often it then is.
SILENCE = 8.0
EVERY = 3.0
#: Seconds that it has for its answer.
PATIENCE = 5.0
#: A verdict counts when it is the same twice in a row: one moment may be a coincidence.
AGREE = 2

#: Those of the connections that wait for their client, or are gone. A pooler gives its clients numbers of its own.
LISTENING = """
SELECT asked.pid FROM unnest(%(pids)s) AS asked (pid) LEFT JOIN pg_stat_activity activity ON activity.pid = asked.pid
WHERE (activity.pid IS NULL OR activity.wait_event IN ('ClientRead', 'ClientWrite')) AND pg_backend_pid() = %(own)s
"""
#: Its locks go with it.
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(%(pids)s)"

_waiting: dict[int, WatchedConnection] = {}
_watcher: threading.Thread | None = None
_starting = threading.Lock()


class WatchedConnection(psycopg2.extensions.connection):
    """A connection whose calls don't outlive their line. To be given with WatchedCursor to psycopg2.connect."""

    def __init__(self, dsn: str, *arguments: Any, **options: Any) -> None:
        super().__init__(dsn, *arguments, **options)
        self.address = dsn
        self.since = 0.0
        self.suspicions = 0
        self.turn = threading.Lock()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A call waits for the server; afterwards the connection is nobody's to be shut.

        Of a line that breaks in mid-answer libpq sometimes has nothing to say, which psycopg2 tells as a bare
        DatabaseError. The connection is gone all the same: an OperationalError.
        """
        self.since = time.monotonic()
        self.suspicions = 0
        _waiting[id(self)] = self
        if _watcher is None:
            watch()
        try:
            yield
        except psycopg2.DatabaseError as error:
            if type(error) is psycopg2.DatabaseError and self.closed:
                raise psycopg2.OperationalError(f"the connection broke: {error}") from error
            raise
        finally:
            with self.turn:
                _waiting.pop(id(self), None)

    def commit(self) -> None:
        with self.waiting():
            super().commit()

    def rollback(self) -> None:
        with self.waiting():
            super().rollback()

    def is_silent(self) -> bool:
        """Nothing was sent or received for SILENCE seconds, and nothing lies here that we have yet to read."""
        if time.monotonic() - self.since < SILENCE:
            return False
        try:
            handle = self.fileno()
            if struct.unpack("i", fcntl.ioctl(handle, termios.FIONREAD, b"\0" * 4))[0]:
                return False
            with socket.fromfd(handle, socket.AF_INET, socket.SOCK_STREAM) as line:
                # Of Linux's struct tcp_info: milliseconds since data was last sent, and last received.
                sent, received = struct.unpack("=44xI4xI", line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56))
        except (OSError, AttributeError, psycopg2.Error):
            # A local socket has no line that could break; a system without TCP_INFO can't say.
            return False
        return bool(min(sent, received) >= SILENCE * 1000)

    def shut(self, since: float) -> bool:
        """The call that began at `since` ends with an error. False when it has ended by itself."""
        with self.turn:
            if self.since != since or id(self) not in _waiting:
                return False
            with socket.fromfd(self.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line:
                line.shutdown(socket.SHUT_RDWR)
            return True


class WatchedCursor(psycopg2.extensions.cursor):
    """Every call that waits for the server is watched."""

    def execute(self, *arguments: Any, **options: Any) -> Any:
        with self.connection.waiting():
            return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> Any:
        with self.connection.waiting():
            return super().executemany(*arguments, **options)

    def copy_expert(self, *arguments: Any, **options: Any) -> Any:
        with self.connection.waiting():
            return super().copy_expert(*arguments, **options)

    def close(self) -> None:
        # That of a named cursor is a statement of its own.
        if self.name is None:
            return super().close()
        with self.connection.waiting():
            super().close()

    def fetchmany(self, *arguments: Any, **options: Any) -> Any:
        # Of a named cursor; the rows of the others are here already.
        with self.connection.waiting():
            return super().fetchmany(*arguments, **options)


def watch() -> None:
    """This process has its watcher."""
    global _watcher
    with _starting:
        if _watcher is None:
            _watcher = threading.Thread(target=look, name="half-open", daemon=True)
            _watcher.start()


def forget() -> None:
    """A child has the calls of its parent in its memory, and not the parent's threads."""
    global _watcher, _starting
    _watcher, _starting = None, threading.Lock()
    _waiting.clear()


os.register_at_fork(after_in_child=forget)


def look() -> None:
    while True:
        time.sleep(EVERY)
        silent: dict[str, list[tuple[WatchedConnection, float]]] = defaultdict(list)
        for connection in list(_waiting.values()):
            since = connection.since
            if connection.is_silent():
                silent[connection.address].append((connection, since))
            else:
                connection.suspicions = 0
        for address, connections in silent.items():
            try:
                judge(address, connections)
            except Exception:
                log.exception("the watch over connections to PostgreSQL stumbled")


def judge(address: str, connections: list[tuple[WatchedConnection, float]]) -> None:
    """Those that wait for a server that waits for them are shut, and ended on its side as well."""
    pids = [connection.get_backend_pid() for connection, _ in connections]
    reached = True
    try:
        listening = {row[0] for row in ask(LISTENING, {"pids": pids}, PATIENCE, address)}
    except TimeoutError:
        # The whole server says nothing any more.
        listening, reached = set(pids), False
    except psycopg2.Error as error:
        # It is there, and has its own reasons: too many clients, a start under way.
        log.warning("PostgreSQL can't be asked about a silent connection", extra={"error": str(error).strip()})
        return
    cut = []
    for (connection, since), pid in zip(connections, pids, strict=True):
        connection.suspicions = connection.suspicions + 1 if pid in listening else 0
        if connection.suspicions >= AGREE and connection.shut(since):
            log.warning(
                "a half-open connection to PostgreSQL was shut",
                extra={"seconds": round(time.monotonic() - since, 1), "backend": pid},
            )
            cut.append(pid)
    if cut and reached:
        ask(END, {"pids": cut}, PATIENCE, address)
