"""Celery reaches the same broker as everybody else, whichever way its address is written."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cryptoetl.celery import Connection
from cryptoetl.local import binaries
from cryptoetl.local.supervision import Supervisor


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a redis.sock"
    command = [
        str(binaries.redis_server()),
        "--port",
        "0",
        "--unixsocket",
        path.name,
        "--requirepass",
        "p@ss",
        "--save",
        "",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        Supervisor.wait(path.exists, 10, "Redis did not listen")
        yield path
        server.terminate()


@pytest.mark.parametrize("database", [None, 2])
def test_a_broker_behind_a_socket_carries_messages(socket: Path, database: int | None) -> None:
    url = f"unix://:p%40ss@{socket}".replace(" ", "%20") + (f"?db={database}" if database else "")
    with Connection(url) as connection, connection.clone() as again:
        connection.SimpleQueue("pages").put("a page")
        with redis.Redis.from_url(url) as client:
            assert client.llen("pages") == 1
        assert again.SimpleQueue("pages").get(timeout=5).payload == "a page"


@pytest.mark.parametrize("options", ["", "?ssl_ca_certs=/etc/ours.pem"])
def test_a_broker_behind_tls_must_show_a_certificate(options: str) -> None:
    with Connection(f"rediss://:p%40ss@127.0.0.1:1/0{options}") as connection:
        assert connection.ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED


def test_a_certificate_is_not_asked_for_where_the_address_says_so() -> None:
    with Connection("rediss://127.0.0.1:1/0?ssl_cert_reqs=none") as connection:
        assert connection.ssl["ssl_cert_reqs"] == ssl.CERT_NONE
