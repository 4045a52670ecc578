"""The embedded servers of one copy, as its state file describes them."""

from __future__ import annotations

from typing import Any

from cryptoetl.local.folder import Folder
from cryptoetl.local.postgres_server import PostgresServer
from cryptoetl.local.redis_server import RedisServer


def postgres(folder: Folder, state: dict[str, Any]) -> PostgresServer:
    kept = state["postgres"]
    return PostgresServer(folder.postgres, kept["port"], kept["password"], folder.tag, kept["method"])


def redis(folder: Folder, state: dict[str, Any]) -> RedisServer:
    kept = state["redis"]
    return RedisServer(folder.redis, kept["port"], kept["password"])
