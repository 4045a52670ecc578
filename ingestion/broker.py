"""Whether the broker can be reached: one short try, without the retries that its clients make by themselves.

Nobody waits for the broker: work that can't be sent stays in the database, and the reconciler sends it later.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import redis
from django.conf import settings
from kombu import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT = 1.0
KNOCK = "cryptoetl:knock"


def is_redis(url: str) -> bool:
    return urlsplit(url).scheme in ("redis", "rediss", "unix", "redis+socket")


def redis_client(url: str, timeout: float = TIMEOUT) -> redis.Redis:
    """A connection of its own, that gives up after `timeout` seconds and never tries twice."""
    return redis.Redis.from_url(
        url.replace("redis+socket://", "unix://", 1),
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )


def place(url: str) -> str:
    """Where a server is, without its password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.hostname and parts.port else parts.hostname or parts.path


def trouble(timeout: float = TIMEOUT) -> str:
    """Why no message can be sent now, in a sentence; "" when the broker takes them."""
    url = settings.CELERY_BROKER_URL
    try:
        if is_redis(url):
            with redis_client(url, timeout) as client:
                # One that is full, or somebody's replica, answers whoever asks and takes nothing.
                client.set(KNOCK, "", ex=60)
        else:
            with Connection(url, connect_timeout=timeout) as connection:
                connection.connect()
    except redis.ResponseError as error:
        return f"The broker at {place(url)} takes no message ({reason(error)})."
    except Exception as error:
        # A client library has too many ways to say it: whatever went wrong, no message can be sent.
        return f"The broker at {place(url)} can't be reached ({reason(error)})."
    return ""


def reason(error: BaseException) -> str:
    """The innermost cause, in a few words."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    text = re.sub(r"^Error -?\d+ connecting to \S+ ", "", text.strip() or type(error).__name__)
    return text.splitlines()[0][:200].rstrip(".")
