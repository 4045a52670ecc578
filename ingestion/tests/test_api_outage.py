"""The API while its servers are really gone, and after they are back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import connection

from assets.tests.factories import coins
from cryptoetl.local.throwaway import Throwaway

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

NEVER_LOOK_AT_KEYS = ("/health", "/health/live", "/health/ready", "/metrics", "/schema", "/docs")


@pytest.fixture
def postgres_away(servers: Throwaway) -> Iterator[None]:
    coins("coingecko", 3)
    connection.ensure_connection()
    servers.kill("postgres")
    yield
    if "postgres" not in servers.running:
        servers.start_postgres()
    connection.close()


def test_without_postgresql_everything_says_so_soon_and_goes_on_when_it_is_back(client, servers, postgres_away):
    for path, status in [
        ("/health", 503),
        ("/health/ready", 503),
        ("/health/detailed", 503),
        ("/health/live", 200),
        ("/data", 503),
        ("/data?format=csv", 503),
        ("/assets", 503),
        ("/assets/coin-0001", 503),
        ("/stats", 503),
        ("/stats/runs", 503),
        ("/metrics", 200),
        ("/", 200),
        ("/schema", 200),
        ("/docs", 200),
    ]:
        begun = time.monotonic()
        # A key can't be looked up, and need not be where nobody needs one.
        answer = client.get(path, headers={"X-API-Key": "cx_any"} if path in NEVER_LOOK_AT_KEYS else {})
        assert answer.status_code == status, (path, answer.getvalue()[:300])
        assert time.monotonic() - begun < 3, path
        assert b"Traceback" not in answer.getvalue()
        if status == 503:
            assert "PostgreSQL" in answer.content.decode() or "database" in answer.content.decode()
    servers.start_postgres()
    # A server does this between two requests; the test client leaves the connection to the test.
    connection.close_if_unusable_or_obsolete()
    assert client.get("/data").json()["total"] == 3
    assert client.get("/health").json()["database"] == "healthy"


def test_without_redis_reading_goes_on(client, servers):
    coins("coingecko", 3)
    servers.kill("redis")
    try:
        answer = client.get("/health")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["broker"]) == ("degraded", "unhealthy")
        assert client.get("/data").json()["total"] == 3
        assert 'cryptoetl_up{server="broker"} 0.0' in client.get("/metrics").content.decode()
    finally:
        servers.start_redis()
    assert client.get("/health").json()["broker"] == "healthy"
