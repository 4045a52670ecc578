"""A provider in a process of its own, and settings that lead to it: its work is none of what is measured."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

PER_PAGE = 250


class Provider:
    def __init__(self, address: str, coins: int) -> None:
        self.address, self.coins = address, coins

    def url(self, source: str) -> str:
        return f"{self.address}/coingecko/api/v3" if source == "coingecko" else f"{self.address}/coinpaprika/v1"

    def settings(self) -> dict[str, str | int]:
        """That lead to it, without limits."""
        return {
            "COINGECKO_BASE_URL": self.url("coingecko"),
            "COINPAPRIKA_BASE_URL": self.url("coinpaprika"),
            "COINGECKO_COINS": self.coins,
            "ETL_RATE_LIMIT_REQUESTS": 1_000_000,
            "COINGECKO_MONTHLY_CALLS": 10**9,
            "COINPAPRIKA_MONTHLY_CALLS": 10**9,
        }

    def environment(self) -> dict[str, str]:
        """Of a process that calls it."""
        return {**os.environ, **{name: str(value) for name, value in self.settings().items()}}

    def change_prices(self) -> None:
        request = urllib.request.Request(f"{self.address}/_market", data=b'{"change_prices": true}', method="POST")
        urllib.request.urlopen(request).read()

    def warm(self) -> None:
        """Its answers are made before the clock runs."""
        for page in self.pages():
            urllib.request.urlopen(urllib.request.Request(page, headers={"accept-encoding": "gzip"})).read()

    def pages(self) -> list[str]:
        return [
            f"{self.url('coingecko')}/coins/markets?vs_currency=usd&order=market_cap_desc&per_page={PER_PAGE}&page={page}"
            "&precision=full"
            for page in range(1, -(-self.coins // PER_PAGE) + 1)
        ]


@contextmanager
def provider(coins: int) -> Iterator[Provider]:
    """So many made-up coins, and settings without limits that lead to them."""
    command = [sys.executable, "-m", "cryptoetl.demo", "serve", "--still", "--port", "0"]
    command += ["--generated", str(coins), "--coinpaprika-plan", "pro"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[1].split("/coingecko")[0]
            made = Provider(address, coins)
            for name, value in made.settings().items():
                setattr(settings, name, value)
            yield made
        finally:
            process.kill()
