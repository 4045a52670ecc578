"""Servers of the user's own, named by DATABASE_URL and REDIS_URL: are they there, and new enough?

Asked before anything starts, so that a wrong address is a sentence and not a page of log. No sentence holds a password.
"""

from __future__ import annotations

from cryptoetl.local.trouble import Trouble

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
    where = f"{parts.get('HOST') or 'the local socket'}:{parts.get('PORT') or 5432}"
    try:
        connection = psycopg2.connect(
            dbname=parts.get("NAME") or None,
            user=parts.get("USER") or None,
            password=parts.get("PASSWORD") or None,
            host=parts.get("HOST") or None,
            port=parts.get("PORT") or None,
            connect_timeout=5,
            **{name: value for name, value in parts.get("OPTIONS", {}).items() if name.startswith(("ssl", "target_"))},
        )
    except psycopg2.Error as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no reason given"
        raise Trouble(
            f"DATABASE_URL names {where}, which can't be used: {_without(reason, parts.get('PASSWORD'))}"
        ) from None
    version = connection.server_version // 10_000
    connection.close()
    if version < OLDEST_POSTGRES:
        raise Trouble(f"DATABASE_URL names PostgreSQL {version} at {where}: {OLDEST_POSTGRES} or newer is needed.")


def check_redis(url: str) -> None:
    """Redis answers at the address, lets us in, and is new enough."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))
    except (ValueError, redis.RedisError) as error:
        raise Trouble("REDIS_URL must look like redis://:password@host:6379/0.", code=2) from error
    place = client.get_connection_kwargs()
    where = str(place.get("path") or f"{place.get('host')}:{place.get('port', 6379)}")
    try:
        version = str(client.info("server")["redis_version"])
    except (redis.RedisError, OSError) as error:
        raise Trouble(
            f"REDIS_URL names {where}, which can't be used: {_without(str(error), place.get('password'))}"
        ) from None
    finally:
        client.close()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise Trouble(f"REDIS_URL names Redis {version} at {where}: 6.2 or newer is needed.")


def _without(text: str, secret: str | None) -> str:
    text = text.replace(secret, "...") if secret else text
    return text.rstrip(".") + "."
