"""Which workers are there: each keeps a key in Redis that goes away with it, written from its own loop.

No database connection is opened for it, and a Redis that is away is no trouble of the worker's.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any

import orjson
import redis
from celery.signals import heartbeat_sent, worker_shutdown
from django.conf import settings

from ingestion.broker import is_redis, redis_client

log = logging.getLogger(__name__)

PREFIX = "cryptoetl:worker:"
EVERY = 5.0
#: A worker that was silent for this long is gone.
LASTS = 30
#: The worker's loop waits no longer than this for Redis.
PATIENCE = 0.5

_started_at = datetime.now(UTC)
_next = 0.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is there."""

    name: str
    pid: int
    started_at: datetime
    seen_at: datetime


def watch() -> None:
    """From now on this process, if it is a worker, shows that it is there."""
    heartbeat_sent.connect(beat, dispatch_uid="ingestion.heartbeat")
    worker_shutdown.connect(leave, dispatch_uid="ingestion.heartbeat")


def beat(sender: Any = None, **_: object) -> None:
    """The worker's key is there for another LASTS seconds. Called with every heartbeat that the worker's loop sends."""
    global _next
    if monotonic() < _next or not is_redis(settings.REDIS_URL):
        return
    _next = monotonic() + EVERY
    name = sender.eventer.hostname
    facts = {"pid": os.getpid(), "started_at": _started_at.isoformat(), "seen_at": datetime.now(UTC).isoformat()}
    try:
        with redis_client(settings.REDIS_URL, PATIENCE) as client:
            client.set(PREFIX + name, orjson.dumps(facts), ex=LASTS)
    except redis.RedisError as error:
        log.debug("no sign of life given", extra={"error": str(error)})


def leave(sender: Any = None, **_: object) -> None:
    """A worker that ends as it should is gone at once."""
    global _next
    _next = inf
    if not is_redis(settings.REDIS_URL):
        return
    try:
        with redis_client(settings.REDIS_URL, PATIENCE) as client:
            client.delete(PREFIX + str(getattr(sender, "hostname", "")))
    except redis.RedisError as error:
        log.debug("no sign of leaving given", extra={"error": str(error)})


def present(client: redis.Redis) -> list[Worker]:
    """The workers that are there, by name. Raises RedisError."""
    keys: list[bytes] = sorted(client.scan_iter(match=PREFIX + "*", count=1000))
    found = []
    for key, value in zip(keys, client.mget(keys) if keys else [], strict=True):
        if value is not None:
            facts = orjson.loads(value)
            found.append(
                Worker(
                    key.decode().removeprefix(PREFIX),
                    facts["pid"],
                    datetime.fromisoformat(facts["started_at"]),
                    datetime.fromisoformat(facts["seen_at"]),
                )
            )
    return found
