"""A line to a server that can go dead: a proxy that accepts bytes and forwards none, and closes nothing."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Line:
    """A port of its own that leads to the server of an address, until `swallow`."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._dead: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._swallows_all = False
        self._ended = False
        self._lock = threading.Lock()
        self.swallowed = 0
        """Bytes that never arrived."""
        self._thread = threading.Thread(target=self._forward, name="line", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of the server, by way of this line."""
        port = self._listener.getsockname()[1]
        return self._to._replace(netloc=f"{self._to.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()

    @property
    def open(self) -> int:
        """How many connections lead through it that still forward."""
        with self._lock:
            return len(self._pairs.keys() - self._dead) // 2

    def swallow(self, new: bool = False) -> None:
        """The connections of now are dead, and nobody is told. Later ones too, if `new`, until `heal`."""
        with self._lock:
            self._dead |= self._pairs.keys()
            self._swallows_all = new

    def heal(self) -> None:
        """New connections are as good as any. The dead ones stay dead."""
        with self._lock:
            self._swallows_all = False

    def stop(self) -> None:
        self._ended = True
        self._thread.join()
        for one in (self._listener, *self._pairs):
            one.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _forward(self) -> None:
        while not self._ended:
            with self._lock:
                watched = [self._listener, *self._pairs]
            ready, _, _ = select.select(watched, [], [], 0.1)
            for one in ready:
                if one is self._listener:
                    self._accept()
                elif one in self._pairs:
                    self._carry(one)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection((self._to.hostname, self._to.port))
        with self._lock:
            self._pairs |= {near: far, far: near}
            if self._swallows_all:
                self._dead |= {near, far}

    def _carry(self, one: socket.socket) -> None:
        try:
            data = one.recv(65_536)
        except OSError:
            data = b""
        with self._lock:
            other, dead = self._pairs[one], one in self._dead
            if not data:
                # The other side of a dead line is never told.
                del self._pairs[one]
                one.close()
                if not dead:
                    self._pairs.pop(other, None)
                    other.close()
                elif other in self._pairs:
                    self._pairs[other] = other
                return
            if dead:
                self.swallowed += len(data)
                return
        with suppress(OSError):
            other.sendall(data)
