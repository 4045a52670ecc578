"""The forms of an answer: JSON for programs, pages for people, one shape for errors, an id on everything."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client, override_settings

from assets.tests.factories import coins, load, record

pytestmark = pytest.mark.django_db

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
LISTS = ["/data", "/assets", "/stats/runs", "/stats/drift"]
ADDRESSES = [
    *("/", "/data", "/data/summary", "/assets", "/assets/coin-0001", "/assets/coin-0001/history", "/health"),
    *("/health/live", "/health/ready", "/health/detailed", "/stats", "/stats/runs", "/stats/performance"),
    *("/stats/drift", "/stats/anomalies", "/schema", "/docs", "/redoc", "/metrics"),
]


@pytest.mark.parametrize("path", ADDRESSES)
def test_every_address_answers_with_and_without_a_slash(client, path):
    coins("coingecko", 3)
    for address in {path, path.rstrip("/") + "/"}:
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.content[:500])
        assert answer["X-Request-ID"]
        assert answer["X-Content-Type-Options"] == "nosniff" and answer["X-Frame-Options"] == "DENY"
        assert "Server" not in answer and "X-Powered-By" not in answer


def test_the_admin_is_found_without_a_slash(client):
    answer = client.get("/admin")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


@pytest.mark.parametrize("path", [path for path in ADDRESSES if path not in ("/docs", "/redoc", "/metrics")])
def test_json_for_programs(client, path):
    coins("coingecko", 3)
    for accept in ("*/*", "application/json", "application/json, text/plain, */*"):
        answer = client.get(path, headers={"Accept": accept})
        assert answer["Content-Type"].startswith("application/json"), (path, accept)
        assert isinstance(answer.json(), dict)
    assert client.get(path)["Content-Type"].startswith("application/json"), "so it is without an Accept"


@pytest.mark.parametrize("path", [path for path in ADDRESSES if path not in ("/schema", "/metrics")])
def test_pages_for_browsers(client, path):
    coins("coingecko", 3)
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    page = answer.content.decode()
    assert "<html" in page and "https://" not in page.replace("https://redocly.com/redoc", ""), "nothing from elsewhere"


def test_a_page_shows_rows_ways_to_order_a_form_and_the_next_page(client):
    load("coingecko", record("a", "<script>alert(1)</script>", "<b>", price_usd="0.00000000000000001234", rank=1))
    coins("coingecko", 3)
    page = client.get("/data?page_size=2&symbol=%3Cscript&ordering=rank", headers=BROWSER).content.decode()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "0.00000000000000001234" in page
    assert 'href="/data/1"' in page or 'href="/data/' in page
    assert "ordering=-rank" in page and 'name="min_price"' in page and 'value="&lt;script"' in page
    page = client.get("/data?page_size=2", headers=BROWSER).content.decode()
    assert 'href="http://testserver/data?page_size=2&amp;page=2"' in page
    for form in ("json", "csv", "ndjson"):
        assert f"format={form}" in page
    assert client.get("/data?format=html")["Content-Type"].startswith("text/html")
    assert client.get("/data?format=json", headers=BROWSER)["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/data", "/assets", "/stats/runs", "/assets/coin-0001/history"])
def test_a_form_that_is_sent_as_it_is_asks_for_what_is_filled_in(client, path):
    """As a browser does without the page's script."""
    coins("coingecko", 3)
    page = client.get(path, headers=BROWSER).content.decode()
    names = set(re.findall(r'<(?:input|select) name="(\w+)"', page))
    assert len(names) > 3
    query = "&".join(f"{name}=" for name in sorted(names))
    answer = client.get(f"{path}?{query}", headers=BROWSER)
    assert answer.status_code == 200, answer.content
    assert client.get(f"{path}?{query}").status_code == 400, "for a program it is a mistake"
    formats = re.findall(r'href="([^"]*format=[^"]*)"', answer.content.decode())
    assert formats and all(client.get(address.replace("&amp;", "&")).status_code == 200 for address in formats[:1])


@pytest.mark.parametrize("path", ["/stats", "/health/detailed", "/data/summary"])
def test_a_page_shows_what_is_said_of_each_source_as_a_table(client, path):
    coins("coingecko", 3)
    page = client.get(path, headers=BROWSER).content.decode()
    assert re.search(r"<th>\s*source\s*</th>", page) and 'title="coinpaprika"' in page
    assert '<dl class="facts">' in page, "and the rest in words"


