"""A CSV that an exchange might publish: about 135 coins by symbol and name, one line each, new on every tick.

It has no ids, so that whoever reads it has to find out which coin is meant; three lines say PEPE.
"""

from __future__ import annotations

import csv
import io
from email.utils import format_datetime

from cryptoetl.demo import numbers
from cryptoetl.demo.market import Market
from cryptoetl.demo.message import Reply, Request

PREFIX = "/csv"
PATH = "/exchange.csv"
HEADER = (
    "symbol",
    "name",
    "price_usd",
    "market_cap_usd",
    "volume_24h_usd",
    "percent_change_24h",
    "rank",
    "observed_at",
)


def respond(request: Request, market: Market) -> Reply:
    if request.path != PATH:
        return Reply(404, "not found\n", "text/plain; charset=utf-8")
    ranked = market.ranked("csv")
    newest = max((market.observed_at(coin, "csv") for coin, _ in ranked), default=market.started_at)
    lines = [_line(HEADER)]
    for coin, rank in ranked[max(0, request.shift) :]:
        cap = market.market_cap(coin, "csv")
        volume = market.volume_24h(coin)
        lines.append(
            _line(
                (
                    coin.symbol.upper(),
                    coin.name,
                    numbers.plain(market.price(coin, "csv")),
                    "" if cap is None else numbers.plain(cap),
                    numbers.plain(volume),
                    f"{market.percent_change(coin, 86_400, 'csv'):.2f}",
                    rank,
                    market.observed_at(coin, "csv").strftime("%Y-%m-%dT%H:%M:%SZ"),
                )
            )
        )
    modified = format_datetime(newest.replace(microsecond=0), usegmt=True)
    return Reply(
        items=lines, content_type="text/csv; charset=utf-8", headers={"last-modified": modified, "server": "nginx"}
    )


def _line(cells: tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
