"""A call that takes longer than it may is cut off wherever it is: in the handshake, in the headers, in the body.

The time limit of a socket counts from byte to byte, and whoever sends one now and then holds a call for ever. So a
timer shuts the line: whoever reads from it finds its end, and asks whether the deadline has passed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_here = threading.local()


class TooSlow(requests.Timeout):
    """A call has not ended within so many seconds."""


class Deadline:
    """How long a call may take, and the line that it takes."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self.passed = False
        self._line: socket.socket | None = None
        self._turn = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The clock runs; the line that this thread opens or takes up meanwhile is the call's."""
        timer, begun = threading.Timer(self.left, self._cut), monotonic()
        timer.daemon = True
        before, _here.deadline = getattr(_here, "deadline", None), self
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            _here.deadline = before
            self.left = max(self.left - (monotonic() - begun), 0.0)

    def takes(self, line: socket.socket) -> None:
        """The call goes over this line."""
        with self._turn:
            self._let_go()
            # A handle of its own on the connection: the socket's object is another one once TLS has begun.
            self._line = socket.fromfd(line.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            if self.passed:
                self._shut()

    def end(self) -> None:
        """The line is nobody's to be shut."""
        with self._turn:
            self._let_go()

    __del__ = end

    def _cut(self) -> None:
        with self._turn:
            self.passed = True
            self._shut()

    def _shut(self) -> None:
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class Call(NamedTuple):
    """An answer whose body may not be read yet, and how long that may take."""

    answer: requests.Response
    deadline: Deadline

    def close(self) -> None:
        self.answer.close()
        self.deadline.end()


def _taken(line: socket.socket | None) -> None:
    deadline: Deadline | None = getattr(_here, "deadline", None)
    if line is not None and deadline is not None:
        deadline.takes(line)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        line = super()._new_conn()
        _taken(line)
        return line

    def request(self, *arguments: Any, **options: Any) -> None:
        # One that is kept from the call before.
        _taken(self.sock)
        super().request(*arguments, **options)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}


class Adapter(HTTPAdapter):
    """For a session of requests whose calls have a Deadline."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager


def session() -> requests.Session:
    """One whose calls have a deadline."""
    made = requests.Session()
    made.mount("http://", Adapter())
    made.mount("https://", Adapter())
    return made


def begun(ask: Callable[..., requests.Response], seconds: float) -> Call:
    """The call has its headers, and what is left of its seconds for the body. Raises RequestException."""
    deadline = Deadline(seconds)
    try:
        with deadline.running():
            answer = ask(stream=True, allow_redirects=False)
    except Exception:
        deadline.end()
        if deadline.passed:
            raise TooSlow(f"{seconds:.0f}") from None
        raise
    if deadline.passed:
        # Headers end where the line does, and would pass for whole.
        Call(answer, deadline).close()
        raise TooSlow(f"{seconds:.0f}")
    return Call(answer, deadline)
