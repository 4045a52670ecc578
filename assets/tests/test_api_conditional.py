"""ETag, Last-Modified, 304, gzip: the tag changes if and only if the data that is shown does."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import zstandard
from django.db.models import F

from assets.models import Listing, Quote, Source
from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path", ["/data", "/assets", "/assets/coin-0001", "/data/summary", "/assets/coin-0001/history"]
)
def test_unchanged_data_is_304(client, path):
    coins("coingecko", 3)
    first = client.get(path)
    assert first.status_code == 200 and first["ETag"].startswith('W/"')
    again = client.get(path, headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304 and "Content-Length" not in again
    assert again.content == b"" and again["ETag"] == first["ETag"] and "X-Request-ID" in again
    assert "Cache-Control" in first and "Accept" in first["Vary"]
    for sent in (f'"other", {first["ETag"]}', "*", first["ETag"].removeprefix("W/")):
        assert client.get(path, headers={"If-None-Match": sent}).status_code == 304
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/data", "/assets"])
def test_last_modified_is_of_the_data(client, path):
    coins("coingecko", 3)
    modified = parsedate_to_datetime(client.get(path)["Last-Modified"])
    newest = max(Quote.objects.values_list("changed_at", flat=True))
    assert abs(modified - newest) < timedelta(seconds=5)


def changes(client, path: str) -> str:
    return client.get(path)["ETag"]


@pytest.mark.parametrize("path", ["/data", "/assets"])
def test_the_tag_changes_with_the_data_alone(client, path):
    coins("coingecko", 3)
    before = changes(client, path)
    coins("coingecko", 3, at=Quote.objects.first().observed_at)
    load("coingecko", record("coin-0001", "C0001", "Coin 0001", price_usd="1.0001", market_cap="999999999", rank=1))
    after = changes(client, path)
    assert after != before, "a newer observation is shown"
    assert changes(client, path) == after
    load("coingecko", record("coin-0002", "C0002", "Coin 0002", price_usd="9", rank=2))
    assert changes(client, path) not in (before, after)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/data", "/assets"])
def test_the_tag_of_a_walk_stays_whatever_is_written_elsewhere(client, path):
    coins("coingecko", 4)
    walk = f"{path}?cursor=&fields=symbol,price_usd&page_size=2"
    before, page = changes(client, walk), client.get(walk).json()
    load("coingecko", record("coin-0004", "C0004", "Coin 0004", price_usd="9", rank=4))
    assert client.get(walk).json()["next"] != page["next"], "a later walk"
    assert changes(client, walk) == before
    load("coingecko", record("coin-0002", "C0002", "Coin 0002", price_usd="9", rank=2))
    assert changes(client, walk) != before


@pytest.mark.parametrize("path", ["/data", "/assets"])
def test_the_passing_of_freshness_changes_the_tag_without_a_write(client, path):
    coins("coingecko", 3)
    before = changes(client, path)
    # Ten intervals go by. (The rows stay as they are; it is their age that changes.)
    Quote.objects.update(observed_at=F("observed_at") - timedelta(days=30))
    tag = changes(client, path)
    assert tag != before
    Quote.objects.update(observed_at=F("observed_at") + timedelta(days=30))
    assert changes(client, path) == before


def test_a_new_sweep_and_a_delisting_change_the_tag(client):
    coins("coingecko", 3)
    before = changes(client, "/data")
    Source.objects.filter(slug="coingecko").update(last_sweep_at="2031-01-01T00:00:00Z")
    swept = changes(client, "/data")
    Listing.objects.filter(source_asset_id="coin-0003").update(delisted_at="2031-01-01T00:00:00Z", missed_sweeps=3)
    assert len({before, swept, changes(client, "/data")}) == 3


def test_html_and_json_have_tags_of_their_own(client):
    coins("coingecko", 3)
    assert client.get("/data?format=json")["ETag"] != client.get("/data?format=html")["ETag"]


def test_larger_answers_are_packed_for_who_takes_it(client):
    coins("coingecko", 50)
    packed = client.get("/data", headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip" and "Accept-Encoding" in packed["Vary"]
    assert b'"total":50' in gzip.decompress(packed.content)
    assert "Content-Encoding" not in client.get("/data")
    assert client.get("/data", headers={"Accept-Encoding": "gzip", "If-None-Match": packed["ETag"]}).status_code == 304


def test_zstd_for_who_takes_it(client):
    coins("coingecko", 50)
    plain = client.get("/data")
    for accepted in ("zstd", "gzip, br, ZSTD;q=0.5"):
        answer = client.get("/data", headers={"Accept-Encoding": accepted})
        assert answer["Content-Encoding"] == "zstd" and "Accept-Encoding" in answer["Vary"]
        assert int(answer["Content-Length"]) == len(answer.content) < len(plain.content) / 3
        assert b'"total":50' in zstandard.decompress(answer.content)
    assert client.get("/data", headers={"Accept-Encoding": "gzip, zstd;q=0"})["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in client.get("/data?page=9", headers={"Accept-Encoding": "zstd"})


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("GZIP", "gzip"),
        ("br, Gzip ; q=0.5", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0", None),
        ("gzip; Q=0.000, br", None),
        ("zstd;q=0, gzip ;q = 0.", None),
        ("not-gzip", None),
        ("x-gzip", None),
        ("", None),
    ],
)
def test_packed_is_what_the_client_names_and_wants(client, accepted, encoding):
    coins("coingecko", 50)
    answer = client.get("/data", headers={"Accept-Encoding": accepted})
    assert answer.get("Content-Encoding") == encoding
    assert b'"total":50' in (gzip.decompress(answer.content) if encoding else answer.content)


@pytest.mark.parametrize("path", ["/data", "/assets", "/data/summary", "/assets/coin-0001", "/data?symbol=none"])
def test_an_unchanged_answer_varies_as_the_changed_one_does(client, path):
    coins("coingecko", 50)
    whole = client.get(path)
    unchanged = client.get(path, headers={"If-None-Match": whole["ETag"]})
    assert unchanged.status_code == 304
    assert {*unchanged["Vary"].split(", ")} == {*whole["Vary"].split(", ")} == {"Accept", "Accept-Encoding"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "encoding"), [("csv", "zstd"), ("csv", "gzip"), ("parquet", "")])
def test_a_stream_is_packed_as_it_comes(client, kind, encoding):
    coins("coingecko", 50)
    answer = client.get(f"/data?format={kind}", headers={"Accept-Encoding": encoding or "gzip, zstd"})
    assert answer.streaming and answer.get("Content-Encoding", "") == encoding
    body = answer.getvalue()
    unpack = {"zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress(body)}
    text = unpack.get(encoding, lambda: gzip.decompress(body) if encoding else body)()
    assert text.count(b"\n") == 51 if encoding else text.startswith(b"PAR1")


# ------------------------------------------------------------------------------------------------------ Cache-Control


def kept(answer) -> int:
    """Seconds for which the answer may be kept."""
    return int((re.search(r"max-age=(\d+)", answer["Cache-Control"]) or "00")[1])


@pytest.mark.parametrize("path", ["/data", "/assets", "/assets/coin-0001", "/data?symbol=none"])
def test_an_answer_may_be_kept_until_the_next_run(client, path):
    coins("coingecko", 3)
    now = datetime.now(UTC)
    assert kept(client.get(path)) == 0, "a source that never ran may run at any time"
    Source.objects.update(last_sweep_at=now, interval_seconds=600)
    Source.objects.filter(slug="csv").update(interval_seconds=300)
    assert 290 <= kept(client.get(path)) <= 300, "the next of any source"
    assert kept(client.get(path, headers={"If-None-Match": client.get(path)["ETag"]})) >= 290
    assert kept(client.get(path, headers={"Accept": "text/html"})) == 0, "a person asks for a run and looks"
    Source.objects.filter(slug="coinpaprika").update(last_sweep_at=now - timedelta(seconds=601))
    answer = client.get(path)
    assert kept(answer) == 0 and "no-cache" in answer["Cache-Control"], "one is due"
    Source.objects.filter(slug="coinpaprika").update(enabled=False)
    assert kept(client.get(path)) >= 290, "a source that is switched off has no next run"
