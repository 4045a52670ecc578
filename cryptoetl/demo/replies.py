"""What the providers' server says to a request: the genuine answer, or the one that the script wants."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import md5
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from cryptoetl.demo import coingecko, coinpaprika, damage, exchange, wire
from cryptoetl.demo.answers import answer
from cryptoetl.demo.faults import Entry, Fault
from cryptoetl.demo.message import HTML, Reply, Request

if TYPE_CHECKING:
    from cryptoetl.demo.server import ProviderServer

PREFIXES = {"coingecko": coingecko.PREFIX, "coinpaprika": coinpaprika.PREFIX, "csv": exchange.PREFIX}
#: Answers that change with every call.
_USAGE = ("/key", "/key/info")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An answer as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, reply: Reply, *, zipped: bool) -> Outgoing:
        body = reply.body()
        headers = {"content-type": reply.content_type, **reply.headers, "x-demo": "cryptoetl"}
        # CoinGecko and the CSV say when nothing is new; CoinPaprika was never seen to.
        if reply.status == 200 and reply.headers.get("cf-cache-status") != "DYNAMIC":
            headers["etag"] = f'W/"{md5(body, usedforsecurity=False).hexdigest()}"'
        if zipped and len(body) > 512:
            headers["content-encoding"] = "gzip"
            body = wire.compressed(body)
        return cls(reply.status, headers, body)


class Replies:
    """Makes an answer once for every state of the market, then sends the same bytes to all."""

    def __init__(self, provider: ProviderServer) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._cache: dict[object, Outgoing] = {}
        self._version: object = None

    def reply(self, request: Request) -> Reply:
        """What the source says to the request, faults apart."""
        key = self.provider.keys.get(request.source)
        made = self.provider.made[request.source]
        if request.source == "coingecko":
            return coingecko.respond(request, self.provider.market, coingecko.Account(key, calls_made=made))
        if request.source == "coinpaprika":
            plan, assets = self.provider.coinpaprika_plan, self.provider.coinpaprika_assets
            account = coinpaprika.Account(key, plan, assets, calls_made=made)
            return coinpaprika.respond(request, self.provider.market, account)
        return exchange.respond(request, self.provider.market)

    def genuine(self, request: Request, *, zipped: bool) -> Outgoing:
        """The same, ready to be sent; made once for every state of the market."""
        if request.path in _USAGE:
            return Outgoing.of(self.reply(request), zipped=zipped)
        secrets = tuple(request.headers.get(name) for name in (*coingecko.KEY_HEADERS, "authorization"))
        key = (request.source, request.path, tuple(sorted(request.params.items())), secrets, zipped)
        provider = self.provider
        with self._lock:
            version = (
                provider.market.version,
                provider.coinpaprika_plan,
                provider.coinpaprika_assets,
                str(provider.keys),
            )
            if version != self._version:
                self._cache.clear()
                self._version = version
            if key not in self._cache:
                self._cache[key] = Outgoing.of(self.reply(request), zipped=zipped)
            return self._cache[key]

    def faulty(self, entry: Entry, request: Request) -> Reply:
        """The reply with the fault in it, as far as that does not concern the connection."""
        if entry.fault in (Fault.REDIRECT_ELSEWHERE, Fault.REDIRECT_LOOP):
            return self._redirect(entry, request)
        if entry.fault in (Fault.SHIFT_TWICE, Fault.SHIFT_MISSED):
            count = int(entry.options.get("count", 1))
            return self.reply(replace(request, shift=-count if entry.fault is Fault.SHIFT_TWICE else count))
        reply = answer(entry.fault, request, entry.options)
        if reply is not None:
            return reply
        if entry.fault in wire.FAULTS:
            return self.reply(request)
        return damage.damaged(entry.fault, self.reply(request), entry.options)

    def _redirect(self, entry: Entry, request: Request) -> Reply:
        host = self.provider.address if entry.fault is Fault.REDIRECT_LOOP else self.provider.other_host()
        target = f"{host}{PREFIXES[request.source]}{request.path}?{urlencode(request.params)}"
        return Reply(int(entry.options.get("status", 302)), "", HTML, {"location": target})
