"""A listening socket with a thread for each connection, and an end that leaves nothing behind.

http.server's own loop polls for its end and forgets open connections; a test that starts fifty servers needs neither.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable


class Listener:
    """Calls `handle(connection, address)` in a thread for each connection, and closes the connection after it."""

    def __init__(self, host: str, port: int, handle: Callable[[socket.socket, tuple[str, int]], object]) -> None:
        self._socket = socket.create_server((host, port), backlog=256)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._handle = handle
        self._wake, self._waker = socket.socketpair()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._thread = threading.Thread(target=self._accept, name=f"provider-{self.port}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No thread and no socket is left. Whoever waits for an answer sees the connection end."""
        self._waker.send(b"x")
        self._thread.join()
        with self._lock:
            threads = dict(self._open)
        for connection in threads.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=10)
        for one in (self._socket, self._wake, self._waker):
            one.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wake in ready:
                    return
                with contextlib.suppress(OSError):
                    self._begin(*self._socket.accept())

    def _begin(self, connection: socket.socket, address: tuple[str, int]) -> None:
        connection.setblocking(True)
        thread = threading.Thread(target=self._run, args=(connection, address), name="provider-connection", daemon=True)
        with self._lock:
            self._open[thread] = connection
        thread.start()

    def _run(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            # A caller that goes away in the middle is its own affair.
            with contextlib.suppress(OSError):
                self._handle(connection, address)
        finally:
            connection.close()
            with self._lock:
                self._open.pop(threading.current_thread(), None)
