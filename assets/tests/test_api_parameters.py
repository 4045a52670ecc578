"""What can't be used is 400 with the parameter's name, in the one shape of errors; never 500, and soon."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from assets.errors import Invalid
from assets.pagination import address
from assets.parameters import choice, flag, identifier, moment, number, read, text, whole
from assets.tests.factories import coins

LONG = "9" * 400
WRONG = [
    ("foo=1", "foo"),
    ("Symbol=btc", "Symbol"),
    ("page=-1", "page"),
    ("page=0", "page"),
    ("page=1.5", "page"),
    ("page=one", "page"),
    ("page=", "page"),
    ("page=%D9%A1", "page"),
    ("page=+1", "page"),
    (f"page={LONG}", "page"),
    ("page_size=101", "page_size"),
    ("page_size=0", "page_size"),
    (f"page_size={LONG}", "page_size"),
    ("limit=101", "limit"),
    ("limit=0", "limit"),
    ("offset=-1", "offset"),
    (f"offset={LONG}", "offset"),
    ("limit=1&page=2", "page"),
    ("cursor=&page=2", "page"),
    ("cursor=&offset=2", "offset"),
    (f"min_price={LONG}", "min_price"),
    ("min_price=nan", "min_price"),
    ("min_price=NaN", "min_price"),
    ("min_price=sNaN", "min_price"),
    ("max_price=inf", "max_price"),
    ("max_price=-Infinity", "max_price"),
    ("max_price=1e999", "max_price"),
    ("max_price=1e-999", "max_price"),
    ("min_market_cap=1_000", "min_market_cap"),
    ("min_market_cap=0x10", "min_market_cap"),
    ("min_market_cap=", "min_market_cap"),
    ("min_price=1;drop table assets_quote", "min_price"),
    ("symbol=%00", "symbol"),
    ("symbol=a%00b", "symbol"),
    ("search=%ff", "search"),
    ("search=%ED%A0%80", "search"),
    ("source=%C0%80", "source"),
    (f"symbol={'a' * 201}", "symbol"),
    ("symbol=a&symbol=b", "symbol"),
    ("%73ymbol=a&symbol=b", "symbol"),
    ("updated_since=yesterday", "updated_since"),
    ("updated_since=", "updated_since"),
    (f"updated_since={LONG}", "updated_since"),
    ("updated_since=2026-13-01", "updated_since"),
    ("updated_since=0001-01-01T00:00:00%2B14:00", "updated_since"),
    ("updated_since=9999-12-31T23:59:59-14:00", "updated_since"),
    ("stale=maybe", "stale"),
    ("stale=", "stale"),
    ("count=all", "count"),
    ("ordering=password", "ordering"),
    ("ordering=--rank", "ordering"),
    ("ordering=rank,name", "ordering"),
    ("ordering=rank;select 1", "ordering"),
    ("format=xml", "format"),
    ("format=json&format=json", "format"),
    ("cursor=nonsense", "cursor"),
    ("cursor=" + quote("é"), "cursor"),
    ("cursor=AAAA", "cursor"),
]


@pytest.mark.parametrize(("query", "name"), WRONG)
@pytest.mark.django_db
def test_what_cant_be_used_is_400_with_its_name(client, query, name):
    answer = client.get(f"/data?{query}", headers={"X-Request-ID": "me-1"})
    assert answer.status_code == 400, answer.content
    body = answer.json()
    assert body["request_id"] == answer["X-Request-ID"] == "me-1"
    assert set(body["error"]) == {"code", "message", "fields"} and body["error"]["code"] == "invalid"
    assert name in body["error"]["fields"] and name in body["error"]["message"]


@pytest.mark.django_db
def test_every_mistake_is_named_at_once(client):
    fields = client.get("/data?foo=1&page=-1&min_price=x").json()["error"]["fields"]
    assert set(fields) == {"foo", "page", "min_price"}


@pytest.mark.django_db
def test_a_misspelt_parameter_is_answered_with_the_one_meant(client):
    assert "did you mean symbol?" in client.get("/data?symbl=btc").json()["error"]["fields"]["symbl"]


@pytest.mark.parametrize(("number", "code"), [(101, "invalid"), (3000, "bad_request")])
def test_too_many_parameters_are_one_mistake(client, number, code):
    answer = client.get("/data?" + "&".join(f"a{one}=1" for one in range(number)))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


HOSTILE = ["'", '"', "\\", "%", "_", "';--", "1 OR 1=1", "\r\n", "\x7f", "\u202e", "😀", "a" * 200, "$$", "{}", "%s"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["symbol", "search", "source", "asset_id"])
@pytest.mark.django_db
def test_any_other_text_is_only_a_text(client, name, value):
    coins("coingecko", 2)
    answer = client.get(f"/data?{name}={quote(value)}")
    assert answer.status_code == 200
    assert answer.json()["data"] == []


@pytest.mark.parametrize(
    "path", ["/assets", "/stats/runs", "/stats/drift", "/stats/anomalies", "/stats", "/health", "/"]
)
@pytest.mark.django_db
def test_every_address_refuses_what_it_does_not_know(client, path):
    answer = client.get(f"{path}?nonsense=1")
    assert answer.status_code == 400
    assert "nonsense" in answer.json()["error"]["fields"]


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (number("n", ""), "1e-5", "0.00001"),
        (number("n", ""), "-.5", "-0.5"),
        (number("n", ""), "1" * 100, "1" * 100),
        (whole("n", "", 1, 10), "10", "10"),
        (flag("n", ""), "TRUE", "True"),
        (choice("n", "", ["a"]), "a", "a"),
        (identifier("n", ""), "7", "7"),
        (text("n", ""), "", "None"),
        (moment("n", ""), "2026-11-01", "2026-11-01 00:00:00+00:00"),
        (moment("n", ""), "2026-11-01T02:00:00 02:00", "2026-11-01 00:00:00+00:00"),
        (moment("n", ""), "2026-11-01T00:00:00Z", "2026-11-01 00:00:00+00:00"),
    ],
)
def test_what_can_be_used_is_read(parameter, value, expected):
    found = parameter.read(value)
    assert (format(found, "f") if parameter.schema["type"] == "number" else str(found)) == expected


def test_what_is_required_is_missed():
    with pytest.raises(Invalid, match="a is missing"):
        read(b"", [identifier("a", "", required=True)])
    with pytest.raises(Invalid, match="a is missing"):
        read(b"b=1", [identifier("a", "", required=True), identifier("b", "")])


def test_the_address_of_a_page_is_one_whatever_the_path_holds(rf):
    request = rf.get("/assets/%C3%A9%25%3F%20b/history?a=1")
    assert request.path == "/assets/é%? b/history"
    assert address(request, [("a", "1"), ("b", "ü")], {"a": 2}) == (
        "http://testserver/assets/%C3%A9%25%3F%20b/history?b=%C3%BC&a=2"
    )
