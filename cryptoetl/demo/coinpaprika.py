"""CoinPaprika's API 1.7 as recorded in 2026: one answer with every ticker, zeros for what it does not know.

The free plan leaves out `circulating_supply`, gives at most 2,000 assets, and says 0 for the changes over 30 days and a
year; tickers come in the order in which the coins were listed, not by rank.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

from cryptoetl.demo import history, numbers
from cryptoetl.demo.generated import AnyCoin, GeneratedCoin, coinpaprika_item
from cryptoetl.demo.market import Market
from cryptoetl.demo.message import HTML, Reply, Request
from cryptoetl.demo.walk import DAY, jitter

PREFIX = "/coinpaprika/v1"
_SPANS = {"15m": 900, "30m": 1_800, "1h": 3_600, "6h": 21_600, "12h": 43_200, "24h": DAY, "7d": 7 * DAY}
_LONG_SPANS = {"30d": 30 * DAY, "1y": 365 * DAY}
_SOURCE = "coinpaprika"


@dataclass(frozen=True, slots=True)
class Account:
    """The caller's plan. None as `key` takes any key, and calls without one."""

    key: str | None = None
    plan: str = "free"
    """`free`, or anything else for a paid one: all coins, circulating supplies, long changes."""
    assets: int = 2_000
    """How many the free plan gives."""
    calls_a_month: int = 20_000
    calls_made: int = 0


def error(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": message}, separators=(",", ":")), "application/json", _headers())


def respond(request: Request, market: Market, account: Account) -> Reply:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if account.key is not None and given != account.key:
        return error(403, "invalid api key")
    path = request.path
    if len(path) > 1 and path.endswith("/"):
        link = f"{PREFIX}{path.rstrip('/')}"
        moved = Reply(301, f'<a href="{link}">Moved Permanently</a>.\n\n', HTML, _headers())
        return moved.with_headers(location=link)
    parts = path.strip("/").split("/")
    if path == "/tickers":
        return _tickers(request, market, account)
    if parts[0] == "tickers" and len(parts) in (2, 3):
        return _one(request, market, account, parts)
    if path == "/global":
        return _global(market, account)
    if path == "/coins":
        return Reply(items=_coins(market), headers=_headers())
    if path == "/key/info":
        return _key_info(account) if given else error(403, "invalid api key")
    return error(404, "path not found")


def _chosen(market: Market, account: Account) -> list[tuple[AnyCoin, int]]:
    ranked = [(coin, rank or 0) for coin, rank in market.ranked(_SOURCE)]
    return ranked[: account.assets] if account.plan == "free" else ranked


def _tickers(request: Request, market: Market, account: Account) -> Reply:
    quotes = request.params.get("quotes", "USD").upper().split(",")
    if quotes != ["USD"]:
        return error(400, "invalid parameters")
    chosen = _chosen(market, account)
    chosen.sort(key=lambda pair: pair[0].listed_on)
    if request.shift:
        chosen = chosen[max(0, request.shift) :]
    times: dict[int, str] = {}
    return Reply(items=[_ticker(market, coin, rank, account, times) for coin, rank in chosen], headers=_headers())


def _ticker(market: Market, coin: AnyCoin, rank: int, account: Account, times: dict[int, str] | None = None) -> str:
    """One item. Generated coins of one tick share their time, which `times` keeps."""
    paid = account.plan != "free"
    if isinstance(coin, GeneratedCoin) and not market.is_fixed(coin, _SOURCE):
        tick, times = market.tick_of(coin), {} if times is None else times
        if tick not in times:
            times[tick] = _time(market, coin)
        return coinpaprika_item(coin, tick, rank, times[tick], circulating=paid)
    price, cap = market.price(coin, _SOURCE), market.market_cap(coin, _SOURCE)
    day = market.percent_change(coin, DAY, _SOURCE)
    ath = max(coin.ath or price, price)
    head: dict[str, object] = {
        "id": coin.coinpaprika_id,
        "name": coin.coinpaprika_name or coin.name,
        "symbol": coin.coinpaprika_symbol or coin.symbol.upper(),
        "rank": rank,
    }
    if paid:
        head["circulating_supply"] = int(coin.circulating_supply or 0)
    head |= {
        "total_supply": int(coin.total_supply or 0),
        "max_supply": int(coin.max_supply or 0),
        "beta_value": round(1 + jitter(0, coin.key, 4) / 2, 5),
        "first_data_at": f"{coin.listed_on}T00:00:00Z",
        "last_updated": _time(market, coin),
    }
    figures = {
        "price": numbers.go(price),
        "volume_24h": numbers.go(market.volume_24h(coin)),
        "volume_24h_change_24h": numbers.percent32(80 * jitter(market.seed, coin.key, market.tick_of(coin))),
        "market_cap": numbers.plain(cap or Decimal(0)),
        "market_cap_change_24h": numbers.percent32(day if cap is not None else 0),
    }
    for name, seconds in (_SPANS | _LONG_SPANS).items():
        told = paid or name in _SPANS
        change = market.percent_change(coin, seconds, _SOURCE) if told else 0.0
        figures[f"percent_change_{name}"] = numbers.percent32(change)
    if "unranked" in coin.traits:
        figures |= {"ath_price": "null", "ath_date": "null", "percent_from_price_ath": "null"}
    else:
        figures["ath_price"] = numbers.go(ath)
        figures["ath_date"] = f'"{coin.ath_on}T09:11:54Z"'
        figures["percent_from_price_ath"] = numbers.go(Decimal(f"{float(price / ath * 100 - 100):.2f}"))
    quote = ",".join(f'"{name}":{value}' for name, value in figures.items())
    return json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1] + f',"quotes":{{"USD":{{{quote}}}}}}}'


