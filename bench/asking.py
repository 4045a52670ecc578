"""Asks an address over some kept connections for a while, from a process of its own, and tells how long each took.

`python -m bench.asking HOST PORT PATH CONNECTIONS SECONDS` prints one JSON: requests a second, p50 and p99 in ms.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from dataclasses import dataclass
from time import perf_counter

CONNECTIONS = 8
#: How much longer than it counts it asks: the beginning is left out.
WARM = 1.25


@dataclass(frozen=True, slots=True)
class Asked:
    per_second: float
    p50: float
    p99: float


def ask(port: int, path: str, seconds: float, connections: int = CONNECTIONS) -> Asked:
    """Every answer must be 200."""
    command = [sys.executable, "-m", "bench.asking", "127.0.0.1", str(port), path, str(connections), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Asked(**json.loads(done.stdout))


class Connection:
    def __init__(self, host: str, port: int, request: bytes) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request
        self.began = 0.0
        self.received = b""
        self.send()

    def send(self) -> None:
        self.received, self.began = b"", perf_counter()
        self.socket.sendall(self.request)

    def whole(self) -> bool:
        """The answer is there. Raises ValueError when it isn't the one that is wanted."""
        data = self.socket.recv(262_144)
        if not data:
            raise ValueError("The server closed the connection.")
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 200 " not in head[:20]:
            raise ValueError(self.received[:500].decode("utf-8", "replace"))
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return len(body) >= int(length.split(b":")[1])


def main(host: str, port: str, path: str, connections: str, seconds: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode()
    waiting = selectors.DefaultSelector()
    for _ in range(int(connections)):
        one = Connection(host, int(port), request)
        waiting.register(one.socket, selectors.EVENT_READ, one)
    warm = perf_counter() + float(seconds) * (WARM - 1)
    end, took = warm + float(seconds), []
    while (now := perf_counter()) < end:
        for key, _ in waiting.select(10):
            if key.data.whole():
                if now >= warm:
                    took.append(perf_counter() - key.data.began)
                key.data.send()
    took.sort()
    figures = {"per_second": len(took) / float(seconds)}
    figures |= {f"p{part}": took[min(len(took) * part // 100, len(took) - 1)] * 1000 for part in (50, 99)}
    print(json.dumps(figures))


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(*sys.argv[1:])
