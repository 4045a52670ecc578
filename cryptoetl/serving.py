"""How gunicorn serves the web, wherever it is started: `gunicorn --config python:cryptoetl.serving cryptoetl.wsgi`.

A setting that can't be used ends the start here: read by its workers alone, gunicorn would start these for ever. Its
worker is gunicorn's own with threads, and three things more: what can't be parsed is answered in the shape of all
errors; a client that goes silent in the middle of its request gives the thread back; and a listener of /stream leaves
its thread behind, with its connection in the hands of `assets.listeners`.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
import sys
import uuid
from contextlib import suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.http.errors import InvalidRequestLine, LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.util import close_graceful, write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from ingestion import logs

worker_class = "cryptoetl.serving.Worker"
logger_class = "cryptoetl.serving.Logger"
workers = 2
threads = 8
keepalive = 75
timeout = 60
graceful_timeout = 25
# It would be made in the home of whoever starts it.
control_socket_disable = True
#: Bytes: every address that has a meaning is shorter, and so is every header that a browser sends.
limit_request_line = 8190
limit_request_field_size = 8190
limit_request_fields = 100

#: Seconds that a client may be silent inside its request, and may take nothing of its answer.
SILENT_FOR, STUCK_FOR = 10, 60
#: Seconds that a client has to close its side of a connection that is over.
LINGER = 0.5


class Logger(GunicornLogger):
    """gunicorn's own words, in the form of all others. The first thing that it makes."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        try:
            from cryptoetl.settings import LOGGING
        except ImproperlyConfigured as error:
            sys.exit(f"cryptoetl: {error}")
        logs.configure(LOGGING)
        if cfg.errorlog == "-":
            self.error_log.handlers.clear()
            self.error_log.setLevel(max(self.loglevel, LOGGING["level"]))
            self.error_log.propagate = True


class Line(socket.socket):
    """A client's connection. One that says nothing for too long has gone, which gunicorn takes for no fault of ours."""

    def recv(self, *arguments: Any) -> bytes:
        try:
            return super().recv(*arguments)
        except BlockingIOError:
            raise BrokenPipeError(errno.EPIPE, "the client fell silent") from None


class Worker(ThreadWorker):
    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, Line):
            conn.sock = Line(fileno=conn.sock.detach())
        with suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SILENT_FOR, 0))
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", STUCK_FOR, 0))
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        result = super().handle(conn)
        if result is False:
            # Here, and not for two seconds in the one thread that everybody waits for.
            close_graceful(conn.sock, timeout=LINGER)
        return result

    def handle_request(self, req: Any, conn: Any) -> bool:
        try:
            return bool(super().handle_request(req, conn))
        except BlockingIOError:
            # The time in which it may take nothing is over.
            raise BrokenPipeError(errno.EPIPE, "the client has gone") from None
        except BrokenPipeError as error:
            take = getattr(error, "take", None)
            if take is None:
                raise
            # gunicorn closes what it has, which is nothing any more.
            take(socket.socket(fileno=conn.sock.detach()))
            return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """What never reached Django, or came out of it as an exception: said as everything else is."""
        request_id = uuid.uuid4().hex
        error: dict[str, Any] = {"code": "bad_request", "message": "The request can't be read."}
        status = "400 Bad Request"
        if isinstance(exc, LimitRequestLine):
            error["fields"] = {"address": f"must have at most {self.cfg.limit_request_line} bytes"}
        elif isinstance(exc, LimitRequestHeaders):
            error["fields"] = {"headers": f"must be at most {self.cfg.limit_request_fields}, of at most"}
            error["fields"]["headers"] += f" {self.cfg.limit_request_field_size} bytes each"
        elif isinstance(exc, InvalidRequestLine) and not str(exc.req).isascii():
            error["fields"] = {"address": "must be percent-encoded: it holds more than ASCII"}
        elif not isinstance(exc, ParseException):
            self.log.error("a fault of ours, request_id=%s", request_id, exc_info=exc)
            status = "500 Internal Server Error"
            error = {
                "code": "internal",
                "message": "A fault of cryptoetl itself; the log has it by this request_id.",
            }
        if fields := error.get("fields"):
            what = "; ".join(f"{name} {reason}" for name, reason in fields.items())
            error |= {"code": "invalid", "message": f"The request can't be answered: {what}."}
        body = json.dumps({"request_id": request_id, "error": error})
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        )
        with suppress(OSError):
            write_nonblock(client, (head + body).encode())
