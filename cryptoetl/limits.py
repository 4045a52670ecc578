"""How often one caller may ask: a bucket for each key and each address, emptied and filled in Redis in one step.

A bucket of `limit` requests fills evenly in its time. Redis's clock counts, so any number of webs agree. When Redis is
away, nobody is held up: reading goes on without limits, and Redis is asked again a few seconds later.
"""

from __future__ import annotations

import ipaddress
import logging
from functools import cache
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
from django.conf import settings
from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.throttling import BaseThrottle

from ingestion.broker import redis_client

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

log = logging.getLogger(__name__)

MINUTE = 60
PREFIX = "cryptoetl:limit:"
#: Seconds that Redis has for its answer, and seconds that it is left alone after it gave none.
PATIENCE, REST = 0.25, 5.0

#: The bucket is kept as the time at which it will be full again. Gives {taken, remaining, seconds until full, seconds
#: until the next request fits}, the latter two as text, as Redis cuts numbers to whole ones.
TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local limit, seconds = tonumber(ARGV[1]), tonumber(ARGV[2])
local each = seconds / limit
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = full + each - now - seconds
if wait > 0.000001 then
    return {0, 0, tostring(full - now), tostring(wait)}
end
full = full + each
redis.call('SET', KEYS[1], string.format('%.6f', full), 'EX', math.ceil(seconds))
return {1, math.floor((seconds - (full - now)) / each + 0.000001), tostring(full - now), '0'}
"""


class Taken(NamedTuple):
    """What became of a request for one more."""

    allowed: bool
    limit: int
    seconds: int
    remaining: int
    full_in: float
    wait: float

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(ceil(self.full_in)),
            "RateLimit-Policy": f"{self.limit};w={self.seconds}",
        }


@cache
def script() -> Any:
    return redis_client(settings.REDIS_URL, PATIENCE).register_script(TAKE)


_asked_again_at = 0.0


def take(bucket: str, limit: int, seconds: int = MINUTE) -> Taken | None:
    """One more of this bucket; None when Redis can't be asked."""
    global _asked_again_at
    if monotonic() < _asked_again_at:
        return None
    try:
        allowed, remaining, full_in, wait = script()(keys=[PREFIX + bucket], args=[limit, seconds])
    except (redis.RedisError, OSError) as error:
        _asked_again_at = monotonic() + REST
        log.warning("Redis can't be asked: requests are not limited", extra={"error": str(error)[:200]})
        return None
    return Taken(bool(allowed), limit, seconds, int(remaining), float(full_in), float(wait))


def address(request: HttpRequest) -> str:
    """The caller's address, as the outermost of our proxies saw it. IPv6 hands out networks, so one of those counts."""
    seen = str(request.META.get("REMOTE_ADDR", ""))
    if settings.PROXIES:
        hops = str(request.META.get("HTTP_X_FORWARDED_FOR", "")).split(",")
        seen = hops[-min(settings.PROXIES, len(hops))].strip() or seen
    try:
        known = ipaddress.ip_address(seen)
    except ValueError:
        return "unknown"
    if known.version == 6:
        return str(
            ipaddress.ip_network(f"{known.ipv4_mapped or known}/{32 if known.ipv4_mapped else 64}", strict=False)
        )
    return f"{known}/32"


class Limited(BaseThrottle):
    """DRF's question whether the caller may ask again so soon. What is for everybody (`scope` None) is not counted; a
    key that is not valid counts for its address."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if getattr(view, "scope", "read") is None:
            return True
        try:
            key: Any = request.auth
        except exceptions.AuthenticationFailed:
            # Another answer than 401 is on its way already.
            key = None
        if key is not None:
            limit, bucket = key.per_minute or settings.API_KEY_LIMIT, f"key:{key.pk}"
        else:
            limit = settings.API_LIMIT
            bucket = f"address:{address(request)}" if limit else ""
        taken = take(bucket, limit) if limit else None
        if taken is None:
            return True
        # For `cryptoetl.headers`, which adds them to whatever is answered.
        request._request.rate_limit = taken  # type: ignore[attr-defined]
        if not taken.allowed:
            raise exceptions.Throttled(taken.wait, f"That was more than {limit} requests a minute.")
        return True
