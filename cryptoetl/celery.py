"""The Celery app: workers carry pages, beat keeps the schedule (rows of django-celery-beat, see ingestion.registry)."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import urlsplit

import kombu
import redis
from celery import Celery
from celery.app.amqp import AMQP
from celery.signals import setup_logging
from django.core.exceptions import ImproperlyConfigured
from kombu.transport import redis as kombu_redis

from cryptoetl import alive
from ingestion import heartbeat

WAITS = {"interval_start": 1, "interval_step": 1, "interval_max": 2}

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptoetl.settings")


class Channel(kombu_redis.Channel):
    """Acknowledging over a connection that was lost since is an error of the connection, from which a worker recovers.

    Kombu 5.7 trips over the missing connection instead (an AttributeError), and the worker ends.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise redis.ConnectionError("The connection to the broker of this channel was lost.")
        return super()._connparams(asynchronous=asynchronous)


def as_kombu_reads(address: str) -> str:
    """The same server as the client of Redis understands it: Kombu has a name of its own for a socket and for the
    database there, and without options of TLS it would not look at the server's certificate."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        query = parts.query.replace("db=", "virtual_host=", 1)
        return parts._replace(scheme="redis+socket", query=query).geturl()
    if parts.scheme == "rediss" and "ssl_cert_reqs=" not in parts.query:
        query = "&".join(filter(None, (parts.query, "ssl_cert_reqs=required")))
        return parts._replace(query=query).geturl()
    return address


class RedisTransport(kombu_redis.Transport):
    Channel = Channel


class Connection(kombu.Connection):
    """A broker that is back is found within two seconds: the waits between two tries don't grow to half a minute."""

    def __init__(self, hostname: Any = "localhost", *arguments: Any, **options: Any) -> None:
        super().__init__(as_kombu_reads(hostname) if isinstance(hostname, str) else hostname, *arguments, **options)

    def get_transport_cls(self) -> Any:
        transport = super().get_transport_cls()
        return RedisTransport if transport is kombu_redis.Transport else transport

    def ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        return super().ensure_connection(*arguments, **{**WAITS, **options})


class Amqp(AMQP):
    Connection = Connection


app = Celery("cryptoetl", amqp=Amqp)
try:
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_url  # noqa: B018  # reads the settings now, so that a bad one is a sentence here and no traceback later
except ImproperlyConfigured as error:
    sys.exit(f"cryptoetl: {error}")
app.autodiscover_tasks()
alive.watch()
heartbeat.watch()


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Django has configured logging already; a receiver here is what stops Celery from doing it again."""
