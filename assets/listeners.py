"""Everybody who listens to /stream in this process: one thread with an event loop carries them all.

A listener costs a connection and some memory, no thread and nothing in PostgreSQL: one connection reads what changed,
and everybody is told the same bytes. Who takes nothing for a while is cut off, and goes on from the id that it heard
last. While nobody listens, nothing is read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg2
from django.db import DatabaseError, connection

from assets.changes import Change, Changes, Position

log = logging.getLogger(__name__)

#: Listeners of one process: their handles stay below 1024, beyond which some calls of the system can't go.
MOST = 800
#: Seconds without news after which a listener is told that the line is alive.
HEARTBEAT = 15.0
#: Seconds between two looks at what changed, when nobody tells, and while others still write.
QUIET, BUSY = 5.0, 0.25
#: Seconds in one wait: as long as the end of the process may be held up by it.
TICK = 1.0
#: Seconds after which it is asked again whether those who listen still may.
ASKED_AGAIN = 15.0
#: Bytes that may wait for a listener, and seconds that it has to take them.
BEHIND, PATIENCE = 256 * 1024, 2.0
RETRY = 2.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a listener asked for."""

    after: Position | None = None
    sources: frozenset[str] = frozenset()
    assets: frozenset[str] = frozenset()
    key: Any = None
    """What the caller came with; its `is_valid()` is asked again and again."""

    def wants(self, change: Change) -> bool:
        return (not self.sources or change.source in self.sources) and (
            not self.assets or change.asset_id in self.assets
        )


class Listener(asyncio.Protocol):
    """A client's connection, its headers sent."""

    transport: asyncio.Transport

    def __init__(self, all_of_them: Listeners, wish: Wish, chunked: bool) -> None:
        self.all, self.wish, self.chunked = all_of_them, wish, chunked
        self.heard_at = time.monotonic()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.all.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.all.left(self)

    def tell(self, text: bytes) -> None:
        self.heard_at = time.monotonic()
        self.transport.write(b"%x\r\n%b\r\n" % (len(text), text) if self.chunked else text)

    @property
    def behind(self) -> bool:
        return self.transport.get_write_buffer_size() > BEHIND


