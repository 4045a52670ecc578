"""In a demo every page, /health and every row's source say that it is one; filtering by a source works as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from assets.models import Asset, Listing
from assets.tests.factories import load, record
from ingestion.models import Run

ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import django
django.setup()
from django.test import Client
client = Client(HTTP_HOST="localhost")
asked = json.load(sys.stdin)
json.dump([client.get(path, headers={"Accept": accept}).content.decode() for accept, path in asked], sys.stdout)
"""


def ask(*questions: tuple[str, str]) -> list[str]:
    """What a process of a demo answers, on this test's database."""
    database = f"{os.environ['DATABASE_URL'].rsplit('/', 1)[0]}/{connection.settings_dict['NAME']}"
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(questions),
        env={
            **os.environ,
            "CRYPTOETL_DEMO": "1",
            "DATABASE_URL": database,
            "DJANGO_SETTINGS_MODULE": "cryptoetl.settings",
        },
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.django_db(transaction=True)
def test_a_demo_says_so_everywhere():
    load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="100", circulating_supply="19000000"))
    load("coinpaprika", record("btc-bitcoin", "BTC", "Bitcoin", price_usd="100", circulating_supply="19000000"))
    Asset.objects.update(left_out=[{"source": "csv", "reason": "no price"}])
    paths = ["/", "/data", "/assets", "/assets/bitcoin", "/health", "/stats", "/stats/runs", "/nothing"]
    filtered = ["/data?source=coingecko", "/data?source=coingecko%20(demo)", "/assets/coingecko%20(demo):bitcoin"]
    answers = ask(*[("application/json", path) for path in [*paths, *filtered]])
    assert all(json.loads(answer)["demo"] is True for answer in answers)
    rows = json.loads(answers[1])["data"]
    assert [row["source"] for row in rows] == ["coingecko (demo)", "coinpaprika (demo)"]
    (asset,) = json.loads(answers[2])["data"]
    assert asset["consensus"]["sources_used"] == ["coingecko (demo)", "coinpaprika (demo)"]
    assert asset["consensus"]["left_out"] == [{"source": "csv (demo)", "reason": "no price"}]
    assert [quote["source"] for quote in asset["quotes"]] == ["coingecko (demo)", "coinpaprika (demo)"]
    for answer in answers[8:10]:
        assert [row["source"] for row in json.loads(answer)["data"]] == ["coingecko (demo)"]
    assert json.loads(answers[10])["asset_id"] == "bitcoin"
    pages = ask(*[("text/html", path) for path in [*paths, "/docs", "/redoc"]], ("*/*", "/metrics"), ("*/*", "/schema"))
    for page in pages[:8]:
        assert "Demo:" in page and "(demo)" in page
    assert 'demo="true"' in pages[-2] and '"title":"cryptoetl (demo)"' in pages[-1].replace('": "', '":"')
    assert "(demo)" in pages[8] and "(demo)" in pages[9]


@pytest.mark.django_db(transaction=True)
def test_what_is_asked_for_by_its_label_is_found():
    source = load("coingecko", record("bitcoin", "BTC", "Bitcoin", price_usd="100"))
    now = datetime.now(UTC)
    Run.objects.create(source=source, status="completed", trigger="api", started_at=now, finished_at=now)
    Listing.objects.get().events.create(kind="listed")
    label = quote("coingecko (demo)")
    for path in ("events", "runs", "performance"):
        named, shown = ask(*(("*/*", f"/stats/{path}?source={name}") for name in ("coingecko", label)))
        rows = json.loads(shown)["data"]
        assert rows == json.loads(named)["data"] or path == "performance"
        assert rows["runs"] if path == "performance" else rows, path


@pytest.mark.django_db(transaction=True)
def test_an_error_of_a_demo_says_so_in_any_form():
    paths = [f"/data?page=-1&format={kind}" for kind in ("csv", "ndjson", "parquet")]
    paths += ["/stream?x=1", "/metrics?x=1", "/schema?format=xml"]
    for path, answer in zip(paths, ask(*(("*/*", path) for path in paths)), strict=True):
        said = json.loads(answer)
        assert said["error"]["message"] and said["demo"] is True, path


@pytest.mark.django_db
def test_what_is_no_demo_does_not_say_so(client):
    assert "demo" not in client.get("/data").json()
    assert "Demo:" not in client.get("/data", headers={"Accept": "text/html"}).content.decode()
