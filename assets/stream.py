"""/stream: quotes as they change, as server-sent events. The listener's thread is given back once it listens."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request

from assets.changes import Position
from assets.errors import Invalid, Unserved
from assets.examples import STREAM
from assets.listeners import LISTENERS, MOST, Wish
from assets.parameters import Parameter, text
from assets.reading import Reading
from assets.renderers import CSVRenderer
from assets.tables import source_slug

LAST_EVENT_ID = "Last-Event-ID"
#: How soon a browser comes back after its connection broke, in milliseconds.
BEGIN = b"retry: 3000\n\n"


class EventStreamRenderer(CSVRenderer):
    media_type = "text/event-stream"
    format = "sse"


class HandedOver(BrokenPipeError):
    """gunicorn's worker has no more to do with the connection: `take` is called with it (`cryptoetl.serving`)."""

    def __init__(self, take: Callable[[socket.socket], None]) -> None:
        super().__init__(errno.EPIPE, "the connection is somebody else's now")
        self.take = take


class Stream(Reading):
    """Every quote that changes, as `event: quote` with a row as `/data` shows it, within a second of its commit.

    A batch of changes ends with `event: batch`, which carries an id: sent back as `Last-Event-ID`, as browsers do by
    themselves, the stream goes on there, for up to an hour; after that it says `event: reset`. A batch that broke off
    comes again as a whole. A quiet line carries a comment every 15 seconds.
    """

    tag = "data"
    summary = "Quotes as they change"
    renderer_classes = (EventStreamRenderer,)
    errors_in_json = True
    example_type = EventStreamRenderer.media_type
    examples: ClassVar = {"A batch of one": STREAM}
    header_parameters: ClassVar = {LAST_EVENT_ID: ("The id that was heard last.", str)}
    parameters: tuple[Parameter, ...] = (
        text("source", "Only quotes of these sources, separated by commas.", example="coingecko"),
        text("asset_id", "Only quotes of these assets, separated by commas.", example="bitcoin,ethereum"),
        text("after", "As the header `Last-Event-ID`, for who can't send one."),
    )
    answers = ((200, OpenApiTypes.STR, "Server-sent events, without end."),)

    def get(self, request: Request) -> HttpResponseBase:
        asked = self.asked(request)
        last = request.META.get("HTTP_LAST_EVENT_ID") or None
        wish = Wish(
            position("after", asked["after"]) or position(LAST_EVENT_ID, last),
            frozenset(source_slug(name) for name in names(asked["source"])),
            frozenset(names(asked["asset_id"])),
            request.auth,
        )
        if len(LISTENERS) >= MOST:
            raise Unserved(f"{MOST} listen here already; try again when one has gone.")
        content = [] if request.method == "HEAD" else begun(request.META, wish)
        response = StreamingHttpResponse(content, content_type="text/event-stream; charset=utf-8")
        response["Cache-Control"] = "no-store"
        # Neither packed nor held back on its way.
        response["Content-Encoding"] = "identity"
        response["X-Accel-Buffering"] = "no"
        return response


def begun(meta: dict[str, Any], wish: Wish) -> Iterator[bytes]:
    """The first bytes, with which the headers go out. What follows comes from `assets.listeners`."""
    yield BEGIN
    if "gunicorn.socket" in meta:
        raise HandedOver(partial(LISTENERS.add, wish=wish, chunked=meta["SERVER_PROTOCOL"] == "HTTP/1.1"))
    # A server that lets nobody have its connections: here a thread stays and passes on.
    ours, theirs = socket.socketpair()
    with ours:
        LISTENERS.add(theirs, wish, chunked=False)
        while data := ours.recv(65536):
            yield data


def names(listed: str | None) -> list[str]:
    return [name.strip() for name in (listed or "").split(",") if name.strip()]


def position(name: str, sent: str | None) -> Position | None:
    """Raises Invalid."""
    try:
        return Position.read(sent) if sent else None
    except ValueError as error:
        raise Invalid({name: str(error)}) from None
