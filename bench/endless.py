"""Ingestion without a pause: `python -m bench.endless PROVIDER` changes all prices and takes them in, for ever."""

from __future__ import annotations

import sys
from itertools import count

import django


def main(address: str) -> None:
    django.setup()
    from django.conf import settings

    from bench.providing import Provider
    from bench.running import run_once

    source = Provider(address, settings.COINGECKO_COINS)
    for number in count():
        if number == 1:
            print("one is over", flush=True)
        source.change_prices()
        run_once()


if __name__ == "__main__":
    main(*sys.argv[1:])
