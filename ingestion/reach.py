"""Whether the servers can be reached, what waits in the queues, who works on it: short looks that wait for nobody."""

from __future__ import annotations

import select
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg2
import redis
from django.conf import settings
from django.db import connections
from kombu import Connection

from ingestion import broker
from ingestion.heartbeat import Worker, present
from ingestion.workers import QUEUES

#: Seconds that PostgreSQL, or the broker, has for its answer.
PATIENCE = 0.8


def database_trouble(seconds: float = PATIENCE) -> str:
    """Why PostgreSQL gives no answer within that time, "" when it does.

    On a connection of its own, and never blocking: a server that takes connections and says nothing would hold any
    other client for as long as it likes.
    """
    parameters = connections["default"].get_connection_params()
    parameters.pop("cursor_factory", None)
    deadline = monotonic() + seconds
    link: Any = None
    try:
        link = psycopg2.connect(**parameters, async_=True)
        wait(link, deadline)
        cursor = link.cursor()
        cursor.execute("SELECT 1")
        wait(link, deadline)
    except psycopg2.Error as error:
        return f"PostgreSQL can't be reached ({broker.reason(error)})."
    except TimeoutError:
        return f"PostgreSQL gives no answer within {seconds:g} s."
    finally:
        if link is not None:
            link.close()
    return ""


def wait(link: Any, deadline: float) -> None:
    """Until the connection is ready for more. Raises TimeoutError."""
    while (state := link.poll()) != psycopg2.extensions.POLL_OK:
        left = deadline - monotonic()
        handles = [link.fileno()]
        ready = (
            select.select(handles, [], [], max(left, 0))
            if state == psycopg2.extensions.POLL_READ
            else select.select([], handles, [], max(left, 0))
        )
        if not any(ready):
            raise TimeoutError


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
