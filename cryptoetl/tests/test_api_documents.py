"""/schema says what the addresses really answer; /docs and /redoc show it without asking anybody else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import get_resolver

from assets.models import Source
from assets.tests.factories import load, record
from ingestion.models import Drift, RawBody, RawPayload, Reject, Run

pytestmark = pytest.mark.django_db

BROWSER = {"Accept": "text/html"}


@pytest.fixture
def schema(client) -> dict[str, Any]:
    return client.get("/schema").json()


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in the words of JSON Schema; nothing beside what is described may be answered."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: as_json_schema(value) for key, value in node.items() if key != "nullable"}
    if node.get("type") == "object" and "properties" in node:
        made["additionalProperties"] = False
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") else made


def check(schema: dict[str, Any], path: str, answer: Any, status: str = "200", method: str = "get") -> None:
    content = schema["paths"][path][method]["responses"][status]["content"]["application/json"]
    root = as_json_schema({"components": schema["components"], **content["schema"]})
    jsonschema.validate(answer, root)


def fill() -> dict[str, str]:
    """Something at every address; the addresses by their names in the schema."""
    supply = {"circulating_supply": "19000000"}
    load(
        "coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="100.5", market_cap="1", rank=1, **supply), page_id=1
    )
    load(
        "coinpaprika",
        record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100", rank=1, **supply),
        record("bare"),
        page_id=1,
    )
    source, now = Source.objects.get(slug="coingecko"), datetime.now(UTC)
    run = Run.objects.create(source=source, status="completed", trigger="api", started_at=now, finished_at=now)
    Run.objects.create(source=source, trigger="admin")
    body = RawBody.objects.create(sha256=b"1" * 32, text='[{"id":"bitcoin"}]', encoding="utf-8", size=18)
    page = RawPayload.objects.create(
        pk=1,
        run=run,
        source=source,
        sweep=1,
        number=1,
        url="http://x/",
        body=body,
        received_at=now,
        state="normalized",
        normalized_at=now,
    )
    Reject.objects.create(source=source, run=run, payload=page, position=0, reason="bad", raw="{}", fingerprint=b"1")
    Drift.objects.create(source=source, run=run, kind="added", path="x", detail="a text")
    return {"{id}": str(run.pk), "{asset_id}": "bitcoin"}


def asked(path: str, names: dict[str, str]) -> str:
    if path == "/data/{id}":
        from assets.models import Quote

        return f"/data/{Quote.objects.get(source__slug='coingecko').pk}"
    for name, value in names.items():
        path = path.replace(name, value)
    return path + ("?a={0}&b={0}".format(names["{id}"]) if path.endswith("/compare") else "")


def test_every_answer_is_as_it_is_described(client, schema):
    names = fill()
    for path, item in schema["paths"].items():
        # The one is no JSON, the other has no end.
        if path in ("/metrics", "/stream") or "get" not in item:
            continue
        answer = client.get(asked(path, names))
        assert answer.status_code == 200, path
        check(schema, path, answer.json())
    check(schema, "/assets", client.get("/assets?symbol=btc").json())
    check(schema, "/assets/{asset_id}/history", client.get("/assets/bitcoin/history?interval=1h").json())
    check(schema, "/data", client.get("/data?page=-1").json(), "400")
    check(schema, "/data/{id}", client.get("/data/99999").json(), "404")
    check(schema, "/data", client.get("/data", headers={"Accept": "x/y"}).json(), "406")


def test_the_mark_of_a_demo_is_described(client, schema, settings):
    names = fill()
    settings.DEMO = True
    for path in ("/", "/data", "/data/summary", "/assets/{asset_id}", "/stats", "/stats/runs", "/health"):
        answer = client.get(asked(path, names)).json()
        assert answer["demo"] is True
        check(schema, path, answer)
    check(schema, "/data", client.get("/data?page=-1").json(), "400")


def test_every_parameter_that_is_described_is_known_and_every_known_one_described(client, schema):
    for path, item in schema["paths"].items():
        view = next(p.callback for p in addresses() if "/" + shape(str(p.pattern)) == path).cls
        (operation,) = item.values()
        described = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        assert described == {one.name for one in view.parameters} | {"format"}, path
        assert all(one.get("description") for one in operation.get("parameters", [])), path
        assert operation["description"] and operation["summary"], path


def addresses() -> list[Any]:
    found, waiting = [], list(get_resolver().url_patterns)
    while waiting:
        one = waiting.pop(0)
        waiting += getattr(one, "url_patterns", [])
        if hasattr(getattr(one, "callback", None), "cls"):
            found.append(one)
    return found


def shape(pattern: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern)


def test_every_address_of_the_contract_is_described(schema):
    assert set(schema["paths"]) == {
        *("/", "/data", "/data/{id}", "/data/summary", "/assets", "/assets/{asset_id}", "/assets/{asset_id}/history"),
        *("/health", "/health/live", "/health/ready", "/health/detailed", "/metrics", "/stats", "/stats/runs"),
        *("/stream", "/sources/{slug}/runs", "/runs/{id}/cancel"),
        *("/stats/runs/{id}", "/stats/runs/compare", "/stats/performance", "/stats/drift", "/stats/anomalies"),
        "/stats/events",
    }
    assert schema["openapi"].startswith("3.")
    operations = [operation["operationId"] for item in schema["paths"].values() for operation in item.values()]
    assert len(set(operations)) == len(operations)
    kinds = schema["paths"]["/data"]["get"]["responses"]["200"]["content"]
    files = {"text/csv", "application/x-ndjson", "application/vnd.apache.parquet"}
    assert set(kinds) == {"application/json", *files}


def missing(example: Any, answer: Any, path: str) -> set[str]:
    """The names of the one that the other doesn't have, except where names are values: a record, the sources."""
    if isinstance(example, list) and isinstance(answer, list):
        return missing(example[0], answer[0], path) if example and answer else set()
    if not isinstance(example, dict) or not isinstance(answer, dict):
        return set()
    if path.endswith((".record", ".sources", ".left_out", ".differences", ".links")):
        return set()
    different = {f"{path}.{name}" for name in example.keys() ^ answer.keys()}
    return different.union(
        *(missing(example[name], answer[name], f"{path}.{name}") for name in example.keys() & answer.keys())
    )