def _one(request: Request, market: Market, account: Account, parts: list[str]) -> Reply:
    """/tickers/{id} and /tickers/{id}/historical."""
    coin, rank = next(
        ((coin, rank) for coin, rank in market.ranked(_SOURCE) if coin.coinpaprika_id == parts[1]), (None, 0)
    )
    if coin is None or parts[2:] not in ([], ["historical"]):
        return error(404, "id not found")
    if len(parts) == 2:
        return Reply(text=_ticker(market, coin, rank or 0, account), headers=_headers())
    try:
        return Reply(items=history.ticks(market, coin, request.params), headers=_headers())
    except history.Missing as missing:
        return error(400, f"invalid parameter {missing}")
    except history.TooFarBack:
        return error(402, "getting historical data before this date is not allowed in this plan")
    except history.Forbidden:
        return error(402, "this interval is not allowed in this plan")


def _coins(market: Market) -> list[str]:
    """Everything ever listed, what is gone as inactive with rank 0."""
    ranks = {coin.key: rank for coin, rank in market.ranked(_SOURCE)}
    return [
        json.dumps(
            {
                "id": coin.coinpaprika_id,
                "name": coin.coinpaprika_name or coin.name,
                "symbol": coin.coinpaprika_symbol or coin.symbol.upper(),
                "rank": ranks.get(coin.key) or 0,
                "is_new": False,
                "is_active": coin.key in ranks,
                "type": "token" if coin.contract else "coin",
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for coin in market.coins()
        if coin.coinpaprika_id
    ]


def _global(market: Market, account: Account) -> Reply:
    chosen = _chosen(market, account)
    caps = [market.market_cap(coin, _SOURCE) or Decimal(0) for coin, _ in chosen]
    total = sum(caps, Decimal(0))
    volume = sum((market.volume_24h(coin) for coin, _ in chosen), Decimal(0))
    text = {
        "market_cap_usd": int(total),
        "volume_24h_usd": int(volume),
        "bitcoin_dominance_percentage": round(float(max(caps, default=Decimal(0)) / total * 100), 2) if total else 0,
        "cryptocurrencies_number": len(chosen),
        "market_cap_ath_value": int(total * 2),
        "market_cap_ath_date": "2025-10-06T19:00:00Z",
        "volume_24h_ath_value": int(volume * 5),
        "volume_24h_ath_date": "2024-12-05T17:00:00Z",
        "volume_24h_percent_from_ath": -80,
        "volume_24h_percent_to_ath": 400,
        "market_cap_change_24h": 0.61,
        "volume_24h_change_24h": -3.2,
        "last_updated": int(market.observed_at(chosen[0][0], _SOURCE).timestamp()) if chosen else 0,
    }
    return Reply(text=json.dumps(text, separators=(",", ":")), headers=_headers())


def _key_info(account: Account) -> Reply:
    left = max(0, account.calls_a_month - account.calls_made)
    text = {
        "plan": account.plan.title(),
        "plan_started_at": "2026-01-01T00:00:00Z",
        "plan_status": "active",
        "portal_url": "https://coinpaprika.com/api/portal",
        "usage": {"message": "", "current_month": {"requests_made": account.calls_made, "requests_left": left}},
    }
    return Reply(text=json.dumps(text, separators=(",", ":")), headers=_headers())


def _time(market: Market, coin: AnyCoin) -> str:
    return market.observed_at(coin, _SOURCE).strftime("%Y-%m-%dT%H:%M:%SZ")


def _headers() -> dict[str, str]:
    return {"vary": "Origin", "cf-cache-status": "DYNAMIC", "server": "cloudflare"}
