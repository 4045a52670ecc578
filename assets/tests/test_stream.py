"""/stream: every change once, also what is committed late; from any id on; hundreds of listeners without a thread."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from django.db import connections, transaction

from assets.changes import Changes, Position
from assets.listeners import LISTENERS, Wish
from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 10


class Ear:
    """A listener at the other end of a socket."""

    def __init__(self, wish: Wish | None = None) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(SECONDS)
        self.text = ""
        LISTENERS.add(theirs, wish or Wish(), chunked=False)

    def hear(self, what: str) -> str:
        """What is said until an event that holds this is over."""
        while not (found := re.search(rf"{re.escape(what)}.*?\n\n", self.text, re.DOTALL)):
            data = self.socket.recv(1 << 20)
            assert data, f"the line was closed after {self.text!r}"
            self.text += data.decode()
        heard, self.text = self.text[: found.end()], self.text[found.end() :]
        return heard

    def quotes(self) -> list[dict[str, Any]]:
        """Those of the next batch."""
        return [
            json.loads(line[6:]) for line in self.hear("event: batch").splitlines() if line.startswith('data: {"id"')
        ]


@pytest.fixture
def ear() -> Iterator[Any]:
    ears: list[Ear] = []

    def listen(**wish: Any) -> Ear:
        ears.append(Ear(Wish(**wish)))
        if "after" not in wish:
            ears[-1].position = last_id(ears[-1].hear("id: "))
        return ears[-1]

    yield listen
    for one in ears:
        one.socket.close()
    wait_for(lambda: len(LISTENERS) == 0)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def last_id(text: str) -> Position:
    return Position.read([line[4:] for line in text.splitlines() if line.startswith("id: ")][-1])


def bitcoin(price: str) -> None:
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd=price))


def test_a_quote_is_told_as_it_changes_and_as_data_shows_it(ear, client):
    bitcoin("100")
    listener = ear()
    begun = time.monotonic()
    bitcoin("101")
    (quote,) = listener.quotes()
    assert time.monotonic() - begun < 2
    assert quote == client.get("/data").json()["data"][0]
    assert quote["price_usd"] == 101
    bitcoin("102")
    assert [quote["price_usd"] for quote in listener.quotes()] == [102]


def test_what_did_not_change_is_not_told(ear):
    coins("coingecko", 20)
    listener = ear()
    bitcoin("1")
    assert len(listener.quotes()) == 1


def test_only_what_is_asked_for(ear):
    by_source, by_asset = ear(sources=frozenset({"coinpaprika"})), ear(assets=frozenset({"bitcoin"}))
    coins("coinpaprika", 2)
    coins("coingecko", 3)
    bitcoin("1")
    assert {quote["source"] for quote in by_source.quotes()} == {"coinpaprika"}
    assert [quote["asset_id"] for quote in by_asset.quotes()] == ["bitcoin"]


def test_what_was_missed_is_told_first(ear):
    bitcoin("1")
    gone = ear()
    gone.socket.close()
    bitcoin("2")
    coins("coinpaprika", 3)
    back = ear(after=gone.position)
    assert len(back.quotes()) == 4
    bitcoin("3")
    assert [quote["price_usd"] for quote in back.quotes()] == [3]


@pytest.mark.parametrize("after", [Position(1, 5), Position(10**18, 5), Position(10**18, 4 * 10**15)])
def test_a_position_that_can_not_be_gone_on_from_says_so(ear, after):
    bitcoin("1")
    listener = Ear(Wish(after=after))
    try:
        assert "event: reset" in listener.hear("\nid: ")
        bitcoin("2")
        assert len(listener.quotes()) == 1
    finally:
        listener.socket.close()


def test_what_is_committed_late_is_told_all_the_same_and_once():
    """A writer whose rows are older than those that were read meanwhile."""
    bitcoin("1")
    load("coinpaprika", record("late", price_usd="1"))
    changes = Changes()
    late = psycopg2.connect(**connections["default"].get_connection_params())
    try:
        here, _ = changes.position()
        with late.cursor() as cursor:
            cursor.execute(
                "UPDATE assets_quote SET price_usd = 7, changed_in = DEFAULT WHERE source_id ="
                " (SELECT id FROM assets_source WHERE slug = 'coinpaprika')"
            )
        bitcoin("2")
        meanwhile, settled = changes.position()
        early, _ = changes.between(here, meanwhile, None)
        assert not settled
        late.commit()
        after, settled = changes.position()
        rest, _ = changes.between(meanwhile, after, None)
        assert settled
        told = [json.loads(change.text)["price_usd"] for change in (*early, *rest)]
        assert sorted(told) == [2, 7]
        assert changes.between(after, changes.position()[0], None)[0] == []
    finally:
        late.close()
        changes.close()


def test_a_large_change_comes_in_pieces_and_whole(ear):
    listener = ear()
    coins("coingecko", 1700)
    quotes = []
    while len(quotes) < 1700:
        quotes += listener.quotes()
    assert len({quote["id"] for quote in quotes}) == len(quotes) == 1700


def test_what_is_rolled_back_is_never_told(ear):
    bitcoin("1")
    listener = ear()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        bitcoin("666")
        raise ZeroDivisionError
    bitcoin("2")
    assert [quote["price_usd"] for quote in listener.quotes()] == [2]


def test_hundreds_of_listeners_cost_no_thread_each(ear):
    bitcoin("1")
    first = ear()
    threads = threading.active_count()
    ears = [ear() for _ in range(200)]
    assert threading.active_count() <= threads + 1
    assert len(LISTENERS) == 201
    bitcoin("2")
    assert all([quote["price_usd"] for quote in one.quotes()] == [2] for one in (first, *ears))


def test_a_listener_who_takes_nothing_is_cut_off_and_the_others_hear_on(ear, monkeypatch):
    monkeypatch.setattr("assets.listeners.BEHIND", 1000)
    monkeypatch.setattr("assets.listeners.PATIENCE", 0.2)
    deaf, listener = ear(), ear()
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for price in range(2, 8):
        coins("coingecko", 600, price_usd=str(price))
        heard = 0
        while heard < 600:
            heard += len(listener.quotes())
    wait_for(lambda: len(LISTENERS) == 1)


def test_a_quiet_line_is_kept_alive(ear, monkeypatch):
    monkeypatch.setattr("assets.listeners.HEARTBEAT", 0.1)
    listener = ear()
    assert ": heartbeat\nid: " in listener.hear(": heartbeat\nid: ")


@pytest.mark.faults
def test_the_stream_goes_on_where_it_was_when_postgresql_is_back(ear, servers):
    bitcoin("1")
    listener = ear()
    servers.kill("postgres")
    servers.start_postgres()
    connections["default"].close()
    bitcoin("2")
    assert [quote["price_usd"] for quote in listener.quotes()] == [2]


def test_over_http(client):
    bitcoin("1")
    answer = client.get("/stream", headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer["Cache-Control"] == "no-store" and answer["Content-Encoding"] == "identity"
    lines = iter(answer.streaming_content)
    assert next(lines) == b"retry: 3000\n\n"
    assert next(lines).startswith(b"id: ")
    bitcoin("2")
    assert b'"price_usd":2,' in next(lines)
    answer.close()
    assert b"".join(client.head("/stream").streaming_content) == b""


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("?after=x", {}, "after"),
        ("?after=1-2-3", {}, "after"),
        ("?after=-1", {}, "after"),
        (f"?after={'9' * 400}", {}, "after"),
        ("", {"Last-Event-ID": "nonsense"}, "Last-Event-ID"),
        ("", {"Last-Event-ID": "é"}, "Last-Event-ID"),
        ("?source=%00", {}, "source"),
        ("?source=a&source=b", {}, "source"),
        ("?asset_id=" + "a" * 201, {}, "asset_id"),
        ("?nonsense=1", {}, "nonsense"),
    ],
)
def test_what_can_not_be_used_is_named(client, query, headers, field):
    answer = client.get(f"/stream{query}", headers=headers)
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [field]
    assert answer["Content-Type"] == "application/json"