def test_each_example_is_valid_and_has_the_names_of_a_real_answer(client, schema):
    names = fill()
    seen = 0
    for path, item in schema["paths"].items():
        ((method, operation),) = item.items()
        content = operation["responses"]["200" if method == "get" else "202"]["content"].get("application/json", {})
        for example in content.get("examples", {}).values():
            check(schema, path, example["value"], "200" if method == "get" else "202", method)
            # Operating is asked for where it is tested, and the two kinds of history as well.
            if method == "get" and path != "/assets/{asset_id}/history":
                assert missing(example["value"], client.get(asked(path, names)).json(), path) == set()
            seen += 1
    assert seen >= 15


def test_the_schema_has_no_warning(capsys):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")


@pytest.mark.parametrize("path", ["/data", "/data/{id}", "/data/summary", "/assets", "/assets/{asset_id}"])
def test_what_a_caller_may_keep_is_described(client, schema, path):
    operation = schema["paths"][path]["get"]
    (sent,) = [one for one in operation["parameters"] if one["in"] == "header"]
    assert sent["name"] == "If-None-Match"
    answers = operation["responses"]
    for status in ("200", "304"):
        assert {"ETag", "Last-Modified", "Cache-Control", "RateLimit-Remaining"} <= answers[status]["headers"].keys()
    assert "content" not in answers["304"] and "Retry-After" in answers["429"]["headers"]


def test_headers_keys_and_refusals_are_described(schema):
    for item in schema["paths"].values():
        (operation,) = item.values()
        assert "405" in operation["responses"]
        for one in operation.get("parameters", []):
            assert one.get("allowEmptyValue", False) == (one["name"] == "cursor")
    schemes = schema["components"]["securitySchemes"]
    assert {(one["type"], one.get("name")) for one in schemes.values()} == {("http", None), ("apiKey", "X-API-Key")}
    start = schema["paths"]["/sources/{slug}/runs"]["post"]
    assert {name for one in start["security"] for name in one} == schemes.keys()
    (key,) = [one for one in start["parameters"] if one["name"] == "Idempotency-Key"]
    for text, good in (("2026-11-01-a", True), ("~" * 200, True), ("", False), ("a b", False), ("é", False)):
        assert bool(re.fullmatch(key["schema"]["pattern"], text)) == good
    assert not re.fullmatch(key["schema"]["pattern"], "a" * 201)


def test_yaml_for_who_asks_for_it(client):
    assert client.get("/schema?format=yaml").content.startswith(b"openapi: 3.")
    assert client.get("/schema?format=xml").status_code == 400


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_load_everything_from_here(client, path):
    page = client.get(path, headers=BROWSER).content.decode()
    loaded = re.findall(r'(?:src|<link [^>]*href)="([^"]+)"', page)
    assert loaded and all(address.startswith(("/static/", "/schema", "/docs?script=")) for address in loaded)
    assert '<html lang="en">' in page and '<a href="/">' in page, "whoever came here can go on"
    assert "googleapis" not in page and "cdn." not in page and "jsdelivr" not in page
    for address in loaded:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert len(answer.getvalue()) > 100
    if path == "/docs":
        page += client.get("/docs?script=").content.decode()
    assert '"/schema"' in page or "'/schema'" in page or 'url: "/schema"' in page.replace("'", '"')


def test_a_first_try_on_the_docs_page_asks_without_filters(schema):
    """Swagger fills in whatever has an example, and all filters at once find nothing."""
    described = []
    for item in schema["paths"].values():
        (operation,) = item.values()
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query":
                assert not {"example", "examples"} & (parameter.keys() | parameter["schema"].keys()), parameter
                described.append(parameter["description"])
    assert any("For example `btc`." in description for description in described)


def test_the_handbook_names_every_address_and_parameter(schema):
    text = (settings.BASE_DIR / "docs" / "API.md").read_text()
    for path, item in schema["paths"].items():
        assert f"`{path}`" in text or f"`{path}?" in text, path
        (operation,) = item.values()
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            assert any(form in text for form in (f"`{name}`", f"`{name}=", f"{{{name}}}", f"?{name}=", f"&{name}=")), (
                name
            )
    row = schema["components"]["schemas"]["Row"]["properties"]
    assert all(f"`{name}`" in text for name in row)
