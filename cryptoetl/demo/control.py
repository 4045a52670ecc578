"""The providers' server told over HTTP what to do, for tests and people outside its process. From this machine only.

GET  /                    what is served here
GET  /_calls              every call so far  (?source=coingecko&since=UNIX_TIME; DELETE forgets them)
GET  /_faults             what is still to come  (DELETE heals)
POST /_faults             {"source": "coingecko", "fault": "rate_limited_seconds", "times": 1, "after": 0,
                           "path": "", "match": {"page": 2}, "options": {"seconds": 2}}
GET  /_market             ticks gone, coins listed
POST /_market             {"change_prices": true}, {"change_prices": ["bitcoin"]}, {"change_prices": 0.1},
                          {"set_price": {"bitcoin": "1.5"}}, {"remove": ["bitcoin"]},
                          {"add": [{"coingecko_id": "new-coin", "symbol": "NEW", "price": "1.5"}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from cryptoetl.demo.faults import Fault
from cryptoetl.demo.market import SOURCES
from cryptoetl.demo.message import Reply

if TYPE_CHECKING:
    from cryptoetl.demo.server import ProviderServer


def respond(
    provider: ProviderServer, method: str, path: str, params: Mapping[str, str], body: bytes, *, local: bool
) -> Reply:
    if path == "/":
        return _json({"demo": True, "about": "made-up market data", **{name: provider.url(name) for name in SOURCES}})
    if not local:
        return _json({"error": "only from this machine"}, 403)
    handle = {"/_calls": _calls, "/_faults": _faults, "/_market": _market}.get(path)
    if handle is None:
        return _json({"error": "nothing is served here"}, 404)
    try:
        return _json(handle(provider, method, params, json.loads(body) if body else {}))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        return _json({"error": str(error)}, 400)


def _calls(provider: ProviderServer, method: str, params: Mapping[str, str], _: Any) -> object:
    if method == "DELETE":
        provider.forget_calls()
    since = float(params.get("since", 0))
    calls = provider.calls_of(params["source"]) if "source" in params else provider.calls
    return [asdict(call) for call in calls if call.at >= since]


def _faults(provider: ProviderServer, method: str, params: Mapping[str, str], told: Any) -> object:
    if method == "DELETE":
        provider.heal(params.get("source", ""))
    if method == "POST":
        provider.fail(
            told["source"],
            Fault(told["fault"]),
            told.get("times", 1),
            match=told.get("match"),
            path=told.get("path", ""),
            after=int(told.get("after", 0)),
            **told.get("options", {}),
        )
    return [asdict(entry) for entry in provider.script.pending(params.get("source", ""))]


def _market(provider: ProviderServer, method: str, _: Mapping[str, str], told: Any) -> object:
    if method == "POST":
        change = told.get("change_prices")
        if isinstance(change, list):
            provider.change_prices(change)
        elif change:
            provider.change_prices(share=float(change))
        for name, price in told.get("set_price", {}).items():
            provider.set_price(name, None if price is None else Decimal(price))
        for name in told.get("remove", []):
            provider.remove(name)
        for facts in told.get("add", []):
            provider.add(facts.pop("coingecko_id"), **facts)
    listed = {source: len(provider.market.ranked(source)) for source in SOURCES}
    return {"tick": provider.market.tick, "coins": provider.coins_count, "listed": listed}


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value), headers={"cache-control": "no-store"})
