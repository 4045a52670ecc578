"""What strangers can send, and what they get: one shape of errors from the socket on, strict headers, a slow login."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from assets.tests.factories import coins
from cryptoetl import keys, login
from cryptoetl.local import ports
from cryptoetl.serving import Line

# ------------------------------------------------------------------------------------------------- the server itself


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """What the server says to its operator."""
    return tmp_path_factory.mktemp("web") / "log"


@pytest.fixture(scope="module")
def web(django_db_setup, django_db_blocker, log) -> Iterator[int]:
    """The port of a gunicorn as it is really started, on this test's database."""
    port = ports.server_port()
    database = f"{os.environ['DATABASE_URL'].rsplit('/', 1)[0]}/{connection.settings_dict['NAME']}"
    command = [sys.executable, "-m", "gunicorn", "--config", "python:cryptoetl.serving", "--workers", "1"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, "--bind", f"127.0.0.1:{port}", "cryptoetl.wsgi"],
            cwd=django_settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": database},
            stderr=said,
        )
    try:
        deadline = time.monotonic() + 60
        while status(port, b"GET /health/live HTTP/1.0\r\nHost: localhost\r\n\r\n") != 200:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def say(port: int, *bytes_: bytes, until: bytes = b"") -> bytes:
    """What the server answers to these bytes, until it closes the connection or has said this."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        answer = b""
        try:
            for part in bytes_:
                line.sendall(part)
            while not (until and until in answer) and (data := line.recv(65536)):
                answer += data
        except ConnectionError:
            pass
        return answer


def status(port: int, *bytes_: bytes) -> int:
    try:
        return int(say(port, *bytes_).split(b" ", 2)[1])
    except (OSError, IndexError):
        return 0


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers, b"", b""])


def post(token: str, body: bytes) -> bytes:
    """A start of a run with a body in these chunks."""
    head = f"POST /sources/coingecko/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    head += "Connection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + body


@pytest.mark.django_db(transaction=True)
def test_a_body_in_chunks_is_read_as_any_other(web):
    _, token = keys.make("operator", "operate")
    for body, field in (
        (b'6\r\n{"full\r\n7\r\n": "x"}\r\n0\r\n\r\n', "full"),
        (b"1\r\n{\r\n0\r\n\r\n", "body"),
        (b"nonsense\r\n", "body"),
        (b"5000\r\n" + b" " * 0x5000 + b"\r\n0\r\n\r\n", "body"),
    ):
        head, _, said = say(web, post(token, body)).partition(b"\r\n\r\n")
        assert b" 400 " in head.splitlines()[0], body[:20]
        assert list(json.loads(said)["error"]["fields"]) == [field]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (get(b"/data?symbol=" + b"a" * 10_000), "address"),
        (get(b"/data", b"X-A: " + b"a" * 10_000), "headers"),
        (get(b"/data", *[b"X-%d: a" % n for n in range(200)]), "headers"),
        (get("/data?search=币安".encode()), "address"),
        (b"nonsense\r\n\r\n", None),
        (b"GET /data\r\n\r\n", None),
        (b"GET /data HTTP/9.9\r\n\r\n", None),
        (get(b"/data", b"no colon"), None),
        (get(b"/data", b"a b: c"), None),
        (get(b"/data", b"Transfer-Encoding: nonsense"), None),
        (get(b"/data", b"Content-Length: -1"), None),
        (get(b"/data", b"Host: evil.example"), None),
        (b"GET /data HTTP/1.0\r\nHost: evil.example\r\n\r\n", "Host"),
        (b"GET /data HTTP/1.0\r\nHost: a b\r\n\r\n", "Host"),
    ],
)
def test_what_can_not_be_parsed_is_400_in_the_one_shape(web, sent, field):
    head, _, body = say(web, sent).partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"application/json" in head and b"X-Request-ID" in head
    said = json.loads(body)
    assert said["request_id"] and said["error"]["message"]
    assert list(said["error"].get("fields", {})) == ([field] if field else [])


def test_no_answer_names_a_version(web):
    for path in (b"/data", b"/nothing", b"/admin/login/", b"/docs"):
        head = say(web, get(path)).partition(b"\r\n\r\n")[0].decode()
        assert re.search(r"^Server: gunicorn\r?$", head, re.MULTILINE)
        assert not re.search(r"X-Powered-By|Django/|Python/|gunicorn/", head)


def test_a_listener_leaves_its_thread_to_the_others(web):
    """More listeners than the worker has threads."""
    lines = [socket.create_connection(("127.0.0.1", web), timeout=30) for _ in range(40)]
    try:
        for line in lines:
            line.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for line in lines:
            heard = b""
            while b"\nid: " not in heard:
                heard += line.recv(65536)
            assert heard.startswith(b"HTTP/1.1 200 OK") and b"Transfer-Encoding: chunked" in heard
        assert status(web, get(b"/data")) == 200
        details = json.loads(say(web, get(b"/health/detailed")).partition(b"\r\n\r\n")[2])
        assert details["stream"]["listeners"] == 40
    finally:
        for line in lines:
            line.close()
    assert b"200 OK" in say(web, b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n", until=b"\nid: ")


@pytest.mark.parametrize("host", [b"evil.example", b"a b", b"'\"<>"])
def test_a_strange_host_is_one_line_in_the_log(web, log, host):
    before = log.read_text()
    assert status(web, b"GET /data HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n") == 400
    said = log.read_text().removeprefix(before)
    assert said.count("\n") == 1 and "Invalid HTTP_HOST" in said and "Traceback" not in said, said


def test_silence_is_the_end_of_a_line():
    ours, theirs = socket.socketpair()
    with theirs, Line(fileno=ours.detach()) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 10_000))
        with pytest.raises(BrokenPipeError):
            line.recv(1)


@pytest.mark.slow
def test_each_line_of_the_log_is_json_gunicorns_own_too(web, log):
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(line["event"].startswith("Listening at: ") for line in lines)
    assert {"level", "logger", "timestamp"} <= set(lines[0])


def test_a_client_that_falls_silent_in_its_request_gives_the_thread_back(web, log):
    begun = time.monotonic()
    lines = [socket.create_connection(("127.0.0.1", web), timeout=30) for _ in range(8)]
    try:
        for line in lines:
            line.sendall(b"GET /data HTTP/1.1\r\nHost: loc")
        assert status(web, get(b"/health/live")) == 200
        assert time.monotonic() - begun < 20
        assert "Traceback" not in log.read_text()
    finally:
        for line in lines:
            line.close()


# ------------------------------------------------------------------------------------------------------ what it says


@pytest.mark.django_db
def test_a_page_loads_from_here_alone_and_is_framed_by_nobody(client):
    page = client.get("/data", headers={"Accept": "text/html"})
    policy = page["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "script-src" not in policy and "unsafe-eval" not in policy
    assert client.get("/data")["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    for answer in (page, client.get("/data"), client.get("/nothing"), client.get("/admin/login/")):
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Referrer-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/data", "/assets", "/stats", "/docs", "/redoc", "/health/detailed"])
@pytest.mark.django_db
def test_no_page_holds_a_script_that_its_policy_forbids(client, path):
    coins("coingecko", 2)
    page = client.get(path, headers={"Accept": "text/html"}).content.decode()
    assert re.findall(r"<script(?![^>]* src=)[^>]*>", page) == []
    assert re.findall(r"<[^>]+ on[a-z]+=", page) == []
    assert all(source.startswith(("/static/", "/docs?")) for source in re.findall(r'<script[^>]* src="([^"]+)"', page))


@pytest.mark.django_db
def test_a_fault_of_ours_shows_no_traceback(client, monkeypatch):
    monkeypatch.setattr("assets.views.selectors.summary", lambda: 1 / 0)
    client.raise_request_exception = False
    for accept in ("application/json", "text/html"):
        answer = client.get("/data/summary", headers={"Accept": accept})
        assert answer.status_code == 500
        text = answer.content.decode()
        assert "Traceback" not in text and "ZeroDivision" not in text and "summary()" not in text
    assert client.get("/data/summary").json()["error"]["code"] == "internal"


# --------------------------------------------------------------------------------------------------------------- CORS


@pytest.mark.django_db
def test_other_origins_read_only_when_a_setting_names_them(client, settings):
    origin = {"Origin": "https://app.example.org"}
    answer = client.get("/data", headers=origin)
    assert "Access-Control-Allow-Origin" not in answer
    assert "origin" not in answer["Vary"].lower(), "it is the same for all of them, and caches keep one"
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    answer = client.get("/data", headers=origin)
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.org" and "origin" in answer["Vary"]
    assert "etag" in answer["Access-Control-Expose-Headers"] and "Access-Control-Allow-Credentials" not in answer
    asked = client.options(
        "/sources/csv/runs",
        headers=origin
        | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"},
    )
    assert asked.status_code == 200
    assert "POST" in asked["Access-Control-Allow-Methods"] and "authorization" in asked["Access-Control-Allow-Headers"]
    for path, sent in (("/data", {"Origin": "https://evil.example"}), ("/admin/login/", origin)):
        assert "Access-Control-Allow-Origin" not in client.get(path, headers=sent)


# -------------------------------------------------------------------------------------------------------------- login


@pytest.fixture
def boss(client) -> User:
    """An account, and an address that has not tried yet."""
    client.defaults["REMOTE_ADDR"] = f"10.9.{time.time_ns() // 256 % 256}.{time.time_ns() % 256}"
    return User.objects.create_superuser("boss", password="right")


def enter(client: Client, name: str, password: str) -> str:
    answer = client.post("/admin/login/", {"username": name, "password": password, "next": "/admin/"})
    return "in" if answer.status_code == 302 else answer.content.decode()


@pytest.mark.django_db
def test_after_a_few_wrong_passwords_the_right_one_waits_too(client, boss):
    for _ in range(login.AT_ONE):
        assert "Please enter the correct" in enter(client, "boss", "wrong")
    assert "Too many tries: the next one is possible in" in enter(client, "boss", "right")
    client.defaults["REMOTE_ADDR"] = "192.0.2.200"
    assert enter(client, "boss", "right") == "in"


@pytest.mark.django_db
def test_an_address_that_tries_many_names_waits_as_well(client, boss):
    said = [enter(client, f"name-{n}", "wrong") for n in range(login.AT_ALL + 1)]
    assert ["Too many tries" in one for one in said] == [False] * login.AT_ALL + [True]


@pytest.mark.django_db
def test_without_redis_the_login_is_limited_and_works(client, boss, monkeypatch):
    monkeypatch.setattr(login, "take", lambda *_: None)
    assert enter(client, "boss", "right") == "in"
    client.logout()
    for _ in range(login.AT_ONE - 1):
        enter(client, "boss", "wrong")
    assert "Too many tries" in enter(client, "boss", "right")


@pytest.mark.django_db
def test_the_admin_is_behind_csrf(boss):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(boss)
    for path in ("/admin/cryptoetl/apikey/add/", "/admin/login/", "/admin/assets/source/"):
        answer = strict.post(path, {"name": "x", "scope": "operate"})
        assert answer.status_code == 403, path
        assert "Traceback" not in answer.content.decode()


SHOW = """
import warnings; warnings.simplefilter("ignore")
import django; django.setup()
from django.conf import settings
print(settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY,
      settings.SESSION_COOKIE_SAMESITE, settings.SECURE_HSTS_SECONDS > 0, settings.PROXIES)
"""


@pytest.mark.parametrize(
    ("https", "told"), [("true", "True True True Lax True 1"), ("false", "False False True Lax False 0")]
)
def test_cookies_are_right_for_https(https, told):
    environment = {**os.environ, "HTTPS": https, "DJANGO_SETTINGS_MODULE": "cryptoetl.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=environment,
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == told
