"""What a source can do wrong, and what a run makes of it: waited for, refused in a sentence, or kept and rejected."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from time import monotonic
from urllib.parse import urlsplit

import pytest
import requests
import urllib3

from assets.models import Quote, Source
from cryptoetl.demo import Fault, ProviderServer, bundled_coins
from ingestion import answers, gate, http, tasks
from ingestion.errors import BudgetSpent, RateLimited, Refused, Unavailable
from ingestion.models import CallMonth, Gate, RawPayload, Reject, Run
from ingestion.runs import start_run
from ingestion.sources import BY_SLUG
from ingestion.tests.conftest import DRIPS, point_at


@pytest.fixture
def provider(settings) -> Iterator[ProviderServer]:
    """With few coins: what is tested here is what becomes of an answer."""
    with ProviderServer(coins=list(bundled_coins())[:120]) as server:
        point_at(server, settings)
        yield server


WAITING_CURES = [
    Fault.RATE_LIMITED_SECONDS,
    Fault.RATE_LIMITED_DATE,
    Fault.RATE_LIMITED_SILENT,
    Fault.RATE_LIMITED_RESET,
    Fault.RATE_LIMITED_HTML,
    Fault.PAYMENT_LIMIT,
    Fault.SERVER_ERROR,
    Fault.BAD_GATEWAY_HTML,
    Fault.UNAVAILABLE,
    Fault.GATEWAY_TIMEOUT,
    Fault.DROPPED,
    Fault.RESET,
    Fault.RESET_MID_BODY,
    Fault.TRUNCATED,
    Fault.TRUNCATED_CHUNKED,
    Fault.GZIP_DAMAGED,
    Fault.WRONG_ENCODING,
]


@pytest.mark.parametrize("fault", WAITING_CURES)
def test_what_waiting_can_cure_is_tried_again_and_goes_in(ingest, provider, fault):
    provider.fail("coingecko", fault)
    run = ingest("coingecko")
    assert (run.status, run.retries) == ("completed", 1)
    assert run.inserted == run.processed > 90


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.PAYMENT_PLAN, "HTTP 402"),
        (Fault.KEY_MISSING, "the API key is missing: set COINGECKO_API_KEY"),
        (Fault.KEY_DEACTIVATED, "subscription of this API key is deactivated"),
        (Fault.PRO_ONLY, "subscribers of the Pro API"),
        (Fault.PRO_KEY_AT_DEMO, "set COINGECKO_PLAN=pro"),
        (Fault.DEMO_KEY_AT_PRO, "set COINGECKO_PLAN=demo"),
        (Fault.KEY_INVALID, "HTTP 403"),
        (Fault.BLOCKED_HTML, "Cloudflare denies access"),
        (Fault.BAD_REQUEST, "HTTP 400"),
        (Fault.NOT_FOUND, "knows no /coingecko/api/v3/coins/markets (HTTP 404)"),
        (Fault.REDIRECT_ELSEWHERE, "redirects to another host"),
        (Fault.OVERSIZED, "more than 64 MB"),
        (Fault.OVERSIZED_GZIP, "more than 64 MB"),
    ],
)
def test_what_waiting_can_not_cure_fails_at_once_in_a_sentence(ingest, provider, fault, words):
    provider.fail("coingecko", fault, times=None)
    run = ingest("coingecko")
    assert (run.status, run.retries, run.pages) == ("failed", 0, 0)
    assert words in run.error
    assert len(provider.calls_of("coingecko")) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.CUT_JSON, "may be cut off"),
        (Fault.HTML_200, "an HTML page, not JSON"),
        (Fault.EMPTY_BODY, "The body is empty"),
        (Fault.OBJECT_FOR_LIST, "an object where a list should be"),
        (Fault.DEEP_NESTING, "not JSON"),
    ],
)
@pytest.mark.parametrize("source", ["coingecko", "coinpaprika"])
def test_a_page_that_can_not_be_read_is_kept_as_received_and_fails_the_run(ingest, provider, source, fault, words):
    provider.fail(source, fault)
    run = ingest(source)
    assert run.status == "failed"
    assert words in run.error
    page = RawPayload.objects.get()
    assert (page.state, page.run_id) == ("failed", run.pk)
    good = ingest(source)
    assert (good.status, good.pages) == ("completed", 1 if source == "coinpaprika" else good.pages)


@pytest.mark.parametrize("source", ["coingecko", "coinpaprika"])
def test_an_empty_sweep_is_never_a_success(ingest, provider, source):
    provider.fail(source, Fault.EMPTY_LIST, times=None)
    run = ingest(source)
    assert run.status == "failed"
    assert "sent no record" in run.error


REJECTED = {
    Fault.LIST_FOR_OBJECT: "no object",
    Fault.NULL_ITEM: "no object",
    Fault.NAN: "is text, not a number",
    Fault.INFINITY: "is text, not a number",
    Fault.PRICE_STRING: "is text, not a number",
    Fault.PRICE_NEGATIVE: "is negative",
    Fault.PRICE_MISSING: "price is missing",
    Fault.PRICE_OBJECT: "is an object, not a number",
    Fault.HUGE_NUMBER: "out of any range",
    Fault.HUGE_EXPONENT: "out of any range",
    Fault.TINY_EXPONENT: "out of any range",
    Fault.MISSING_ID: "id is missing",
    Fault.NULL_ID: "id is missing",
    Fault.EMPTY_ID: "id is missing",
    Fault.NUL_IN_NAME: "holds a character that is none",
    Fault.LONE_SURROGATE: "holds a character that is none",
    Fault.BAD_UTF8: "is no text",
    Fault.LONG_NAME: "200 are the most a name may have",
    Fault.FUTURE_TIME: "lies in the future",
    Fault.BAD_TIME: "is no time",
}


@pytest.mark.parametrize("fault", list(REJECTED))
@pytest.mark.parametrize("source", ["coingecko", "coinpaprika"])
def test_a_record_that_can_not_be_read_is_kept_with_its_reason_and_stops_nothing_else(ingest, provider, source, fault):
    provider.fail(source, fault, times=None, match={"page": 1} if source == "coingecko" else None, position=2)
    run = ingest(source)
    assert (run.status, run.rejected) == ("completed", 1)
    assert run.processed == run.inserted + 1 > 90
    reject = Reject.objects.get()
    assert reject.position == 2
    assert REJECTED[fault] in reject.reason
    assert reject.raw
    again = ingest(source)
    assert (again.status, again.rejected, again.inserted + again.updated) == ("completed", 1, 0)
    assert Reject.objects.count() == 1


def test_a_price_that_the_source_does_not_say_is_null_and_no_reject(ingest, provider):
    provider.fail("coingecko", Fault.PRICE_NULL, times=None, match={"page": 1}, position=0)
    run = ingest("coingecko")
    assert (run.status, run.rejected) == ("completed", 0)
    assert Quote.objects.filter(price_usd=None).count() == 1


def test_one_id_twice_in_a_page_is_one_quote(ingest, provider):
    provider.fail("coingecko", Fault.DUPLICATE_ID, match={"page": 1}, position=1)
    run = ingest("coingecko")
    assert run.status == "completed"
    assert run.processed == run.inserted + 1
    assert Quote.objects.count() == run.inserted


def test_after_so_many_attempts_the_run_fails_with_the_reason(ingest, provider, settings):
    settings.ETL_RETRY_ATTEMPTS = 2
    provider.fail("coingecko", Fault.UNAVAILABLE, times=None)
    run = ingest("coingecko")
    assert run.status == "failed"
    assert "answers HTTP 503" in run.error
    assert len(provider.calls_of("coingecko")) == 3


def test_a_provider_that_is_down_is_named_and_does_not_hold_the_others_up(ingest, provider):
    provider.stop()
    run = ingest("coingecko")
    assert run.status == "failed"
    assert "refuses the connection" in run.error


def test_the_sources_own_word_on_waiting_is_kept_in_the_database(tables, provider):
    provider.fail("coingecko", Fault.RATE_LIMITED_SECONDS, seconds=77)
    run = start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    with pytest.raises(Unavailable) as caught:
        tasks.carry(run.pk, lambda page: None)
    assert caught.value.retry_after == 77
    run.refresh_from_db()
    assert 70 < (run.due_at - gate.database_clock()).total_seconds() <= 77
    assert run.status == "running"
    assert run.lease_token is None
    tasks.carry(run.pk, lambda page: None)
    assert len(provider.calls) == 1, "not due yet"


def test_a_source_that_asks_for_no_wait_at_all_is_not_knocked_at_in_a_row(tables, provider, settings, monkeypatch):
    settings.ETL_BACKOFF_SECONDS = 30.0
    monkeypatch.setattr(tasks.random, "uniform", lambda _, most: most)
    provider.fail("coinpaprika", Fault.RATE_LIMITED_SECONDS, seconds=0)
    run = start_run(Source.objects.get(slug="coinpaprika"), Run.Trigger.COMMAND)
    with pytest.raises(Unavailable) as waits:
        tasks.carry(run.pk, lambda page: None)
    assert waits.value.retry_after == 30.0


def test_a_slow_drip_ends_at_the_deadline(ingest, provider, settings, monkeypatch):
    monkeypatch.setattr(http, "DEADLINE", 0.5)
    settings.ETL_RETRY_ATTEMPTS = 0
    provider.fail("coingecko", Fault.SLOW_DRIP, times=None, delay=0.05, size=64)
    run = ingest("coingecko")
    assert run.status == "failed"
    assert "took longer than" in run.error


@pytest.mark.parametrize("what", DRIPS)
def test_whatever_drips_ends_at_the_deadline(tables, dripping, monkeypatch, what):
    monkeypatch.setattr(http, "DEADLINE", 0.5)
    row, begun = Source.objects.get(slug="coingecko"), monotonic()
    client = http.SourceHttp(row, BY_SLUG["coingecko"], dripping(what), gate.Limits(100, None), None)
    with client.session, pytest.raises(Unavailable, match="took longer than"):
        client.get("/x")
    assert monotonic() - begun < 5


def test_an_answer_that_is_asked_for_late_has_its_time_all_the_same(ingest, provider, settings, monkeypatch):
    row = Source.objects.get(slug="coingecko")
    monkeypatch.setattr(http, "DEADLINE", 0.5)
    base_url = provider.url("coingecko")
    client = http.SourceHttp(row, BY_SLUG["coingecko"], base_url, gate.Limits(100, None), None)
    with client.session:
        client.ahead("/ping")
        client._ahead.answer()
        threading.Event().wait(0.7)
        assert client.get("/ping").status_code == 200
        assert len(provider.calls) == 1


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MID_BODY])
def test_silence_ends(ingest, provider, settings, monkeypatch, fault):
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.3)
    settings.ETL_RETRY_ATTEMPTS = 0
    provider.fail("coingecko", fault, times=None)
    run = ingest("coingecko")
    assert run.status == "failed"
    assert "was silent" in run.error


def test_the_key_never_follows_a_redirect_and_is_in_nothing_that_is_kept(ingest, provider, settings, caplog):
    settings.COINGECKO_API_KEY, settings.COINGECKO_PLAN = "CANARY-7f3a", "demo"
    for fault in (*WAITING_CURES, Fault.REDIRECT_ELSEWHERE):
        provider.fail("coingecko", fault)
        ingest("coingecko")
    assert provider.calls[0].headers["x-cg-demo-api-key"] == "CANARY-7f3a"
    assert all("CANARY-7f3a" not in str(call.headers) for call in provider.elsewhere_calls)
    kept = [str(list(model.objects.values())) for model in (Run, RawPayload, Gate)]
    assert all("CANARY-7f3a" not in text for text in (*kept, caplog.text))


def test_a_password_in_an_address_is_in_nothing_that_is_kept_or_logged(ingest, provider, settings, caplog):
    settings.CSV_SOURCE_PATH, settings.ETL_RETRY_ATTEMPTS = "http://me:CANARY-7f3a@127.0.0.1:9/coins.csv", 0
    assert ingest("csv").error == "127.0.0.1:9 refuses the connection."
    address = urlsplit(provider.url("coingecko"))
    settings.COINGECKO_BASE_URL = address._replace(netloc=f"me:CANARY-7f3a@{address.netloc}").geturl()
    assert ingest("coingecko").status == "completed"
    assert RawPayload.objects.first().url.startswith(provider.url("coingecko"))
    kept = [str(list(model.objects.values())) for model in (Run, RawPayload, Gate)]
    assert "127.0.0.1:9 refuses" in Gate.objects.get(source__slug="csv").last_error
    assert all("CANARY-7f3a" not in text for text in (*kept, caplog.text))


@pytest.fixture
def redirected(tables, monkeypatch):
    """redirected(location, ...): the addresses that the client of CoinGecko asks when led there, its error."""

    def ask(*locations):
        row, at, left = Source.objects.get(slug="coingecko"), "https://me:pw@api.example.invalid/v3", list(locations)
        client = http.SourceHttp(row, BY_SLUG["coingecko"], at, gate.Limits(100, None), ("x-cg-pro-api-key", "CANARY"))
        asked = []

        def get(url, **_):
            asked.append(url)
            answer = requests.Response()
            answer.raw = urllib3.HTTPResponse(io.BytesIO(), preload_content=False)
            answer.status_code = 302 if left else 404
            answer.headers["location"] = left.pop(0) if left else ""
            return answer

        monkeypatch.setattr(client.session, "get", get)
        with pytest.raises(Refused) as caught:
            client.get("/coins")
        return asked, str(caught.value)

    return ask


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://api.example.invalid/v3/all", "CoinGecko redirects from https to http: the key stays here."),
        ("ftp://api.example.invalid/v3/all", "CoinGecko redirects from https to ftp: the key stays here."),
        ("//cdn.example.invalid/", "CoinGecko redirects to another host, cdn.example.invalid: the key stays here."),
        ("http://[oops/", "CoinGecko redirects to what is no address: 'http://[oops/'."),
    ],
)
def test_a_redirect_leads_to_no_place_where_the_key_may_not_go(redirected, location, words):
    assert redirected(location) == (["https://me:pw@api.example.invalid/v3/coins"], words)


def test_a_redirect_on_the_same_host_is_followed_with_the_same_password(redirected):
    asked, error = redirected("/v4/a\0b", "https://api.example.invalid/v5")
    assert asked[1:] == ["https://me:pw@api.example.invalid/v4/a%00b", "https://me:pw@api.example.invalid/v5"]
    assert error.startswith("CoinGecko knows no /v5")


def test_a_header_that_holds_nul_is_kept_with_a_sign_for_it(ingest, provider, monkeypatch):
    settled = http.SourceHttp._kept
    monkeypatch.setattr(http.SourceHttp, "_kept", lambda self, headers: settled(self, {**headers, "etag": '"a\0b"'}))
    assert ingest("coingecko").status == "completed"
    assert RawPayload.objects.first().headers["etag"] == '"a␀b"'


@pytest.mark.parametrize("name", ["undefined", "no-such", "base64", "a\0b", "\udc80", ""])
def test_a_charset_that_is_no_codec_of_text_is_utf_8(name):
    assert answers.charset(f"text/csv; charset={name}") == "utf-8"


def test_an_error_of_the_source_that_holds_nul_can_be_kept():
    assert answers.provider_error('{"error_code": 7, "error": "a\\u0000b"}') == ("7", "a␀b")
    assert answers.provider_error("[" * 100_000) == ("", "")


def test_the_proxy_of_the_environment_is_used_but_for_its_exceptions(ingest, provider, settings, monkeypatch):
    address = urlsplit(provider.url("coingecko"))
    settings.COINGECKO_BASE_URL = f"http://coingecko.invalid{address.path}"
    monkeypatch.setenv("http_proxy", f"http://{address.netloc}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ingest("coingecko").status == "completed"
    monkeypatch.setenv("no_proxy", "coingecko.invalid")
    assert "can't be resolved" in ingest("coingecko").error


def test_a_password_that_netrc_holds_for_the_host_goes_nowhere(ingest, provider, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {urlsplit(provider.url('coingecko')).hostname} login me password CANARY-7f3a\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert ingest("coingecko").status == "completed"
    assert all("authorization" not in call.headers for call in provider.calls)


def test_no_minute_holds_more_calls_than_the_limit(tables):
    source = Source.objects.get(slug="coingecko")
    limits = gate.Limits(per_minute=3, per_month=None)
    for _ in range(3):
        gate.enter(source, limits)
    with pytest.raises(RateLimited) as caught:
        gate.enter(source, limits)
    assert 55 < caught.value.retry_after <= 61


def test_the_months_budget_is_never_overspent(ingest, provider, settings):
    settings.COINPAPRIKA_MONTHLY_CALLS = 2
    assert ingest("coinpaprika").status == "completed"
    provider.fail("coinpaprika", Fault.SERVER_ERROR)
    run = ingest("coinpaprika")
    assert run.status == "partial"
    assert "The 2 calls a month" in run.error
    assert len(provider.calls_of("coinpaprika")) == 2
    assert CallMonth.objects.get(source__slug="coinpaprika").calls == 2
    with pytest.raises(BudgetSpent):
        gate.enter(Source.objects.get(slug="coinpaprika"), gate.Limits(60, 2))


def test_the_circuit_opens_is_probed_with_one_call_and_closes(ingest, provider, settings):
    settings.ETL_RETRY_ATTEMPTS = 0
    source = Source.objects.get(slug="coingecko")
    provider.fail("coingecko", Fault.UNAVAILABLE, times=gate.OPENS_AFTER + 1)
    for _ in range(gate.OPENS_AFTER):
        assert ingest("coingecko").status == "failed"
    shut = ingest("coingecko")
    until = Gate.objects.get(source=source).open_until
    assert f"failed 5 times in a row; no call is made before {until:%H:%M:%S} UTC (" in shut.error
    assert len(provider.calls) == gate.OPENS_AFTER
    limits = gate.Limits(1000, None)
    Gate.objects.update(open_until=gate.database_clock())
    gate.enter(source, limits)
    with pytest.raises(gate.CircuitOpen, match="finding out"):
        gate.enter(source, limits)
    gate.failed(source, "still down")
    assert Gate.objects.get(source=source).open_until > gate.database_clock() + gate.OPEN_FOR
    Gate.objects.update(open_until=gate.database_clock(), probing_until=None)
    provider.heal()
    assert ingest("coingecko").status == "completed"
    assert Gate.objects.get(source=source).failures == 0


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "119"}, 119, 119),
        ({"retry-after": "0"}, 0, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"x-ratelimit-reset": "2015-10-21 07:28:00 +0000"}, 0, 0),
        ({"x-ratelimit-reset": "2999-01-01 00:00:00 +0000"}, 86_400, 86_400),
        ({"retry-after": "9999999999"}, 86_400, 86_400),
        ({"retry-after": "9" * 5000}, 86_400, 86_400),
        ({"x-ratelimit-reset": "1753455270", "date": "Fri, 25 Jul 2025 14:54:00 GMT"}, 30, 30),
        ({"x-ratelimit-reset": "99999999999"}, 86_400, 86_400),
        ({"retry-after": "7", "x-ratelimit-reset": "2999-01-01 00:00:00 +0000"}, 7, 7),
        ({"retry-after": "soon", "x-ratelimit-reset": "2015-10-21 07:28:00 +0000"}, 0, 0),
    ],
)
def test_how_long_to_wait_is_read_in_every_form(headers, low, high):
    seconds = answers.retry_after(headers)
    assert seconds is not None
    assert low <= seconds <= high


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": "soon"},
        {"x-ratelimit-reset": "never"},
        {"retry-after": "-5"},
        {"retry-after": "²"},
        {"retry-after": "Fri, 31 Dec 9999 23:59:59 -0500"},
        {"x-ratelimit-reset": "9" * 30},
    ],
)
def test_no_word_on_waiting_is_none(headers):
    assert answers.retry_after(headers) is None
