"""Servers of the user's own, named by DATABASE_URL and REDIS_URL: are they there, and new enough?

Asked before anything starts, so that a wrong address is a sentence and not a page of log. No sentence holds a password.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from cryptoetl.local.trouble import Trouble

REDIS_FORM = (
    "an address such as redis://:password@host:6379/0, with a number for its database and no options but those of TLS"
)
OLDEST_POSTGRES, OLDEST_REDIS = 15, (6, 2)


def check_database(url: str) -> None:
    """PostgreSQL answers at the address, lets us in, and is new enough."""
    import environ
    import psycopg2

    try:
        parts = environ.Env.db_url_config(url)
    except Exception as error:  # the parser raises whatever its parts raise
        raise Trouble("DATABASE_URL must look like postgres://user:password@host:5432/name.", code=2) from error
    if parts.get("ENGINE") != "django.db.backends.postgresql":
        raise Trouble("DATABASE_URL must name a PostgreSQL database: postgres://user:password@host:5432/name.", code=2)
    options = parts.get("OPTIONS", {})
    named = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    # As Django has it: what stands before the question mark wins.
    address = options | {option: parts[name] for option, name in named.items() if parts.get(name)}
    where = f"{address.get('host') or 'the local socket'}:{address.get('port') or 5432}"
    try:
        connection = psycopg2.connect(**(address | {"connect_timeout": 5}))
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no reason given"
        raise Trouble(
            f"DATABASE_URL names {where}, which can't be used: {_without(reason, address.get('password'))}"
        ) from None
    version = connection.server_version // 10_000
    told = [connection.get_parameter_status(name) for name in ("default_transaction_read_only", "in_hot_standby")]
    connection.close()
    if version < OLDEST_POSTGRES:
        raise Trouble(f"DATABASE_URL names PostgreSQL {version} at {where}: {OLDEST_POSTGRES} or newer is needed.")
    if "on" in told:
        raise Trouble(f"DATABASE_URL names {where}, which may only be read: name a database that takes writes.")


def is_redis_address(url: str) -> bool:
    """Whether the client of Redis and that of Celery understand the address, and the same by it."""
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    if parts.scheme == "unix":
        database = "".join(value for name, value in options if name == "db")
        others = [name for name, _ in options if name != "db"]
    else:
        database = parts.path.removeprefix("/")
        others = [name for name, _ in options if not (parts.scheme == "rediss" and name.startswith("ssl_"))]
    return re.fullmatch(r"[0-9]{0,9}", database) is not None and not others and not parts.fragment


def check_redis(url: str) -> None:
    """Redis answers at the address, lets us in, and is new enough."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))
        understood = is_redis_address(url)
    except (ValueError, redis.RedisError):
        understood = False
    if not understood:
        raise Trouble(f"REDIS_URL must be {REDIS_FORM}.", code=2)
    place = client.get_connection_kwargs()
    where = str(place.get("path") or f"{place.get('host')}:{place.get('port', 6379)}")
    try:
        version = str(client.info("server")["redis_version"])
    except (redis.RedisError, OSError, TypeError) as error:  # TypeError: an option of TLS that there is not
        raise Trouble(
            f"REDIS_URL names {where}, which can't be used: {_without(str(error), place.get('password'))}"
        ) from None
    finally:
        client.close()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise Trouble(f"REDIS_URL names Redis {version} at {where}: 6.2 or newer is needed.")


def _without(text: str, secret: object) -> str:
    text = text.replace(str(secret), "...") if secret else text
    return text.rstrip(".") + "."
