"""API keys: made and shown once, kept as a hash, good for what their scope says, until they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from django.contrib.auth.models import User
from django.db import connection

from assets import listeners
from assets.tests.factories import coins
from cryptoetl import keys
from cryptoetl.models import ApiKey
from ingestion.tests.browsing import row_path
from ingestion.tests.commands import Manage
from ingestion.tests.crew import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def manage(transactional_db: None, capsys: pytest.CaptureFixture[str]) -> Manage:
    return Manage(capsys)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_reading_takes_no_key_unless_the_setting_says_so(client, settings):
    coins("coingecko", 1)
    assert client.get("/data").status_code == 200
    assert client.get("/data")["Cache-Control"].startswith("public")
    settings.API_KEY_REQUIRED = True
    answer = client.get("/data")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="cryptoetl"'
    assert answer.json()["error"]["code"] == "not_authenticated" and "fields" not in answer.json()["error"]
    _, text = keys.make("a program", "read")
    answer = client.get("/data", headers=bearer(text))
    assert answer.json()["total"] == 1
    assert answer["Cache-Control"].startswith("private"), "no cache between gives it to those without a key"
    assert client.get("/data", headers={"X-API-Key": text}).json()["total"] == 1
    assert client.get("/data", headers={"Authorization": f"bearer  {text} "}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/data", "/assets", "/stats", "/stats/runs", "/health/detailed", "/data?format=csv"]
)
def test_what_needs_a_key_then(client, settings, path):
    settings.API_KEY_REQUIRED = True
    assert client.get(path).status_code == 401
    page = client.get(path, headers={"Accept": "text/html"})
    assert page.status_code == 401


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/schema", "/docs", "/redoc"])
def test_what_is_for_everybody_all_the_same(client, settings, path):
    settings.API_KEY_REQUIRED = True
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("text", ["cx_nonsense", "", "é", "a" * 5000, "'; DROP TABLE cryptoetl_apikey; --"])
def test_a_key_that_is_wrong_is_refused_even_where_none_is_needed(client, text):
    answer = client.get("/data", headers=bearer(text))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "authentication_failed"
    assert not text or text not in answer.content.decode()


def test_a_key_ends_when_it_is_revoked_and_when_its_time_is_over(client):
    key, text = keys.make("a program", "read")
    late, other = keys.make("another", "read", expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert client.get("/data", headers=bearer(text)).status_code == 200
    assert client.get("/data", headers=bearer(other)).status_code == 200
    assert keys.revoke(ApiKey.objects.filter(pk=key.pk)) == 1
    assert keys.revoke(ApiKey.objects.filter(pk=key.pk)) == 0
    ApiKey.objects.filter(pk=late.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    for ended in (text, other):
        assert client.get("/data", headers=bearer(ended)).status_code == 401
    assert [keys.state(one) for one in ApiKey.objects.order_by("pk")] == ["revoked", "expired"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["revoked", "expired", "deleted"])
def test_who_listens_by_a_key_hears_no_more_when_it_has_ended(client, monkeypatch, how):
    monkeypatch.setattr(listeners, "ASKED_AGAIN", 0.1)
    key, text = keys.make("a program", "read")
    _, other = keys.make("another", "read")
    heard, beside = (client.get("/stream", headers=bearer(one)) for one in (text, other))
    streams = [iter(answer.streaming_content) for answer in (heard, beside)]
    for stream in streams:
        while b"id: " not in next(stream):
            pass
    mine = ApiKey.objects.filter(pk=key.pk)
    if how == "revoked":
        keys.revoke(mine)
    elif how == "expired":
        mine.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    else:
        mine.delete()
    wait_for(lambda: len(listeners.LISTENERS) == 1, "one of two listens, for its key is as good as before", 20)
    assert b"event" not in b"".join(streams[0])
    beside.close()


def test_only_the_hash_is_kept(client):
    key, text = keys.make("a program", "read")
    assert len(text) >= 40 and text.startswith(key.shown)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text, k.digest FROM cryptoetl_apikey k")
        row, digest = cursor.fetchone()
    assert text not in row and bytes(digest) == sha256(text.encode()).digest()
    assert len(key.shown) <= 10


def test_when_a_key_was_last_used_is_known_to_the_minute(client):
    key, text = keys.make("a program", "read")
    client.get("/data", headers=bearer(text))
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    client.get("/data", headers=bearer(text))
    key.refresh_from_db()
    assert key.last_used_at == first


def test_the_command_makes_lists_and_revokes(manage):
    made = manage("apikey", "make", "nightly report", "--operate", "--limit", "600", "--expires", "2100-01-01")
    assert made.code == 0
    text = made.out.strip()
    key = keys.find(text)
    assert key is not None
    assert (key.name, key.scope, key.per_minute, key.expires_at.year) == ("nightly report", "operate", 600, 2100)
    listed = manage("apikey", "list")
    assert "nightly report" in listed.out and "valid" in listed.out and text not in listed.out
    assert manage("apikey", "revoke", str(key.pk)).out == "1 key revoked.\n"
    assert keys.find(text) is None
    assert manage("apikey", "revoke", str(key.pk)).out == "None of these is valid any more.\n"
    assert "revoked" in manage("apikey", "list").out


def test_the_command_makes_a_key_for_some_time(manage):
    assert manage("apikey", "make", "a week", "--expires", "7d").code == 0
    key = ApiKey.objects.get()
    assert abs(key.expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("revoke", "99999"), "There is no key 99999"),
        (("revoke", "x"), "The number of a key is a whole number"),
        (("make", "n", "--limit", "0"), "The limit is a whole number from 1"),
        (("make", "n", "--expires", "never"), "is no time"),
        (("make", "n", "--expires", ""), "The argument 'expires' is empty"),
        (("make", "n", "--expires", "7x"), "in how long"),
        (("make", "n", "--expires", "0d"), "--expires '0d' is over already"),
        (("make", "n", "--expires", "2020-01-01"), "--expires '2020-01-01' is over already"),
        (("make", "n", "--expires", "99999999999w"), "is no time"),
        (("make", "n", "--limit", ""), "The argument 'limit' is empty"),
        (("make", "n", "--limit", "99999999999999"), "--limit: "),
        (("make", ""), "The argument 'name' is empty"),
        (("make", " "), "NAME: "),
    ],
)
def test_the_command_says_what_it_can_not_do_in_a_sentence(manage, arguments, words):
    said = manage("apikey", *arguments)
    assert said.code == 1
    assert words in said.err and len(said.err.strip().splitlines()) == 1
    assert not ApiKey.objects.exists()


@pytest.fixture
def boss(client) -> User:
    user = User.objects.create_superuser("boss", password="x")
    client.force_login(user)
    return user


def test_the_admin_makes_a_key_and_shows_it_once(client, boss):
    made = client.post(
        "/admin/cryptoetl/apikey/add/",
        {"name": "from the admin", "scope": "operate", "per_minute": "", "expires_at_0": "", "expires_at_1": ""},
        follow=True,
    )
    key = ApiKey.objects.get()
    page = made.content.decode()
    text = page.split('<code class="cx-key">')[1].split("</code>")[0]
    assert keys.find(text) == key and key.created_by == "boss" and key.scope == "operate"
    for path in ("/admin/cryptoetl/apikey/", f"/admin/cryptoetl/apikey/{key.pk}/change/"):
        again = client.get(path).content.decode()
        assert key.shown in again and text not in again
    assert text not in client.get("/admin/admin/logentry/").content.decode()


def test_the_admin_revokes_a_key_and_changes_no_scope(client, boss):
    key, text = keys.make("a program", "read")
    page = f"/admin/cryptoetl/apikey/{key.pk}/change/"
    client.post(
        page, {"name": "renamed", "scope": "operate", "per_minute": "5", "expires_at_0": "", "expires_at_1": ""}
    )
    key.refresh_from_db()
    assert (key.name, key.scope, key.per_minute) == ("renamed", "read", 5)
    assert keys.find(text) == key
    revoke = row_path(key, "revoke_here")
    client.get(revoke)
    assert keys.find(text) == key
    client.post(revoke, {"confirmed": "yes"})
    assert keys.find(text) is None
    assert client.post(f"/admin/cryptoetl/apikey/{key.pk}/delete/", {"post": "yes"}).status_code == 403
