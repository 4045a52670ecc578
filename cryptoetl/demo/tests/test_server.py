"""The server as a thing: it starts, keeps account of its calls, is told over HTTP, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cryptoetl.demo import Fault, ProviderServer
from cryptoetl.demo.tests.calling import get, markets, tickers


def test_nothing_is_left_when_it_stops_with_connections_open() -> None:
    before = set(threading.enumerate())
    provider = ProviderServer()
    provider.start()
    with requests.Session() as session:
        assert session.get(provider.url("coingecko") + "/ping").ok
        assert set(threading.enumerate()) > before
        provider.stop()
        assert set(threading.enumerate()) == before
        with pytest.raises(requests.ConnectionError):
            session.get(provider.url("coingecko") + "/ping")


def test_it_comes_back_on_the_same_port() -> None:
    provider = ProviderServer()
    for _ in range(3):
        with provider:
            address = provider.address
            assert get(provider, "coingecko", "/ping").status == 200
        assert provider.address == address


def test_connections_are_kept() -> None:
    with ProviderServer() as provider:
        connection = http.client.HTTPConnection("127.0.0.1", provider.port)
        ports = set()
        for _ in range(5):
            connection.request("GET", "/coingecko/api/v3/ping")
            assert connection.getresponse().read()
            ports.add(connection.sock.getsockname())
        connection.close()
        assert len(ports) == 1


def test_many_callers_get_the_same_market() -> None:
    with ProviderServer() as provider, ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda _: markets(provider).body, range(64)))
        assert len(set(bodies)) == 1
        assert len(provider.calls) == 64


def test_calls_are_kept_as_they_came() -> None:
    with ProviderServer() as provider:
        markets(provider, page=2)
        get(provider, "coinpaprika", "/tickers", headers={"Authorization": "secret"})
        first, second = provider.calls
        assert (first.source, first.path, first.params["page"]) == ("coingecko", "/coingecko/api/v3/coins/markets", "2")
        assert (first.status, first.fault, first.method) == (200, None, "GET")
        assert second.headers["authorization"] == "secret" and second.at >= first.at
        assert provider.calls_of("coinpaprika") == [second]
        provider.forget_calls()
        assert provider.calls == []


def test_calls_can_be_waited_for() -> None:
    with ProviderServer() as provider, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(provider.wait_for_calls, 2, "coinpaprika", 10)
        for _ in range(2):
            tickers(provider)
        assert len(waiting.result()) == 2
        with pytest.raises(TimeoutError, match="2 of 3"):
            provider.wait_for_calls(3, timeout=0.01)


def test_two_hundred_thousand_coins_are_there_page_by_page() -> None:
    with ProviderServer(generated=200_000) as provider:
        assert provider.coins_count == 200_000
        last = markets(provider, page=800).json
        assert len(last) == 250 and last[-1]["id"] == "coin-199999"
        assert markets(provider, page=801).json == []
        before = markets(provider, ids="coin-000100").json[0]
        provider.change_prices()
        after = markets(provider, ids="coin-000100").json[0]
        assert after["current_price"] != before["current_price"] and after["last_updated"] > before["last_updated"]
        assert set(after) == set(before)


def test_pages_can_be_made_beforehand() -> None:
    with ProviderServer(generated=1_000) as provider:
        assert provider.warm() == 4


def test_added_and_removed_coins_show_at_every_source() -> None:
    with ProviderServer() as provider:
        provider.add("new-coin", symbol="NEW", price="1.5")
        assert markets(provider, ids="new-coin").json[0]["current_price"] == 1.5
        assert get(provider, "coinpaprika", "/tickers/new-new-coin").json["symbol"] == "NEW"
        assert b"\nNEW,New Coin,1." in get(provider, "csv").body
        provider.remove("new-coin")
        assert markets(provider, ids="new-coin").json == []


def test_it_is_told_over_http_what_to_do() -> None:
    with ProviderServer() as provider:
        told = {"source": "coingecko", "fault": "rate_limited_seconds", "times": 2, "options": {"seconds": 7}}
        assert requests.post(provider.address + "/_faults", json=told).json()[0]["times"] == 2
        assert markets(provider).headers["retry-after"] == "7"
        calls = requests.get(provider.address + "/_calls", params={"source": "coingecko"}).json()
        assert [(call["status"], call["fault"]) for call in calls] == [(429, "rate_limited_seconds")]
        assert requests.delete(provider.address + "/_faults").json() == []
        assert markets(provider).status == 200
        change = {"set_price": {"bitcoin": "1.25"}, "remove": ["ethereum"], "add": [{"coingecko_id": "new-coin"}]}
        market = requests.post(provider.address + "/_market", json=change).json()
        assert market["listed"]["coingecko"] == 313
        assert markets(provider, ids="bitcoin").json[0]["current_price"] == 1.25
        tick = requests.post(provider.address + "/_market", json={"change_prices": True}).json()["tick"]
        assert tick > market["tick"]
        assert requests.get(provider.address).json()["demo"] is True


@pytest.mark.parametrize(
    ("told", "culprit"),
    [
        ({"source": "nowhere", "fault": "hang"}, "nowhere"),
        ({"source": "csv", "fault": "no_such_fault"}, "no_such_fault"),
        ({"source": "csv", "fault": "price_null"}, "price_null"),
        ({"fault": "hang"}, "source"),
        ([], "list"),
    ],
)
def test_what_it_can_not_do_it_says(told: object, culprit: str) -> None:
    with ProviderServer() as provider:
        answer = requests.post(provider.address + "/_faults", json=told)
        assert answer.status_code == 400 and culprit in answer.json()["error"]
        assert requests.get(provider.address + "/nothing").status_code == 404


def test_a_fault_that_nobody_knows_is_refused_at_once() -> None:
    with ProviderServer() as provider, pytest.raises(ValueError, match="bad luck"):
        provider.fail("coingecko", "bad luck")


def test_the_process_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "cryptoetl.demo", "serve", "--port", "0", "--interval", "3600", "--seed", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = dict(process.stdout.readline().split() for _ in range(3))
        assert set(lines) == {"coingecko", "coinpaprika", "csv"}
        page = requests.get(lines["coingecko"] + "/coins/markets", params={"vs_currency": "usd", "precision": "full"})
        with ProviderServer(seed=7, live=True, interval=3600) as same:
            here = markets(same, per_page=100, precision="full").json
        assert [item["current_price"] for item in page.json()] == [item["current_price"] for item in here]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "cryptoetl.demo", "serve", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.strip() == f"The demo's providers can't listen on 127.0.0.1:{port}: Address already in use."


def test_faults_over_http_survive_json() -> None:
    assert json.loads(json.dumps(Fault.HANG)) == "hang"


def test_a_live_server_forgets_its_oldest_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryptoetl.demo.server.KEPT_CALLS", 3)
    with ProviderServer(live=True) as provider:
        for _ in range(5):
            get(provider, "coingecko", "/ping")
        assert len(provider.calls) == 3
        key = get(provider, "coingecko", "/key", headers={"x-cg-demo-api-key": "any"}).json
        assert key["current_total_monthly_calls"] == 6
