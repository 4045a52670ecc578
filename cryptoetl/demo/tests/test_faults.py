"""Every fault does what its name says, to the call it was meant for, and to no other."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from cryptoetl.demo import Fault, ProviderServer, bundled_coins
from cryptoetl.demo.damage import FAULTS as DAMAGES
from cryptoetl.demo.tests.calling import Answer, get, markets, tickers
from cryptoetl.demo.wire import FAULTS as WIRES

CONNECTION = (http.client.HTTPException, OSError)


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with ProviderServer(bundled_coins()[:30]) as running:
        yield running


def failed(provider: ProviderServer, fault: Fault, source: str = "coingecko", **options: Any) -> Answer:
    """What a call gets that meets the fault; the next call must be sound again."""
    provider.fail(source, fault, **options)
    try:
        return (
            markets(provider)
            if source == "coingecko"
            else tickers(provider)
            if source != "csv"
            else get(provider, "csv")
        )
    finally:
        assert provider.script.pending() == []
        assert markets(provider).status == tickers(provider).status == get(provider, "csv").status == 200
        assert provider.calls[0].fault == fault.value


# The limit.


def test_a_limit_says_when_in_seconds(provider: ProviderServer) -> None:
    answer = failed(provider, Fault.RATE_LIMITED_SECONDS, seconds=119)
    assert (answer.status, answer.headers["retry-after"]) == (429, "119")
    assert answer.json["status"]["error_code"] == 429


def test_a_limit_says_when_as_a_date(provider: ProviderServer) -> None:
    moment = parsedate_to_datetime(failed(provider, Fault.RATE_LIMITED_DATE, seconds=30).headers["retry-after"])
    assert timedelta(seconds=25) < moment - datetime.now(UTC) <= timedelta(seconds=31)


def test_a_limit_says_when_in_a_form_of_its_own(provider: ProviderServer) -> None:
    headers = failed(provider, Fault.RATE_LIMITED_RESET, seconds=60).headers
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000", headers["x-ratelimit-reset"])
    assert headers["x-ratelimit-remaining"] == "0" and "retry-after" not in headers


def test_a_limit_says_nothing_or_is_a_page(provider: ProviderServer) -> None:
    silent = failed(provider, Fault.RATE_LIMITED_SILENT, "coinpaprika")
    assert silent.status == 429 and "retry-after" not in silent.headers and set(silent.json) == {"error"}


def test_a_limit_is_a_page(provider: ProviderServer) -> None:
    page = failed(provider, Fault.RATE_LIMITED_HTML)
    assert page.status == 429 and page.headers["content-type"].startswith("text/html") and b"<html>" in page.body


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault.SERVER_ERROR, 500, None),
        (Fault.BAD_GATEWAY_HTML, 502, None),
        (Fault.UNAVAILABLE, 503, None),
        (Fault.GATEWAY_TIMEOUT, 504, None),
        (Fault.KEY_MISSING, 401, 10002),
        (Fault.KEY_DEACTIVATED, 401, 10004),
        (Fault.PRO_ONLY, 403, 10005),
        (Fault.PRO_KEY_AT_DEMO, 400, 10010),
        (Fault.DEMO_KEY_AT_PRO, 400, 10011),
        (Fault.TOO_FAR_BACK, 401, 10012),
        (Fault.KEY_INVALID, 403, None),
        (Fault.BLOCKED_HTML, 403, None),
        (Fault.PAYMENT_LIMIT, 402, None),
        (Fault.PAYMENT_PLAN, 402, None),
        (Fault.BAD_REQUEST, 400, None),
        (Fault.NOT_FOUND, 404, None),
    ],
)
def test_refusals_have_the_status_and_the_code(
    provider: ProviderServer, fault: Fault, status: int, code: int | None
) -> None:
    answer = failed(provider, fault)
    assert answer.status == status
    if code:
        told = answer.json.get("error", answer.json)["status"]
        assert told["error_code"] == code and told["error_message"]
    elif answer.headers["content-type"].startswith("text/html"):
        assert b"<html>" in answer.body
    else:
        assert answer.json["error"]


# The connection.


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.RESET, Fault.RESET_MID_BODY, Fault.TRUNCATED])
def test_the_connection_breaks(provider: ProviderServer, fault: Fault) -> None:
    with pytest.raises(CONNECTION) as caught:
        failed(provider, fault)
    if fault in (Fault.RESET, Fault.RESET_MID_BODY):
        assert isinstance(caught.value, ConnectionResetError)
    if fault is Fault.TRUNCATED:
        assert isinstance(caught.value, http.client.IncompleteRead)


def test_chunks_end_without_their_end(provider: ProviderServer) -> None:
    with pytest.raises(http.client.IncompleteRead):
        failed(provider, Fault.TRUNCATED_CHUNKED)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MID_BODY])
def test_it_hangs_until_the_caller_gives_up(provider: ProviderServer, fault: Fault) -> None:
    provider.fail("coingecko", fault)
    with pytest.raises(TimeoutError):
        get(provider, "coingecko", "/coins/markets", {"vs_currency": "usd"}, timeout=0.2)


def test_a_hanging_caller_is_let_go_when_the_server_stops() -> None:
    provider = ProviderServer()
    provider.start()
    provider.fail("coingecko", Fault.HANG)
    with socket.create_connection(("127.0.0.1", provider.port)) as caller:
        caller.sendall(b"GET /coingecko/api/v3/ping HTTP/1.1\r\nhost: x\r\n\r\n")
        provider.wait_for_calls(1)
        started = time.monotonic()
        provider.stop()
        assert time.monotonic() - started < 5
        assert caller.recv(1) == b""


def test_it_drips_and_starts_late_but_whole(provider: ProviderServer) -> None:
    whole = markets(provider).body
    provider.forget_calls()
    started = time.monotonic()
    assert failed(provider, Fault.SLOW_DRIP, delay=0.01, size=len(whole) // 10).body == whole
    assert time.monotonic() - started > 0.1
    provider.fail("coingecko", Fault.SLOW_START, delay=0.1)
    started = time.monotonic()
    assert markets(provider).body == whole and time.monotonic() - started > 0.1


@pytest.mark.parametrize("fault", [Fault.OVERSIZED, Fault.OVERSIZED_DECLARED, Fault.OVERSIZED_GZIP])
def test_it_is_larger_than_any_page_should_be(provider: ProviderServer, fault: Fault) -> None:
    whole = markets(provider).json
    provider.forget_calls()
    answer = failed(provider, fault)
    body = gzip.decompress(answer.body) if fault is Fault.OVERSIZED_GZIP else answer.body
    assert len(body) > 64 * 1024 * 1024 and json.loads(body) == whole
    assert ("content-length" in answer.headers) == (fault is not Fault.OVERSIZED)
    assert (len(answer.body) < 1_000_000) == (fault is Fault.OVERSIZED_GZIP)


def test_its_gzip_is_broken(provider: ProviderServer) -> None:
    with pytest.raises((zlib.error, OSError)):
        gzip.decompress(failed(provider, Fault.GZIP_DAMAGED).body)


def test_its_gzip_is_cut_or_is_none(provider: ProviderServer) -> None:
    with pytest.raises(EOFError):
        gzip.decompress(failed(provider, Fault.GZIP_CUT).body)
    provider.forget_calls()
    answer = failed(provider, Fault.WRONG_ENCODING)
    assert answer.headers["content-encoding"] == "gzip" and answer.json


@pytest.mark.parametrize("status", [301, 302, 307])
def test_it_sends_to_another_host_that_answers_and_remembers(provider: ProviderServer, status: int) -> None:
    provider.fail("coingecko", Fault.REDIRECT_ELSEWHERE, status=status)
    address = provider.url("coingecko") + "/coins/markets?vs_currency=usd"
    followed = requests.get(address, headers={"x-cg-demo-api-key": "CG-secret"}, timeout=10)
    assert followed.url.startswith("http://localhost:") and followed.json()[0]["id"] == "bitcoin"
    assert [call.status for call in provider.calls] == [status]
    # A careless caller takes its key along; the other host sees whether it did.
    assert [call.headers.get("x-cg-demo-api-key") for call in provider.elsewhere_calls] == ["CG-secret"]


def test_it_sends_in_circles(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.REDIRECT_LOOP, times=None)
    with pytest.raises(requests.TooManyRedirects):
        requests.get(provider.url("coingecko") + "/ping", timeout=10)


# The script.


def test_faults_come_in_the_order_in_which_they_were_told(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.SERVER_ERROR, times=2)
    provider.fail("coingecko", Fault.UNAVAILABLE)
    assert [markets(provider).status for _ in range(4)] == [500, 500, 503, 200]


def test_a_fault_waits_for_its_page_its_path_and_its_turn(provider: ProviderServer) -> None:
    provider.fail("coingecko", Fault.SERVER_ERROR, match={"page": 2})
    assert [markets(provider, page).status for page in (1, 2, 2)] == [200, 500, 200]
    provider.fail("coingecko", Fault.SERVER_ERROR, path="/ping")
    assert [markets(provider).status, get(provider, "coingecko", "/ping").status] == [200, 500]
    provider.fail("coinpaprika", Fault.SERVER_ERROR, after=2)
    assert [tickers(provider).status for _ in range(4)] == [200, 200, 500, 200]


def test_a_source_that_fails_for_good_can_be_healed(provider: ProviderServer) -> None:
    provider.fail("coinpaprika", Fault.UNAVAILABLE, times=None, seconds=5)
    assert [tickers(provider).headers["retry-after"] for _ in range(3)] == ["5"] * 3
    assert markets(provider).status == 200
    provider.heal("coinpaprika")
    assert tickers(provider).status == 200


def test_every_fault_belongs_to_a_family() -> None:
    with ProviderServer(bundled_coins()[:3]) as provider:
        for fault in set(Fault) - WIRES - DAMAGES:
            provider.fail("coingecko", fault)
            answer = markets(provider)
            assert answer.status != 200 or fault in (Fault.SHIFT_TWICE, Fault.SHIFT_MISSED), fault
