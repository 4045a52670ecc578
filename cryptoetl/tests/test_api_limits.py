"""Limits: a bucket for each key and each address, exact under a rush, told in headers, and none while Redis is away."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import RequestFactory

from cryptoetl import keys, limits

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def an_address_of_its_own(client) -> str:
    """A test's requests are in nobody else's bucket."""
    number = uuid.uuid4().int
    client.defaults["REMOTE_ADDR"] = f"10.{number % 256}.{number // 256 % 256}.{number // 65536 % 256}"
    return client.defaults["REMOTE_ADDR"]


def test_without_a_limit_nothing_is_counted_and_said(client):
    assert "RateLimit-Limit" not in client.get("/data")


def test_an_address_has_so_many_and_is_told_when_it_may_go_on(client, settings):
    settings.API_LIMIT = 3
    answers = [client.get("/data") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    refused = answers[-1]
    assert refused["RateLimit-Limit"] == "3" and refused["RateLimit-Policy"] == "3;w=60"
    assert 0 < int(refused["Retry-After"]) <= 20 < int(refused["RateLimit-Reset"]) <= 60
    error = refused.json()["error"]
    assert error["code"] == "throttled" and "3 requests a minute" in error["message"]
    assert client.get("/data", REMOTE_ADDR="192.0.2.77").status_code == 200


def test_a_bucket_fills_again_evenly():
    name = uuid.uuid4().hex
    taken = [limits.take(name, 10, 3600) for _ in range(11)]
    assert [one.allowed for one in taken] == [True] * 10 + [False]
    assert 0 < taken[-1].wait <= 360


def test_a_rush_gets_no_more_than_the_limit():
    name = uuid.uuid4().hex
    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(lambda _: limits.take(name, 50, 3600), range(200)))
    assert Counter(one.allowed for one in taken) == {True: 50, False: 150}
    assert sorted(one.remaining for one in taken if one.allowed) == list(range(50))


def test_a_key_has_its_own_limit_wherever_it_comes_from(client, settings):
    settings.API_LIMIT, settings.API_KEY_LIMIT = 1, 2
    _, usual = keys.make("usual", "read")
    _, large = keys.make("large", "read", per_minute=4)
    for text, limit in ((usual, 2), (large, 4)):
        headers = {"Authorization": f"Bearer {text}"}
        answers = [client.get("/data", headers=headers, REMOTE_ADDR=f"192.0.2.{n}") for n in range(limit + 1)]
        assert [answer.status_code for answer in answers] == [200] * limit + [429]
        assert answers[0]["RateLimit-Limit"] == str(limit)
    assert client.get("/data").status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/data", {"Authorization": "Bearer cx_" + "a" * 43}, 401),
        ("/data", {"X-API-Key": "nonsense"}, 401),
        ("/data", {"Accept": "x/y"}, 406),
        ("/data", {"Accept": "x/y", "X-API-Key": "nonsense"}, 406),
        ("/data?format=xml", {}, 400),
        ("/nothing", {}, 404),
    ],
)
def test_what_is_refused_counts_for_its_address(client, settings, path, headers, status):
    settings.API_LIMIT = 2
    answers = [client.get(path, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[-1]["Retry-After"]


def test_without_a_key_where_one_is_needed_counts(client, settings):
    settings.API_LIMIT, settings.API_KEY_REQUIRED = 2, True
    assert [client.get("/data").status_code for _ in range(3)] == [401, 401, 429]
    _, text = keys.make("reader", "read", per_minute=1)
    headers = {"Authorization": f"Bearer {text}"}
    answers = [client.post("/runs/1/cancel", headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer["RateLimit-Limit"]) for answer in answers] == [(403, "1"), (429, "1")]


def test_what_can_be_no_key_is_not_looked_up(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        for text in ("", "nonsense", "cx_", "cx_" + "é" * 43, "cx_" + "a" * 44):
            assert client.get("/data", headers={"X-API-Key": text}).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics", "/docs", "/schema"])
def test_what_machines_ask_for_is_not_limited(client, settings, path):
    settings.API_LIMIT = 1
    assert [client.get(path).status_code for _ in range(3)] == [200] * 3


@pytest.mark.faults
def test_while_redis_is_away_reading_goes_on(client, settings, servers, monkeypatch):
    settings.API_LIMIT = 1
    monkeypatch.setattr(limits, "_asked_again_at", 0.0)
    client.get("/data")
    assert client.get("/data").status_code == 429
    servers.kill("redis")
    try:
        answers = [client.get("/data") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert "RateLimit-Limit" not in answers[-1]
    finally:
        servers.start_redis()
    monkeypatch.setattr(limits, "_asked_again_at", 0.0)
    assert [client.get("/data").status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("proxies", "sent", "remote", "expected"),
    [
        (0, "198.51.100.9", "192.0.2.1", "192.0.2.1/32"),
        (1, "198.51.100.9", "192.0.2.1", "198.51.100.9/32"),
        (1, "6.6.6.6, 198.51.100.9", "192.0.2.1", "198.51.100.9/32"),
        (2, "6.6.6.6, 198.51.100.9, 10.0.0.1", "192.0.2.1", "198.51.100.9/32"),
        (1, "", "192.0.2.1", "192.0.2.1/32"),
        (0, "", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        (0, "", "::ffff:192.0.2.1", "192.0.2.1/32"),
        (1, "nonsense", "192.0.2.1", "unknown"),
        (0, "", "", "unknown"),
    ],
)
def test_whose_address_counts(settings, proxies, sent, remote, expected):
    settings.PROXIES = proxies
    request = RequestFactory().get("/data", REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=sent)
    assert limits.address(request) == expected
