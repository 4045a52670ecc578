"""Every parameter of every address against what a hostile caller sends: 400 with its name, or an answer, never 500."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from drf_spectacular.generators import SchemaGenerator

from assets.tests.factories import coins
from ingestion.tests.test_operating import Operator

pytestmark = pytest.mark.django_db

#: No parameter takes these; a text takes any of the others.
REFUSED = {
    "NUL": "a%00b",
    "NUL alone": "%00",
    "not UTF-8": "%ff%fe",
    "half of a surrogate": "%ed%a0%80",
    "overlong": "a" * 5000,
}
STRANGE = {
    "400 digits": "9" * 400,
    "negative": "-1",
    "below bigint": str(-(2**63) - 1),
    "not a number": "nan",
    "infinite": "1e400",
    "SQL": quote("' OR 1=1; DROP TABLE assets_quote; --"),
    "template": quote("{{7*7}}${7*7}%s%n"),
    "a list": "[1,2]",
    "an object": quote('{"$gt": ""}'),
    "bidirectional": quote("\u202ex"),
    "digits of another script": quote("\u0661\u0662"),
    "empty": "",
}


def addresses() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) as /schema has them, with something in every place of the path."""
    for path, item in SchemaGenerator().get_schema(public=True)["paths"].items():
        for method, operation in item.items():
            yield (
                method,
                re.sub(r"\{(\w+)\}", lambda m: {"id": "1", "slug": "csv"}.get(m[1], "coin-0001"), path),
                operation,
            )


QUERIES = [
    pytest.param(method, path, one["name"], one["schema"], id=f"{method} {path} {one['name']}")
    for method, path, operation in addresses()
    for one in operation.get("parameters", [])
    if one["in"] == "query"
]


@pytest.fixture
def caller(monkeypatch) -> Operator:
    from cryptoetl import keys

    coins("coingecko", 2)
    monkeypatch.setattr("assets.stream.begun", lambda *_: iter([b""]))
    monkeypatch.setattr("ingestion.operating.send", lambda *_: None)
    return Operator(headers={"Authorization": f"Bearer {keys.make('caller', 'operate')[1]}"})


@pytest.mark.parametrize(("method", "path", "name", "schema"), QUERIES)
def test_a_parameter_takes_nothing_amiss(caller, method, path, name, schema):
    def ask(query: str) -> Any:
        answer = getattr(caller, method)(f"{path}?{query}")
        assert answer.status_code < 500, (query[:80], answer.getvalue()[:300])
        return answer

    def refused(query: str) -> None:
        with CaptureQueriesContext(connection) as asked:
            answer = ask(query)
        assert answer.status_code == 400, query[:80]
        known = ("cryptoetl_apikey", "SAVEPOINT")
        said = [one["sql"] for one in asked if not any(name in one["sql"] for name in known)]
        assert not said, "refused before anything but the caller's key is looked up"
        # What Prometheus asks says it in its own words, as text.
        assert name in answer.json()["error"]["fields"], query[:80]

    for value in REFUSED.values():
        refused(f"{name}={value}")
    refused(f"{name}=1&{name}=1")
    for value in STRANGE.values():
        if schema["type"] in ("integer", "boolean") or "enum" in schema or schema.get("format") == "date-time":
            refused(f"{name}={value}")
        else:
            answer = ask(f"{name}={value}")
            assert answer.status_code != 400 or name in answer.json()["error"]["fields"]


@pytest.mark.parametrize("value", [*REFUSED.values(), *STRANGE.values()])
@pytest.mark.parametrize(
    "path", ["/data/{}", "/assets/{}", "/assets/{}/history", "/stats/runs/{}", "/runs/{}/cancel", "/sources/{}/runs"]
)
def test_a_part_of_an_address_takes_nothing_amiss(caller, path, value):
    ask = caller.post if path.startswith(("/runs", "/sources")) else caller.get
    answer = ask(path.format(value))
    assert answer.status_code in (200, 308, 400, 404, 405), answer.content[:300]
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]


HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Length", "Content-Type", "Cookie"),
    *("If-Modified-Since", "If-None-Match", "Last-Event-ID", "Origin", "Range", "Referer", "X-API-Key"),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "X-Request-ID"),
)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("path", ["/data", "/stream", "/health", "/admin/login/"])
def test_a_header_takes_nothing_amiss(client, monkeypatch, settings, header, path):
    monkeypatch.setattr("assets.stream.begun", lambda *_: iter([b""]))
    settings.PROXIES = 1
    for value in [
        "",
        "\0",
        "é",
        "\xff",
        "-1",
        "9" * 400,
        "a" * 8000,
        "';--",
        "*",
        '"',
        ",,,",
        "a/b;q=9,*/*;q=nan",
        "{}",
    ]:
        answer = client.get(path, headers={header: value})
        assert answer.status_code < 500, (value, answer.getvalue()[:300])
        sent = answer["X-Request-ID"]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", sent)
