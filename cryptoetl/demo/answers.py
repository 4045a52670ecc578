"""Answers in place of the real one: limits, refusals, servers in trouble, in the words of the providers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from cryptoetl.demo import coingecko, coinpaprika
from cryptoetl.demo.faults import Fault
from cryptoetl.demo.message import HTML, Reply, Request

Options = Mapping[str, Any]

_LIMIT = (
    "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API "
    "plans for higher rate limits."
)
_PAGE = (
    "<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n<body>\n<center><h1>{title}</h1></center>\n"
    "<hr><center>cloudflare</center>\n</body>\n</html>\n"
)


def answer(fault: Fault, request: Request, options: Options) -> Reply | None:
    """The reply of such a fault; None if the fault is of another family."""
    make = _ANSWERS.get(fault)
    return make(request, options) if make else None


def page(status: int, title: str) -> Reply:
    return Reply(status, _PAGE.format(title=title), HTML, {"server": "cloudflare"})


def _limited(request: Request, _: Options) -> Reply:
    if request.source == "coingecko":
        return coingecko.error(429, 429, _LIMIT)
    if request.source == "csv":
        return page(429, "429 Too Many Requests")
    return coinpaprika.error(429, "you have reached maximum request limit")


def _limited_seconds(request: Request, options: Options) -> Reply:
    return _limited(request, options).with_headers(retry_after=str(options.get("seconds", 1)))


def _limited_date(request: Request, options: Options) -> Reply:
    # One second more: the form has no fractions, and "at once" would be no wait at all.
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(options.get("seconds", 1)) + 1)
    return _limited(request, options).with_headers(retry_after=format_datetime(moment, usegmt=True))


def _limited_reset(request: Request, options: Options) -> Reply:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(options.get("seconds", 1)) + 1)
    return _limited(request, options).with_headers(
        x_ratelimit_limit="30", x_ratelimit_remaining="0", x_ratelimit_reset=moment.strftime("%Y-%m-%d %H:%M:%S +0000")
    )


def _limited_html(_: Request, options: Options) -> Reply:
    title = "Access denied | api.coingecko.com used Cloudflare to restrict access"
    return (
        page(429, title).with_headers(retry_after=str(options["seconds"])) if "seconds" in options else page(429, title)
    )


def _coingecko(status: int, code: int, message: str) -> Callable[[Request, Options], Reply]:
    def make(_: Request, __: Options) -> Reply:
        return coingecko.error(status, code, message)

    return make


def _key_missing(_: Request, __: Options) -> Reply:
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = "API Key Missing. Please make sure you're using the right authentication method."
    text = {"status": {"timestamp": stamp, "error_code": 10002, "error_message": told}}
    return replace(coingecko.error(401, 10002, told), text=json.dumps(text, separators=(",", ":")))


def _too_far_back(_: Request, __: Options) -> Reply:
    told = "Your request exceeds the allowed time range. Public API users are limited to the past 365 days."
    text = {"error": {"status": {"error_code": 10012, "error_message": told}}}
    return replace(coingecko.error(401, 10012, told), text=json.dumps(text, separators=(",", ":")))


def _simple(status: int, message: str) -> Callable[[Request, Options], Reply]:
    """The one shape that both know: {"error": "..."}."""

    def make(_: Request, __: Options) -> Reply:
        return coinpaprika.error(status, message)

    return make


def _server_error(request: Request, _: Options) -> Reply:
    if request.source == "coingecko":
        return Reply(500, '{"status":500,"error":"Internal Server Error"}')
    return coinpaprika.error(500, "internal server error")


def _unavailable(request: Request, options: Options) -> Reply:
    reply = page(503, "503 Service Temporarily Unavailable")
    return reply.with_headers(retry_after=str(options["seconds"])) if "seconds" in options else reply


def _html(status: int, title: str) -> Callable[[Request, Options], Reply]:
    def make(_: Request, __: Options) -> Reply:
        return page(status, title)

    return make


_ANSWERS: dict[Fault, Callable[[Request, Options], Reply]] = {
    Fault.RATE_LIMITED_SECONDS: _limited_seconds,
    Fault.RATE_LIMITED_DATE: _limited_date,
    Fault.RATE_LIMITED_SILENT: _limited,
    Fault.RATE_LIMITED_RESET: _limited_reset,
    Fault.RATE_LIMITED_HTML: _limited_html,
    Fault.PAYMENT_LIMIT: _simple(402, "you have reached maximum request limit"),
    Fault.PAYMENT_PLAN: _simple(402, "this endpoint is not available in your plan, please upgrade it"),
    Fault.SERVER_ERROR: _server_error,
    Fault.BAD_GATEWAY_HTML: _html(502, "502 Bad Gateway"),
    Fault.UNAVAILABLE: _unavailable,
    Fault.GATEWAY_TIMEOUT: _html(504, "504 Gateway Time-out"),
    Fault.KEY_MISSING: _key_missing,
    Fault.KEY_DEACTIVATED: _coingecko(401, 10004, "API subscription deactivated. Please reactivate your account."),
    Fault.PRO_ONLY: _coingecko(403, 10005, "This request is limited to Pro API subscribers."),
    Fault.PRO_KEY_AT_DEMO: _coingecko(
        400, 10010, "If you are using Pro API key, please change your root URL to pro-api.coingecko.com."
    ),
    Fault.DEMO_KEY_AT_PRO: _coingecko(
        400, 10011, "If you are using Demo API key, please change your root URL to api.coingecko.com."
    ),
    Fault.TOO_FAR_BACK: _too_far_back,
    Fault.KEY_INVALID: _simple(403, "invalid api key"),
    Fault.BLOCKED_HTML: _html(403, "Access denied | Error 1020"),
    Fault.BAD_REQUEST: _simple(400, "invalid parameters"),
    Fault.NOT_FOUND: _simple(404, "id not found"),
}