class Listeners:
    def __init__(self) -> None:
        self.present: set[Listener] = set()
        self.joining: list[Listener] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()
        self._feeding: asyncio.Task[None] | None = None
        self._changes: Changes | None = None
        #: Those who are present have heard of everything before it.
        self._position: Position | None = None
        #: The one thread in which PostgreSQL is waited for.
        self._asking = ThreadPoolExecutor(1, "stream")

    def __len__(self) -> int:
        return len(self.present) + len(self.joining)

    def add(self, line: socket.socket, wish: Wish, chunked: bool) -> None:
        """From any thread: the connection is ours, and closed when its listener has gone."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="listeners", daemon=True).start()
        loop = self._loop
        line.setblocking(False)

        def accept() -> None:
            self._accepting = loop.create_task(
                loop.connect_accepted_socket(lambda: Listener(self, wish, chunked), line)
            )

        loop.call_soon_threadsafe(accept)

    def joined(self, listener: Listener) -> None:
        self.joining.append(listener)
        if self._feeding is None or self._feeding.done():
            assert self._loop is not None
            self._feeding = self._loop.create_task(self._feed())
        elif self._changes is not None:
            self._changes.wake()

    def left(self, listener: Listener) -> None:
        self.present.discard(listener)
        if listener in self.joining:
            self.joining.remove(listener)

    # ------------------------------------------------------------------------------------------------------- feeding

    async def _ask(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._asking, call, *arguments)

    async def _feed(self) -> None:
        """As long as somebody listens."""
        self._position = None
        while self.present or self.joining:
            try:
                self._changes = await self._ask(Changes)
                await self._follow(self._changes)
            except (psycopg2.Error, DatabaseError) as error:
                log.warning("the stream lost PostgreSQL", extra={"error": str(error).strip()})
                self._keep_alive()
                await asyncio.sleep(RETRY)
            except Exception:
                log.exception("the stream stumbled")
                await asyncio.sleep(RETRY)
            finally:
                if self._changes is not None:
                    await self._ask(self._changes.close)
                    self._changes = None

    async def _follow(self, changes: Changes) -> None:
        """Everybody hears what changes, until nobody listens."""
        looked_at, settled, asked_at = -QUIET, True, time.monotonic()
        while self.present or self.joining:
            news = bool(self.joining) or await self._ask(changes.wait, TICK if settled else BUSY)
            if news or not settled or time.monotonic() - looked_at > QUIET:
                looked_at = time.monotonic()
                now, settled = await self._ask(changes.position)
                await self._catch_up(changes, self._position, now, list(self.present))
                await self._welcome(changes, now)
                self._position = now
            self._keep_alive()
            if time.monotonic() - asked_at > ASKED_AGAIN:
                asked_at = time.monotonic()
                await self._part()

    async def _part(self) -> None:
        """Whoever listens by a key that was revoked, or has expired, hears no more."""
        keys = {one.wish.key for one in self.present} - {None}
        valid = await self._ask(still_valid, keys) if keys else set()
        for listener in [one for one in self.present if one.wish.key in keys - valid]:
            listener.transport.close()

    async def _catch_up(self, changes: Changes, after: Position | None, now: Position, who: list[Listener]) -> None:
        """These are told what happened since then; who knows of no time has missed nothing."""
        if after is None or not who:
            return
        if after.leads_to(now):
            await self._tell(changes, after, now, who)
        else:
            self._tell_all(who, b'event: reset\ndata: {"reason":"What you missed is not kept: read /data."}\n\n')

    async def _welcome(self, changes: Changes, now: Position) -> None:
        """Who has come is told what it missed, and is one of the others."""
        groups: dict[Position | None, list[Listener]] = defaultdict(list)
        for listener in self.joining:
            groups[listener.wish.after].append(listener)
        for after, group in groups.items():
            await self._catch_up(changes, after, now, group)
            self._tell_all(group, b"id: %b\n\n" % str(now).encode())
        came = [listener for group in groups.values() for listener in group]
        # Some of them may have left meanwhile, and others come.
        self.present.update(listener for listener in came if listener in self.joining)
        self.joining = [listener for listener in self.joining if listener not in came]

    async def _tell(self, changes: Changes, after: Position, until: Position, to: list[Listener]) -> None:
        """These hear of every quote that changed between the two."""
        last: tuple[str, int] | None = None
        told: dict[Listener, int] = defaultdict(int)
        while True:
            found, last = await self._ask(changes.between, after, until, last)
            everything = b"".join(map(event, found))
            for listener in to:
                is_picky = listener.wish.sources or listener.wish.assets
                wanted = [one for one in found if listener.wish.wants(one)] if is_picky else found
                if wanted:
                    told[listener] += len(wanted)
                    self._tell_all([listener], b"".join(map(event, wanted)) if is_picky else everything)
            if len(found) == 0:
                break
            await self._drained(to)
        for listener, count in told.items():
            end = b'event: batch\nid: %b\ndata: {"quotes":%d}\n\n' % (str(until).encode(), count)
            self._tell_all([listener], end)

    async def _drained(self, listeners: Iterable[Listener]) -> None:
        """Who takes nothing is cut off, so that the others need not wait for it again."""
        deadline = time.monotonic() + PATIENCE
        while (slow := [one for one in listeners if one.behind]) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for listener in slow:
            listener.transport.abort()

    def _tell_all(self, listeners: Iterable[Listener], text: bytes) -> None:
        for listener in listeners:
            if not listener.transport.is_closing():
                listener.tell(text)

    def _keep_alive(self) -> None:
        """A word to those who have heard nothing for a while. Its id spares them a search, should they come back."""
        text = b": heartbeat\n" + (b"id: %b\n" % str(self._position).encode() if self._position else b"") + b"\n"
        late = time.monotonic() - HEARTBEAT
        self._tell_all([one for one in self.present if one.heard_at < late], text)


def still_valid(keys: Iterable[Any]) -> set[Any]:
    """Those of the keys that are. Over a connection that is not kept: hardly ever is there anything to ask."""
    try:
        return {key for key in keys if key.is_valid()}
    finally:
        connection.close()


def event(change: Change) -> bytes:
    """JSON holds no line break, so it is one line."""
    return b"event: quote\ndata: %b\n\n" % change.text.encode()


LISTENERS = Listeners()