@pytest.mark.parametrize("asked", ["/assets/csv:who%3Fme", "/assets/csv:who%3Fme/"])
def test_the_page_of_an_asset_leads_to_its_history_and_its_json(client, asked):
    load("csv", record("who?me"))
    page = client.get(asked, headers=BROWSER).content.decode()
    history, as_json = re.findall(r'href="(/assets/csv:who[^"]+/history|/assets/[^"]+format=json)"', page)[::-1]
    assert client.get(history).json()["asset_id"] == "csv:who?me"
    assert client.get(as_json).json()["data"]["asset_id"] == "csv:who?me"
    assert "/history" not in client.get("/assets/nobody", headers=BROWSER).content.decode()


def test_a_page_counts_its_rows_as_people_do(client):
    coins("coingecko", 1)
    assert "1 row<" in client.get("/data", headers=BROWSER).content.decode()


def test_an_empty_cursor_begins_a_walk_for_a_browser_too(client):
    coins("coingecko", 3)
    page = client.get("/data?cursor=&symbol=&page_size=2", headers=BROWSER).content.decode()
    assert "cursor=" in page and "page=2" not in page


@pytest.mark.parametrize("path", LISTS)
def test_an_error_for_a_browser_is_a_page_with_the_same_words(client, path):
    answer = client.get(f"{path}?page=-1", headers=BROWSER)
    assert answer.status_code == 400 and answer["Content-Type"].startswith("text/html")
    assert "page must be a whole number" in answer.content.decode()


# ----------------------------------------------------------------------------------------------------------- errors

NOWHERE = ["/nothing", "/data/abc", "/data/-1", "/data/1.5", "/stats/runs/x", "/%00", "/favicon.ico", "/DATA"]
NOWHERE += ["/..%2f..%2fetc/passwd", "/data/999999999999999999999999", "/stats/runs/1"]


def error(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.content[:300]
    body = answer.json()
    assert set(body) == {"request_id", "error"} and body["request_id"] == answer["X-Request-ID"]
    assert body["error"]["code"] == code and body["error"]["message"].endswith((".", "?", '"'))
    return body


@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_address_is_404(client, debug):
    with override_settings(DEBUG=debug):
        for path in NOWHERE:
            error(client.get(path), 404, "not_found")
        error(client.post("/nothing"), 404, "not_found")


@pytest.mark.parametrize(
    "path", ["/", "/data", "/assets/coin-0001", "/health", "/stats/runs", "/metrics", "/docs", "/redoc", "/schema"]
)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace"])
def test_only_reading_is_possible(client, path, method):
    answer = getattr(client, method)(path)
    assert answer.status_code == 405 and "GET" in answer["Allow"]
    error(answer, 405, "method_not_allowed")


def test_a_form_that_is_not_there_is_406(client):
    error(client.get("/data", headers={"Accept": "application/xml"}), 406, "not_acceptable")
    error(client.get("/assets", headers={"Accept": "text/csv"}), 406, "not_acceptable")
    error(client.get("/docs", headers={"Accept": "application/json"}), 406, "not_acceptable")
    assert client.get("/data", headers={"Accept": "nonsense"}).status_code in (200, 406)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html;q=0.5, application/json", "application/json"),
        ("application/json;q=0.5, text/html", "text/html"),
        ("application/json;q=0.5, */*", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("text/csv;q=0.1, application/x-ndjson;q=0.2", "application/x-ndjson"),
        ("text/*;q=0.1, text/csv", "text/csv"),
        ("application/json; charset=utf-8", "application/json"),
        ("APPLICATION/JSON; q=0.1", "application/json"),
        ("", "application/json"),
    ],
)
def test_the_weights_of_accept_decide(client, accept, kind):
    coins("coingecko", 1)
    answer = client.get("/data", headers={"Accept": accept})
    assert answer.status_code == 200 and answer["Content-Type"].split(";")[0] == kind
    if answer.streaming:
        b"".join(answer.streaming_content)


@pytest.mark.parametrize(
    "accept", ["application/json;q=0", "*/*;q=0", "application/json;q=0.0, text/plain", "," * 8000]
)
def test_a_form_that_is_not_wanted_is_not_given(client, accept):
    body = error(client.get("/data", headers={"Accept": accept}), 406, "not_acceptable")
    assert "application/json" in body["error"]["message"], "it says what there is"


