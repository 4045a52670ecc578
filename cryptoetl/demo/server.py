"""The providers' server, for the demo, the tests and the bench: real HTTP on a port of its own, and faults on demand.

    with ProviderServer() as provider:
        provider.fail("coingecko", Fault.RATE_LIMITED_SECONDS, seconds=2, match={"page": 2})
        ...  # provider.url("coingecko"), provider.calls, provider.change_prices()

Everything can also be done over HTTP from the same machine (control.py), for tests that start it as a process.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from cryptoetl.demo import damage, exchange
from cryptoetl.demo.coins import Coin, bundled_coins, make_coin
from cryptoetl.demo.faults import Entry, Fault, Script
from cryptoetl.demo.generated import generated_coins
from cryptoetl.demo.handler import Handler
from cryptoetl.demo.listener import Listener
from cryptoetl.demo.market import SOURCES, Market
from cryptoetl.demo.message import Request
from cryptoetl.demo.replies import PREFIXES, Replies

#: How many calls a live server remembers; a test's remembers all.
KEPT_CALLS = 10_000


@dataclass(slots=True)
class Call:
    """One request as it came in."""

    at: float
    """Unix time of its arrival."""
    source: str
    method: str
    path: str
    """Without the query."""
    params: Mapping[str, str]
    headers: Mapping[str, str]
    """Lower case."""
    fault: str | None = None
    status: int | None = None
    """What was answered; None while it is, or if nothing was."""


class ProviderServer:
    """CoinGecko, CoinPaprika and a CSV exchange over one market. Starts with `with`, or with start() and stop()."""

    def __init__(
        self,
        coins: Iterable[Coin] | None = None,
        *,
        generated: int = 0,
        seed: int = 1,
        interval: float = 60.0,
        live: bool = False,
        started_at: datetime | None = None,
        stale_by: timedelta = timedelta(hours=5),
        delist_after: timedelta | None = None,
        keys: Mapping[str, str] | None = None,
        coinpaprika_plan: str = "free",
        coinpaprika_assets: int = 2_000,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """`generated` makes so many coins up in place of the bundled ones; `keys` are asked for where given."""
        chosen: Iterable[Any] = generated_coins(generated) if generated else bundled_coins() if coins is None else coins
        self.market = Market(
            chosen,
            seed=seed,
            interval=interval,
            live=live,
            started_at=started_at,
            stale_by=stale_by,
            delist_after=delist_after,
        )
        self.keys = dict(keys or {})
        self.coinpaprika_plan = coinpaprika_plan
        self.coinpaprika_assets = coinpaprika_assets
        self.script = Script()
        self.stopping = threading.Event()
        self._host, self._port = host, port
        self._listener: Listener | None = None
        self._elsewhere: Listener | None = None
        self._arrived = threading.Condition()
        # A demo runs for weeks, and nobody reads its first calls.
        self._calls: deque[Call] = deque(maxlen=KEPT_CALLS if live else None)
        self._elsewhere_calls: deque[Call] = deque(maxlen=KEPT_CALLS if live else None)
        self.made: Counter[str] = Counter()
        self._starting = threading.Lock()
        self.replies = Replies(self)

    # Its life.

    def __enter__(self) -> ProviderServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Answers from now on. OSError if the port is taken."""
        self.stopping.clear()
        self._listener = Listener(self._host, self._port, self._handle)
        self._port = self._listener.port
        self._listener.start()

    def stop(self) -> None:
        """The port is free, and no thread is left. start() opens the same port again: a provider that was down."""
        self.stopping.set()
        for listener in (self._listener, self._elsewhere):
            if listener is not None:
                listener.stop()
        self._listener = self._elsewhere = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        return f"http://{self._host}:{self._port}"

    def url(self, source: str) -> str:
        """The base address of a source; of the CSV, the file's."""
        return self.address + PREFIXES[source] + (exchange.PATH if source == "csv" else "")

    # What it has seen.

    @property
    def calls(self) -> list[Call]:
        """Every call of a source so far, in order of arrival."""
        return list(self._calls)

    @property
    def elsewhere_calls(self) -> list[Call]:
        """What came to the other host that REDIRECT_ELSEWHERE sends to."""
        return list(self._elsewhere_calls)

    def calls_of(self, source: str) -> list[Call]:
        return [call for call in self.calls if call.source == source]

    def forget_calls(self) -> None:
        with self._arrived:
            self._calls.clear()
            self._elsewhere_calls.clear()

    def wait_for_calls(self, count: int, source: str = "", timeout: float = 30.0) -> list[Call]:
        """Returns as soon as so many calls have come (to the source). TimeoutError if they don't."""

        def seen() -> list[Call]:
            return [call for call in self.calls if source in ("", call.source)]

        with self._arrived:
            if not self._arrived.wait_for(lambda: len(seen()) >= count, timeout):
                raise TimeoutError(f"{len(seen())} of {count} calls came within {timeout} s")
            return seen()

    # What it is told.

    def fail(
        self,
        source: str,
        fault: Fault | str,
        times: int | None = 1,
        *,
        match: Mapping[str, object] | None = None,
        path: str = "",
        after: int = 0,
        **options: Any,
    ) -> None:
        """The next matching calls meet the fault; faults are used up in the order in which they were told."""
        fault = Fault(fault)
        if source not in SOURCES:
            raise ValueError(f"there is no source {source!r}; there are {', '.join(SOURCES)}")
        if source == "csv" and fault in damage.FAULTS and fault not in damage.ON_CSV:
            raise ValueError(f"{fault} needs a JSON item, a CSV has none")
        wanted = {name: str(value) for name, value in (match or {}).items()}
        self.script.add(Entry(source, fault, times, after, path, wanted, options))

    def heal(self, source: str = "") -> None:
        """Whatever is still to come is forgotten."""
        self.script.heal(source)

    def change_prices(self, ids: Iterable[str] | None = None, *, share: float = 1.0) -> None:
        self.market.change_prices(ids, share=share)

    def set_price(self, name: str, price: Decimal | None, *, source: str = "") -> None:
        self.market.set_price(name, price, source=source)

    def remove(self, name: str, *, source: str = "") -> None:
        self.market.remove(name, source=source)

    def add(self, coin: Coin | str, **facts: Any) -> Coin:
        """A coin, or the facts of one: `provider.add("new-coin", symbol="NEW", price="1.5")`."""
        return self.market.add(make_coin(coin, **facts) if isinstance(coin, str) else coin)

    @property
    def coins_count(self) -> int:
        return len(self.market.coins())

    def warm(self, per_page: int = 250, **params: str) -> int:
        """Makes every CoinGecko page as a caller with gzip would ask for it; returns how many there are."""
        pages = -(-len(self.market.ranked("coingecko")) // per_page)
        for page in range(1, pages + 1):
            asked = {"vs_currency": "usd", **params, "per_page": str(per_page), "page": str(page)}
            self.replies.genuine(
                Request("coingecko", "/coins/markets", asked, {"accept-encoding": "gzip"}), zipped=True
            )
        return pages

    # What the handler asks.

    def record(self, calls: deque[Call], request: Request, method: str) -> Call:
        path = PREFIXES[request.source] + request.path
        call = Call(time.time(), request.source, method, path, request.params, request.headers)
        with self._arrived:
            calls.append(call)
            self.made[request.source] += 1
            self._arrived.notify_all()
        return call

    def _handle(self, connection: socket.socket, address: tuple[str, int]) -> None:
        Handler(connection, address, self, self._calls)

    def _handle_elsewhere(self, connection: socket.socket, address: tuple[str, int]) -> None:
        Handler(connection, address, self, self._elsewhere_calls, faults=False)

    def other_host(self) -> str:
        """Another host as far as HTTP knows: another name, another port. It answers as the real one would."""
        with self._starting:
            if self._elsewhere is None:
                self._elsewhere = Listener(self._host, 0, self._handle_elsewhere)
                self._elsewhere.start()
            return f"http://localhost:{self._elsewhere.port}"
