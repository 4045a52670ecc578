"""The past, asked for as CoinGecko and CoinPaprika are asked for it: the same walk at earlier times.

Granularity and reach are those of the free plans; what a plan forbids is refused as the providers refuse it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from cryptoetl.demo import numbers
from cryptoetl.demo.generated import AnyCoin
from cryptoetl.demo.market import Market
from cryptoetl.demo.walk import DAY

#: How far back a call without a paid plan reaches.
REACH = 365 * DAY
_SPANS = {"m": 60, "h": 3_600, "d": 86_400}


class Missing(ValueError):
    """A parameter is not there, or is no time; its name is the text."""


class TooFarBack(ValueError):
    """The plan does not reach back so far."""


class Forbidden(ValueError):
    """The plan does not have this interval."""


def chart_times(market: Market, coin: AnyCoin, params: Mapping[str, str], *, ranged: bool) -> list[float]:
    """Unix times of CoinGecko's points: every 5 minutes for a day, hourly to 90 days, else daily at midnight."""
    now = _now(market, coin)
    if ranged:
        start, end = _unix(params, "from"), min(_unix(params, "to"), now)
    else:
        text = params.get("days", "")
        if text != "max" and not _is_number(text):
            raise Missing("days")
        end = now
        start = now - (REACH if text == "max" else float(text) * DAY)
    if start < now - REACH - DAY:
        raise TooFarBack
    if params.get("interval") == "daily":
        return _steps(start, end, DAY)
    if params.get("interval") == "hourly":
        return _steps(start, end, 3_600)
    length = end - start
    return _steps(start, end, 300 if length <= DAY else 3_600 if length <= 90 * DAY else DAY)


def chart(market: Market, coin: AnyCoin, times: Sequence[float]) -> str:
    prices, caps, volumes = [], [], []
    for moment in times:
        at = moment - market.origin.timestamp()
        price = market.price_at(coin, at)
        stamp = round(moment * 1000)
        prices.append(f"[{stamp},{numbers.ruby(price)}]")
        caps.append(f"[{stamp},{numbers.ruby(price * (coin.circulating_supply or Decimal(0)))}]")
        volumes.append(f"[{stamp},{numbers.ruby(market.volume_24h(coin, at))}]")
    return f'{{"prices":[{",".join(prices)}],"market_caps":[{",".join(caps)}],"total_volumes":[{",".join(volumes)}]}}'


def ticks(market: Market, coin: AnyCoin, params: Mapping[str, str]) -> list[str]:
    """CoinPaprika's points as texts, oldest first. The free plan has days for a year and hours for a day."""
    now = _now(market, coin)
    start = _unix(params, "start")
    end = min(_unix(params, "end"), now) if "end" in params else now
    interval = params.get("interval", "5m")
    if interval[-1:] not in _SPANS or not interval[:-1].isdigit() or int(interval[:-1]) < 1:
        raise Missing("interval")
    step = int(interval[:-1]) * _SPANS[interval[-1]]
    limit = min(int(params["limit"]) if _is_number(params.get("limit", "")) else 1_000, 5_000)
    if step < 3_600:
        raise Forbidden
    if start < now - (REACH if step >= DAY else DAY) - 3_600:
        raise TooFarBack
    items = []
    for moment in _steps(start, end, step)[:limit]:
        at = moment - market.origin.timestamp()
        price = market.price_at(coin, at, "coinpaprika")
        item = {"timestamp": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        cap = (price * (coin.circulating_supply or Decimal(0))).quantize(Decimal(1))
        text = json.dumps(item)[:-1]
        volume = market.volume_24h(coin, at).quantize(Decimal(1))
        items.append(f'{text},"price":{numbers.go(price)},"volume_24h":{volume},"market_cap":{numbers.plain(cap)}}}')
    return items


def _now(market: Market, coin: AnyCoin) -> float:
    return (market.origin.timestamp() + market.seconds(coin)) if market.live else market.observed_at(coin).timestamp()


def _steps(start: float, end: float, step: float) -> list[float]:
    """Multiples of the step from `start` to `end`, both included."""
    first = -(-start // step) * step
    return [first + number * step for number in range(int((end - first) // step) + 1)] if end >= first else []


def _unix(params: Mapping[str, str], name: str) -> float:
    """Unix seconds, a date, or an ISO time."""
    text = params.get(name, "")
    if _is_number(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Missing(name) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 15
