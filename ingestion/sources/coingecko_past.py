"""CoinGecko, GET /coins/{id}/market_chart/range: what it says of a coin's past. Docs as in `coingecko`.

Three lists of [milliseconds, value]: prices, market caps, volumes. The length of the call decides how close the points
lie: 5 minutes for the last day, an hour up to 90 days, else a day at 00:00 UTC, or as `interval=daily` asks. Keyless
and demo calls reach back 365 days (error 10012 beyond). A market cap of 0 means unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

import msgspec

from ingestion.errors import Malformed
from ingestion.source import Http, HttpResponse, Past, PastPoint
from ingestion.sources.json_items import not_negative, number, sane_time

Pairs = list[tuple[msgspec.Raw, msgspec.Raw]]
YEAR = timedelta(days=365)


class Chart(msgspec.Struct):
    prices: Pairs
    market_caps: Pairs = []
    total_volumes: Pairs = []


_decode = msgspec.json.Decoder(Chart).decode


def ask(http: Http, coin: str, interval: str, begin: datetime, end: datetime) -> HttpResponse:
    daily = {"interval": "daily"} if interval == "1d" else {}
    return http.get(
        f"/coins/{quote(coin, safe='')}/market_chart/range",
        {
            "vs_currency": "usd",
            "from": int(begin.timestamp()),
            "to": int(end.timestamp()),
            "precision": "full",
            **daily,
        },
    )


def parse(body: bytes, received_at: datetime) -> list[PastPoint]:
    """Pure. Raises Malformed with the field's name."""
    try:
        chart = _decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"The body is no chart of prices ({error}): {body[:80].decode(errors='replace')}") from None
    caps = figures(chart.market_caps, "market_caps", zero_is_unknown=True)
    volumes = figures(chart.total_volumes, "total_volumes")
    points = []
    for moment, price in figures(chart.prices, "prices").items():
        if price is not None:
            at = sane_time(datetime.fromtimestamp(moment / 1000, UTC), "prices", received_at)
            points.append(PastPoint(at, price, caps.get(moment), volumes.get(moment)))
    return points


def figures(pairs: Sequence[tuple[msgspec.Raw, msgspec.Raw]], field: str, **how: bool) -> dict[int, Decimal | None]:
    """The values by their times, in milliseconds."""
    found = {}
    for place, (moment, value) in enumerate(pairs):
        at = number(moment, f"{field}[{place}]")
        if at is None or at != int(at) or not 0 <= at < 10**14:
            raise Malformed(f"{field}[{place}] has no time in milliseconds.", field)
        found[int(at)] = not_negative(value, f"{field}[{place}]", **how)
    return found


PAST = Past(
    reach={
        "public": {"1h": YEAR, "1d": YEAR},
        "demo": {"1h": YEAR, "1d": YEAR},
        "pro": {"1h": None, "1d": None},
    },
    longest={"1h": timedelta(days=90), "1d": YEAR},
    ask=ask,
    parse=parse,
)
