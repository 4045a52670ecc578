"""CoinPaprika, GET /tickers/{id}/historical: what it says of a coin's past. Docs as in `coinpaprika`.

A list of {timestamp, price, volume_24h, market_cap}, at most 5,000 a call; 0 means unknown. The free plan has a point a
day for the last year, and one an hour for the last day. Of paid plans the largest is taken, for a key does not say
which it is: what a smaller one has not, it refuses itself (402).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import msgspec

from ingestion.errors import Malformed
from ingestion.source import Http, HttpResponse, Past, PastPoint
from ingestion.sources.json_items import ABSENT, not_negative, present, raw_items, time

AT_MOST = 5_000


class Tick(msgspec.Struct):
    timestamp: msgspec.Raw = ABSENT
    price: msgspec.Raw = ABSENT
    volume_24h: msgspec.Raw = ABSENT
    market_cap: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(Tick).decode


def ask(http: Http, coin: str, interval: str, begin: datetime, end: datetime) -> HttpResponse:
    return http.get(
        f"/tickers/{quote(coin, safe='')}/historical",
        {"start": iso(begin), "end": iso(end), "interval": interval, "limit": AT_MOST, "quote": "usd"},
    )


def iso(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse(body: bytes, received_at: datetime) -> list[PastPoint]:
    """Pure. Raises Malformed with the field's name."""
    points = []
    for raw in raw_items(body):
        try:
            tick = _decode(raw)
        except (msgspec.DecodeError, UnicodeError):
            raise Malformed(f"The record is no object: {bytes(raw)[:80].decode(errors='replace')}") from None
        at = time(tick.timestamp, "timestamp", received_at)
        price = not_negative(present(tick.price, "price"), "price", zero_is_unknown=True)
        if price is not None:
            cap = not_negative(tick.market_cap, "market_cap", zero_is_unknown=True)
            points.append(PastPoint(at, price, cap, not_negative(tick.volume_24h, "volume_24h", zero_is_unknown=True)))
    return points


PAST = Past(
    reach={
        "free": {"1h": timedelta(days=1), "1d": timedelta(days=365)},
        "paid": {"1h": timedelta(days=90), "1d": None},
    },
    longest={"1h": timedelta(hours=AT_MOST), "1d": timedelta(days=AT_MOST)},
    ask=ask,
    parse=parse,
)
