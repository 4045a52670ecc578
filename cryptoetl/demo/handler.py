"""One HTTP request of the providers' server, from the socket and back."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from cryptoetl.demo import control, wire
from cryptoetl.demo.message import Request
from cryptoetl.demo.replies import PREFIXES, Outgoing

if TYPE_CHECKING:
    from cryptoetl.demo.server import Call, ProviderServer


class Handler(BaseHTTPRequestHandler):
    """Finds the source by the beginning of the path, asks the script for a fault, and answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        provider: ProviderServer,
        calls: deque[Call],
        *,
        faults: bool = True,
    ) -> None:
        self.provider = provider
        self.calls = calls
        self.faults = faults
        super().__init__(connection, address, None)  # type: ignore[arg-type]  # no socketserver behind it

    def do_GET(self) -> None:
        path, params = self._asked()
        for source, prefix in PREFIXES.items():
            if path.startswith(prefix + "/"):
                headers = {name.lower(): text for name, text in self.headers.items()}
                return self._answer(Request(source, path.removeprefix(prefix), params, headers))
        self._control(path, params)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._control(*self._asked())

    do_DELETE = do_POST

    def version_string(self) -> str:
        return "cloudflare"

    def log_message(self, *_: object) -> None:
        """The calls are kept in `provider.calls`; nothing is printed."""

    def _asked(self) -> tuple[str, dict[str, str]]:
        address = urlsplit(self.path)
        return address.path, dict(parse_qsl(address.query, keep_blank_values=True))

    def _answer(self, request: Request) -> None:
        provider = self.provider
        call = provider.record(self.calls, request, self.command)
        out = wire.Wire(self, provider.stopping)
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        entry = provider.script.take(request) if self.faults else None
        if entry is None:
            answer = provider.replies.genuine(request, zipped=zipped)
            if request.headers.get("if-none-match") == answer.headers.get("etag", ""):
                answer = Outgoing(304, {"etag": answer.headers["etag"]}, b"")
            call.status = answer.status
            return out.send(answer.status, answer.headers, answer.body)
        call.fault = entry.fault.value
        on_wire = entry.fault in wire.FAULTS
        answer = Outgoing.of(provider.replies.faulty(entry, request), zipped=zipped and not on_wire)
        if on_wire:
            return out.misbehave(entry.fault, entry.options, answer.status, answer.headers, answer.body)
        call.status = answer.status
        out.send(answer.status, answer.headers, answer.body)

    def _control(self, path: str, params: Mapping[str, str]) -> None:
        length = self.headers.get("content-length", "0")
        body = self.rfile.read(int(length) if length.isdigit() else 0)
        local = self.client_address[0] in ("127.0.0.1", "::1")
        reply = control.respond(self.provider, self.command, path, params, body, local=local)
        answer = Outgoing.of(reply, zipped=False)
        wire.Wire(self, self.provider.stopping).send(answer.status, answer.headers, answer.body)