def test_what_is_no_json_has_its_errors_in_the_one_shape(client):
    error(client.get("/metrics?x=1"), 400, "invalid")
    error(client.get("/metrics", headers={"Accept": "application/json"}), 406, "not_acceptable")
    error(client.post("/schema?format=yaml"), 405, "method_not_allowed")
    assert client.post("/schema?format=yaml")["Content-Type"] == "application/json"


def test_head_and_options(client):
    coins("coingecko", 1)
    head = client.head("/data")
    assert head.status_code == 200 and head.content == b"" and head["ETag"] == client.get("/data")["ETag"]
    options = client.options("/data")
    assert options.status_code == 200 and options.json()["name"] == "Rows of every source"


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc", "/redoc/"])
def test_options_of_a_document_are_told_as_elsewhere(client, path):
    options = client.options(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert options.status_code == 200 and "name" in options.json()
    assert client.options("/docs?script=").status_code == 200


def test_a_host_that_is_not_ours_is_400(client, settings):
    settings.ALLOWED_HOSTS = ["localhost"]
    answer = client.get("/data", headers={"Host": "evil.example"})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("abc-1.2_3", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("é", False),
        ("a\tb", False),
    ],
)
def test_the_callers_request_id_is_kept_if_it_is_sane(client, sent, kept):
    answer = client.get("/health/live", headers={"X-Request-ID": sent})
    assert (answer["X-Request-ID"] == sent) is kept and answer["X-Request-ID"]
    missing = client.get("/nothing", headers={"X-Request-ID": sent})
    assert missing.json()["request_id"] == missing["X-Request-ID"]


def test_a_database_that_is_away_is_503_and_no_traceback(client, monkeypatch):
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("assets.selectors.data_page", away)
    answer = client.get("/data")
    error(answer, 503, "database_unavailable")
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("debug", [False, True])
def test_our_own_bug_is_500_without_a_traceback(client, monkeypatch, debug, caplog):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("assets.selectors.data_page", broken)
    with override_settings(DEBUG=debug):
        for headers in ({}, BROWSER):
            answer = client.get("/data", headers=headers)
            assert answer.status_code == 500
            assert b"secret detail" not in answer.content and b"Traceback" not in answer.content
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ZeroDivisionError("secret"), 500, "A fault of cryptoetl itself"),
        (OperationalError("gone"), 503, "The database"),
    ],
)
def test_the_admin_says_in_words_what_goes_wrong(client, monkeypatch, error, status, words):
    def broken(*_: object, **__: object) -> None:
        raise error

    client.raise_request_exception = False
    monkeypatch.setattr("cryptoetl.login.LoginForm.__init__", broken)
    page = client.get("/admin/login/", headers=BROWSER)
    assert page.status_code == status and words in page.content.decode() and "secret" not in page.content.decode()
    assert page["Content-Type"].startswith("text/html") and page["X-Request-ID"] in page.content.decode()
    assert words in client.get("/admin/login/").json()["error"]["message"], "and to a program in the one shape"


def test_an_address_that_the_admin_does_not_have_is_a_page_for_a_person(client):
    client.force_login(get_user_model().objects.create_superuser("root", password="known to root"))
    page = client.get("/admin/nothing/", headers=BROWSER)
    assert page.status_code == 404 and page["Content-Type"].startswith("text/html")
    assert "There is nothing at this address." in page.content.decode()
    assert error(client.get("/admin/nothing/"), 404, "not_found")


def test_a_form_that_was_open_for_too_long_says_so(client):
    strict = Client(enforce_csrf_checks=True)
    page = strict.post("/admin/login/", {"username": "x"}, headers=BROWSER)
    assert page.status_code == 403 and "open its page anew" in page.content.decode()


def test_a_statement_that_takes_too_long_is_503(client, monkeypatch):
    from django.db import connection

    def slow(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 1")
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr("assets.selectors.data_page", slow)
    error(client.get("/data"), 503, "timeout")


def test_a_list_of_values_is_shown_as_it_is_typed(client):
    page = client.get("/data", headers=BROWSER).content.decode()
    assert 'placeholder="BTC,ETH"' in page and "[&#x27;" not in page
