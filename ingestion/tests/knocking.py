"""Processes that want to call CoinGecko again and again: `python knocking.py TIMES WINDOW_SECONDS CLOCK...`.

One for each file of a clock (other_clock.py), and each knocks so many times. They go through the very door that a run
goes through, with a shorter window than a minute where they are told one. What became of the knocks is counted in
Redis, under the id of each process.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from datetime import timedelta


def main(times: int, window: float, clocks: list[str]) -> int:
    import django

    django.setup()
    children = []
    for clock in clocks:
        child = os.fork()
        if child == 0:
            os.environ["CLOCK"] = clock
            knock(times, window)
            os._exit(0)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def knock(times: int, window: float) -> None:
    from django.conf import settings

    from assets.models import Source
    from ingestion import broker, gate
    from ingestion.errors import Unavailable
    from ingestion.registry import configured

    gate.WINDOW = timedelta(seconds=window)
    row = Source.objects.get(slug="coingecko")
    http = configured("coingecko").http(row)
    became: Counter[str] = Counter()
    with broker.redis_client(settings.REDIS_URL) as client:
        name = f"knocks:{os.getpid()}"
        for number in range(times):
            try:
                http.get("/ping")
                became["called"] += 1
            except Unavailable as refusal:
                became[type(refusal).__name__] += 1
            if number % 10 == 0 or number == times - 1:
                client.hset(name, mapping=became)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
