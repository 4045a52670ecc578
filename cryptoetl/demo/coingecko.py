"""CoinGecko's API as recorded from 2025 on: keys, their order, rounding, error bodies. US dollars only.

The real /coins/markets rounds prices unless `precision=full`, writes supplies as floats (`19822040.0`), a market cap
of 0 with a null rank where it knows no supply, and answers a page past the end with `[]`; the end of the list is told
by nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from uuid import uuid4

from cryptoetl.demo import history, numbers
from cryptoetl.demo.generated import AnyCoin, GeneratedCoin, coingecko_item
from cryptoetl.demo.market import Market
from cryptoetl.demo.message import Reply, Request
from cryptoetl.demo.walk import DAY, jitter

PREFIX = "/coingecko/api/v3"
KEY_HEADERS = ("x-cg-demo-api-key", "x-cg-pro-api-key")
#: What price_change_percentage may ask for, in seconds, in the order in which the answer has it.
SPANS = {"14d": 14 * DAY, "1h": 3_600.0, "1y": 365 * DAY, "200d": 200 * DAY, "24h": DAY, "30d": 30 * DAY, "7d": 7 * DAY}


@dataclass(frozen=True, slots=True)
class Account:
    """What a key is worth; None as `key` takes any key, and calls without one."""

    key: str | None = None
    calls_a_month: int = 10_000
    calls_a_minute: int = 100
    calls_made: int = 0


def error(status: int, code: int, message: str) -> Reply:
    text = {"status": {"error_code": code, "error_message": message}}
    return Reply(status, json.dumps(text, separators=(",", ":")), headers=_headers(cached=False))


def respond(request: Request, market: Market, account: Account) -> Reply:
    given = next((request.headers[name] for name in KEY_HEADERS if name in request.headers), None)
    given = given or request.params.get("x_cg_demo_api_key") or request.params.get("x_cg_pro_api_key")
    if (account.key is not None and given != account.key) or (request.path == "/key" and not given):
        return error(401, 10002, "API Key Missing. Please make sure you're using the right authentication method.")
    parts = request.path.strip("/").split("/")
    if request.path == "/ping":
        return _json({"gecko_says": "(V3) To the Moon!"})
    if request.path == "/key":
        return _json(_usage(account))
    if request.path == "/coins/list":
        return _list(request, market)
    if request.path == "/coins/markets":
        return _markets(request, market)
    if parts[0] == "coins" and parts[2:] in (["market_chart"], ["market_chart", "range"]):
        return _chart(request, market, parts[1], ranged=len(parts) == 4)
    return _failed(404, "Incorrect path. Please check https://www.coingecko.com/api/")


def _markets(request: Request, market: Market) -> Reply:
    params = request.params
    if not params.get("vs_currency"):
        return _failed(422, "Missing parameter vs_currency")
    if params["vs_currency"].lower() != "usd":
        return _failed(422, "invalid vs_currency")
    per_page = _whole(params.get("per_page"), 100, most=250)
    page = _whole(params.get("page"), 1)
    ranked = market.ranked("coingecko")
    if params.get("ids"):
        wanted = set(params["ids"].split(","))
        ranked = [pair for pair in ranked if pair[0].coingecko_id in wanted]
    start = max(0, (page - 1) * per_page + (request.shift if page > 1 else 0))
    spans = [name for name in SPANS if name in params.get("price_change_percentage", "").split(",")]
    bridged = params.get("include_rehypothecated") == "true"
    exact = params.get("precision") == "full"
    write = _writer(market, exact, spans, bridged, start)
    chosen = ranked[start : start + per_page]
    return Reply(items=[write(coin, rank, place) for place, (coin, rank) in enumerate(chosen)], headers=_headers())


def _writer(
    market: Market, exact: bool, spans: list[str], bridged: bool, start: int
) -> Callable[[AnyCoin, int | None, int], str]:
    times: dict[int, str] = {}

    def price_text(coin: AnyCoin, price: Decimal) -> str:
        if market.is_fixed(coin, "coingecko"):
            return numbers.ruby(price)
        return numbers.ruby(price) if exact else numbers.rounded(price)

    def write(coin: AnyCoin, rank: int | None, place: int) -> str:
        more = f',"market_cap_rank_with_rehypothecated":{start + place + 1}' if bridged else ""
        if isinstance(coin, GeneratedCoin) and not market.is_fixed(coin, "coingecko"):
            more += "".join(f',"price_change_percentage_{name}_in_currency":0.5' for name in spans)
            tick = market.tick_of(coin)
            if tick not in times:
                times[tick] = _time(market, coin)
            return coingecko_item(coin, tick, rank or place, times[tick], more)
        for name in spans:
            known = coin.circulating_supply is not None
            change = repr(market.percent_change(coin, SPANS[name])) if known else "null"
            more += f',"price_change_percentage_{name}_in_currency":{change}'
        return _item(market, coin, rank, more, price_text)

    return write


def _item(market: Market, coin: AnyCoin, rank: int | None, more: str, text: Callable[[AnyCoin, Decimal], str]) -> str:
    price, before = market.price(coin), market.price(coin, ago=DAY)
    cap, cap_before = market.market_cap(coin), market.market_cap(coin, ago=DAY)
    diluted = (
        (price * (coin.total_supply or coin.circulating_supply or 0)).quantize(Decimal(1), context=numbers.WIDE)
        if cap is not None
        else None
    )
    high = max(price, before) * Decimal("1.004")
    low = min(price, before) * Decimal("0.996")
    ath = max(coin.ath or price, price)
    atl = coin.price * Decimal(f"{0.002 + 0.05 * abs(jitter(0, coin.key, 1)):.4f}")
    percent = float((price - before) / before * 100) if before else 0.0
    cap_change = "0.0" if cap is None or cap_before is None else numbers.plain(cap - cap_before)
    picture = 1 + int(9_999 * abs(jitter(0, coin.key, 2)))
    fields = (
        ("id", _quoted(coin.coingecko_id)),
        ("symbol", _quoted(coin.symbol)),
        ("name", _quoted(coin.name)),
        ("image", f'"https://coin-images.coingecko.com/coins/images/{picture}/large/{coin.symbol}.png?1696501400"'),
        ("current_price", text(coin, price)),
        ("market_cap", "0.0" if cap is None else numbers.plain(cap)),
        ("market_cap_rank", "null" if rank is None else str(rank)),
        ("fully_diluted_valuation", "null" if diluted is None else numbers.plain(diluted)),
        ("total_volume", numbers.plain(market.volume_24h(coin).quantize(Decimal(1), context=numbers.WIDE))),
        ("high_24h", numbers.rounded(high)),
        ("low_24h", numbers.rounded(low)),
        ("price_change_24h", numbers.ruby(price - before)),
        ("price_change_percentage_24h", numbers.percent(percent)),
        ("market_cap_change_24h", cap_change),
        ("market_cap_change_percentage_24h", numbers.percent(percent) if cap is not None else "0.0"),
        ("circulating_supply", numbers.ruby(coin.circulating_supply or Decimal(0))),
        ("total_supply", "null" if coin.total_supply is None else numbers.ruby(coin.total_supply)),
        ("max_supply", "null" if coin.max_supply is None else numbers.ruby(coin.max_supply)),
        ("ath", numbers.rounded(ath)),
        ("ath_change_percentage", numbers.percent(float(price / ath * 100 - 100))),
        ("ath_date", f'"{coin.ath_on}T09:11:54.494Z"'),
        ("atl", numbers.rounded(atl)),
        ("atl_change_percentage", numbers.percent(float(price / atl * 100 - 100))),
        ("atl_date", f'"{coin.listed_on}T00:00:00.000Z"'),
        ("roi", _roi(coin)),
        ("last_updated", f'"{_time(market, coin)}"'),
    )
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields) + more + "}"


def _roi(coin: AnyCoin) -> str:
    """One in eight has once been sold for something, and says what became of it."""
    luck = jitter(0, coin.key, 3)
    if luck < 0.75 or "stable" in coin.traits:
        return "null"
    times = round((luck - 0.8) * 400, 9)
    return f'{{"times":{times!r},"currency":"{"usd" if luck > 0.9 else "btc"}","percentage":{round(times * 100, 7)!r}}}'


def _list(request: Request, market: Market) -> Reply:
    """/coins/list: everything, in the order of the ids, never in pages."""
    coins = sorted((coin for coin, _ in market.ranked("coingecko")), key=lambda coin: coin.coingecko_id)
    items = []
    for coin in coins:
        item: dict[str, object] = {"id": coin.coingecko_id, "symbol": coin.symbol, "name": coin.name}
        if request.params.get("include_platform") == "true":
            item["platforms"] = {"ethereum": coin.contract} if coin.contract else {}
        items.append(json.dumps(item, ensure_ascii=False, separators=(",", ":")))
    return Reply(items=items, headers=_headers())


def _chart(request: Request, market: Market, name: str, *, ranged: bool) -> Reply:
    coin = next((coin for coin, _ in market.ranked("coingecko") if coin.coingecko_id == name), None)
    if coin is None:
        return _failed(404, "coin not found")
    if not request.params.get("vs_currency"):
        return _failed(422, "Missing parameter vs_currency")
    try:
        times = history.chart_times(market, coin, request.params, ranged=ranged)
    except history.Missing as missing:
        return _failed(422, f"Missing parameter {missing}")
    except history.TooFarBack:
        told = "Your request exceeds the allowed time range. Public API users are limited to the past 365 days."
        inner = {"status": {"error_code": 10012, "error_message": told}}
        return Reply(401, json.dumps({"error": inner}, separators=(",", ":")), headers=_headers(cached=False))
    return Reply(text=history.chart(market, coin, times), headers=_headers())


def _usage(account: Account) -> dict[str, object]:
    return {
        "plan": "Demo",
        "rate_limit_request_per_minute": account.calls_a_minute,
        "monthly_call_credit": account.calls_a_month,
        "current_total_monthly_calls": account.calls_made,
        "current_remaining_monthly_calls": max(0, account.calls_a_month - account.calls_made),
    }


def _json(value: object) -> Reply:
    return Reply(text=json.dumps(value, separators=(",", ":")), headers=_headers())


def _failed(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": message}, separators=(",", ":")), headers=_headers(cached=False))


def _headers(*, cached: bool = True) -> dict[str, str]:
    return {
        "cache-control": "max-age=30, public, must-revalidate, s-maxage=30" if cached else "no-cache",
        "x-frame-options": "SAMEORIGIN",
        "x-request-id": str(uuid4()),
        "x-runtime": "0.004213",
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "link, per-page, total",
        "vary": "Accept-Encoding, Origin",
        "cf-cache-status": "MISS",
        "server": "cloudflare",
    }


def _time(market: Market, coin: AnyCoin) -> str:
    return market.observed_at(coin).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _whole(text: str | None, default: int, *, most: int = 10**9) -> int:
    """What is no positive number counts as not given; what is too large is cut (251 gives 250, as recorded)."""
    return min(int(text), most) if text and text.isascii() and text.isdigit() and int(text) > 0 else default
