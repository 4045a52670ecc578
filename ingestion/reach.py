"""Whether the servers can be reached, what waits in the queues, who works on it: short looks that wait for nobody."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
import redis
from django.conf import settings
from django.db import connections
from kombu import Connection

from ingestion import broker
from ingestion.asking import ask
from ingestion.heartbeat import Worker, present
from ingestion.workers import QUEUES

#: Seconds that PostgreSQL, or the broker, has for its answer.
PATIENCE = 0.8


def database_trouble(seconds: float = PATIENCE) -> str:
    """Why PostgreSQL gives no answer within that time, "" when it does."""
    try:
        ask("SELECT 1", {}, seconds, **connections["default"].get_connection_params())
    except psycopg2.Error as error:
        return f"PostgreSQL can't be reached ({broker.reason(error)})."
    except TimeoutError:
        return f"PostgreSQL gives no answer within {seconds:g} s."
    return ""


@dataclass(slots=True)
class Crew:
    """What Redis and the broker know of the work; None for what nobody says."""

    queues: dict[str, int | None]
    """Messages that wait in each queue."""
    workers: list[Worker] | None = None
    redis_version: str | None = None


def crew() -> Crew:
    """Each server is asked once, and where it does not answer its part is None."""
    found = Crew(dict.fromkeys(QUEUES))
    same = settings.REDIS_URL == settings.CELERY_BROKER_URL
    # As many ways to fail as there are brokers: whatever it was, it isn't known what waits.
    with suppress(Exception):
        if broker.is_redis(settings.REDIS_URL):
            with broker.redis_client(settings.REDIS_URL, PATIENCE) as client:
                found.workers = present(client)
                found.redis_version = str(client.info("server")["redis_version"])
                if same:
                    found.queues = lengths(client)
    with suppress(Exception):
        if not same:
            found.queues = elsewhere()
    return found


def lengths(client: redis.Redis) -> dict[str, int | None]:
    prefix: Any = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    return {queue: int(client.llen(prefix + queue)) for queue in QUEUES}


def elsewhere() -> dict[str, int | None]:
    """The queues of a broker that is another server than REDIS_URL."""
    if broker.is_redis(settings.CELERY_BROKER_URL):
        with broker.redis_client(settings.CELERY_BROKER_URL, PATIENCE) as client:
            return lengths(client)
    with Connection(settings.CELERY_BROKER_URL, connect_timeout=PATIENCE) as link:
        channel = link.channel()
        return {queue: channel.queue_declare(queue=queue, passive=True).message_count for queue in QUEUES}
