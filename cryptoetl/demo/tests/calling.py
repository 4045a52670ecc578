"""A caller without a library in between: what came over the wire, as it came."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptoetl.demo import ProviderServer


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(
    provider: ProviderServer,
    source: str,
    path: str = "",
    params: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 10.0,
) -> Answer:
    """One GET below the source's address, on a connection of its own."""
    address = urlsplit(provider.url(source) + path)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
    try:
        query = f"?{urlencode(params)}" if params else ""
        connection.request("GET", address.path + query, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def markets(provider: ProviderServer, page: int = 1, per_page: int = 250, **params: Any) -> Answer:
    return get(
        provider, "coingecko", "/coins/markets", {"vs_currency": "usd", "per_page": per_page, "page": page, **params}
    )


def tickers(provider: ProviderServer, **params: Any) -> Answer:
    return get(provider, "coinpaprika", "/tickers", params)
