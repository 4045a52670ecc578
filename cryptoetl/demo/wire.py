"""How an answer goes out: in order, or in one of the ways in which connections fail."""

from __future__ import annotations

import gzip
import select
import socket
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from cryptoetl.demo.faults import Fault

#: More than any honest page: the size at which a careful reader gives up is 64 MB.
OVERSIZE = 70 * 1024 * 1024
_BLOCK = 64 * 1024

FAULTS = frozenset(
    {
        Fault.DROPPED,
        Fault.RESET,
        Fault.RESET_MID_BODY,
        Fault.HANG,
        Fault.HANG_MID_BODY,
        Fault.SLOW_DRIP,
        Fault.SLOW_START,
        Fault.TRUNCATED,
        Fault.TRUNCATED_CHUNKED,
        Fault.OVERSIZED,
        Fault.OVERSIZED_DECLARED,
        Fault.OVERSIZED_GZIP,
        Fault.GZIP_DAMAGED,
        Fault.GZIP_CUT,
        Fault.WRONG_ENCODING,
    }
)


def compressed(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1, mtime=0)


class Wire:
    """One answer's way out through a handler."""

    def __init__(self, handler: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
        self.handler = handler
        self.stopping = stopping

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._head(status, {**headers, "content-length": str(len(body))})
        if self.handler.command != "HEAD" and status != 304:
            self.handler.wfile.write(body)

    def misbehave(
        self, fault: Fault, options: Mapping[str, Any], status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Sends the answer as the fault wants it. `body` is not compressed."""
        half = len(body) // 2
        if fault in (Fault.RESET, Fault.DROPPED, Fault.HANG):
            if fault is Fault.HANG:
                self._hang()
            self._end(reset=fault is Fault.RESET)
        elif fault is Fault.SLOW_START:
            self.stopping.wait(float(options.get("delay", 1.0)))
            self.send(status, headers, body)
        elif fault in (Fault.TRUNCATED, Fault.RESET_MID_BODY, Fault.HANG_MID_BODY):
            self._head(status, {**headers, "content-length": str(len(body))})
            self.handler.wfile.write(body[:half])
            if fault is Fault.HANG_MID_BODY:
                self._hang()
            self._end(reset=fault is Fault.RESET_MID_BODY)
        elif fault is Fault.TRUNCATED_CHUNKED:
            self._head(status, {**headers, "transfer-encoding": "chunked"})
            self._chunk(body[:half])
            self._end()
        elif fault is Fault.SLOW_DRIP:
            self._head(status, {**headers, "content-length": str(len(body))})
            self._drip(body, int(options.get("size", 64)), float(options.get("delay", 0.05)))
        elif fault in (Fault.OVERSIZED, Fault.OVERSIZED_DECLARED, Fault.OVERSIZED_GZIP):
            self._oversized(fault, int(options.get("size", OVERSIZE)), status, headers, body)
        else:
            self._encoded(fault, status, headers, body)

    def _encoded(self, fault: Fault, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if fault is not Fault.WRONG_ENCODING:
            body = compressed(body)
            if fault is Fault.GZIP_CUT:
                body = body[: len(body) // 2]
            else:
                middle = len(body) // 2
                body = body[:middle] + bytes(byte ^ 0xFF for byte in body[middle : middle + 16]) + body[middle + 16 :]
        self.send(status, {**headers, "content-encoding": "gzip"}, body)

    def _oversized(self, fault: Fault, size: int, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Blanks, which JSON allows in front of anything, then the answer: who reads it all finds nothing wrong."""
        filler = b"\n" if headers.get("content-type", "").startswith("text/csv") else b" "
        blanks = (filler * min(_BLOCK, size - start) for start in range(0, size, _BLOCK))
        if fault is Fault.OVERSIZED_GZIP:
            self.send(status, {**headers, "content-encoding": "gzip"}, b"".join(_zipped(blanks, body)))
        elif fault is Fault.OVERSIZED_DECLARED:
            self._head(status, {**headers, "content-length": str(size + len(body))})
            for block in blanks:
                self.handler.wfile.write(block)
            self.handler.wfile.write(body)
        else:
            self._head(status, {**headers, "transfer-encoding": "chunked"})
            for block in blanks:
                self._chunk(block)
            self._chunk(body)
            self.handler.wfile.write(b"0\r\n\r\n")

    def _drip(self, body: bytes, size: int, delay: float) -> None:
        for start in range(0, len(body), size):
            if self.stopping.wait(delay):
                break
            self.handler.wfile.write(body[start : start + size])
        else:
            return
        self._end()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.handler.send_response(status)
        for name, text in headers.items():
            if name != "server":
                self.handler.send_header(name, text)
        self.handler.end_headers()

    def _chunk(self, data: bytes) -> None:
        if data:
            self.handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _hang(self) -> None:
        """Until the server stops, or the caller has had enough."""
        while not self.stopping.wait(0.02):
            if select.select([self.handler.connection], [], [], 0)[0] and not self._is_there():
                return

    def _is_there(self) -> bool:
        try:
            return bool(self.handler.connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _end(self, *, reset: bool = False) -> None:
        if reset:
            # Closing with linger 0 makes the kernel send a reset in place of an orderly end.
            self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handler.close_connection = True


def _zipped(blanks: Iterator[bytes], body: bytes) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for block in blanks:
        yield packer.compress(block)
    yield packer.compress(body)
    yield packer.flush()
