"""Runs over HTTP: started once however often it is asked for, cancelled, by a key that may."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from assets.models import Source
from cryptoetl import keys
from ingestion.models import Run
from ingestion.tests.conftest import carry_to_end

PATH = "/sources/coingecko/runs"


class Operator(Client):
    def post(self, path, data=None, content_type="application/json", **more):
        """Without data there is no body, as with `curl -X POST`. (Django's own client would send an empty form.)"""
        return super().post(path, data, content_type, **more) if data else self.generic("POST", path, **more)


@pytest.fixture
def operator(tables, monkeypatch) -> Operator:
    """A caller who may; no message goes out, as nobody would take it."""
    monkeypatch.setattr("ingestion.operating.send", lambda *_: None)
    _, text = keys.make("operator", "operate")
    return Operator(headers={"Authorization": f"Bearer {text}"})


def test_it_takes_a_key_that_may(tables, client):
    for path in (PATH, "/runs/1/cancel"):
        assert client.post(path).status_code == 401
        _, text = keys.make("reader", "read")
        answer = client.post(path, headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "permission_denied"
    assert not Run.objects.exists()


def test_a_run_is_started_now(operator):
    answer = operator.post(PATH)
    assert answer.status_code == 202
    run = Run.objects.get()
    assert (run.trigger, run.status, run.full, run.source.slug) == ("api", "queued", False, "coingecko")
    assert answer["Location"] == f"/stats/runs/{run.pk}"
    assert answer.json()["data"]["run_id"] == run.pk
    assert operator.get(answer["Location"]).json()["data"]["status"] == "queued"
    assert operator.post("/sources/coinpaprika/runs/", {"full": True}).status_code == 202
    assert Run.objects.latest("pk").full


def test_a_run_that_was_started_goes_its_way(operator, market):
    run_id = operator.post(PATH).json()["data"]["run_id"]
    assert carry_to_end(Run.objects.get(pk=run_id)).status == "completed"
    assert operator.get("/data").json()["total"] == 1000


def test_while_one_is_under_way_there_is_no_other(operator):
    first = operator.post(PATH).json()["data"]["run_id"]
    answer = operator.post(PATH)
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "already_active" and f"/stats/runs/{first}" in error["message"]


def test_the_same_request_sent_again_starts_nothing_new(operator):
    headers = {"Idempotency-Key": "a-1"}
    first, again = operator.post(PATH, headers=headers), operator.post(PATH, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["data"]["run_id"] == again.json()["data"]["run_id"]
    assert "Idempotency-Replayed" not in first and again["Idempotency-Replayed"] == "true"
    # Nor when the run is over.
    Run.objects.update(status="failed", finished_at="2026-11-01T00:00Z")
    assert operator.post(PATH, headers=headers).json()["data"]["status"] == "failed"
    assert Run.objects.count() == 1
    other = operator.post("/sources/coinpaprika/runs", headers=headers)
    assert other.status_code == 400 and "Idempotency-Key" in other.json()["error"]["fields"]
    full = operator.post(PATH, {"full": True}, headers=headers)
    assert full.status_code == 400


def test_the_same_key_of_another_caller_is_another_request(operator):
    _, text = keys.make("another", "operate")
    headers = {"Idempotency-Key": "a-1"}
    first = operator.post(PATH, headers=headers).json()["data"]["run_id"]
    Run.objects.update(status="failed", finished_at="2026-11-01T00:00Z")
    second = operator.post(PATH, headers=headers | {"Authorization": f"Bearer {text}"}).json()["data"]["run_id"]
    assert first != second


def test_the_same_request_at_once_starts_one_run(operator):
    def post(_: int) -> tuple[int, int]:
        try:
            answer = operator.post(PATH, headers={"Idempotency-Key": "rush"})
            return answer.status_code, answer.json()["data"]["run_id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(post, range(16)))
    assert answers == {(202, Run.objects.get().pk)}


def test_a_request_that_comes_again_has_its_run_though_the_source_was_disabled_since(operator):
    again = {"headers": {"Idempotency-Key": "tonight"}}
    run_id = operator.post(PATH, **again).json()["data"]["run_id"]
    Source.objects.filter(slug="coingecko").update(enabled=False)
    answer = operator.post(PATH, **again)
    assert (answer.status_code, answer["Idempotency-Replayed"]) == (202, "true")
    assert answer.json()["data"]["run_id"] == run_id
    assert operator.post(PATH, headers={"Idempotency-Key": "tomorrow"}).status_code == 409
    assert operator.post(PATH).status_code == 409


def test_a_disabled_source_and_one_that_there_is_not(operator):
    Source.objects.filter(slug="coingecko").update(enabled=False)
    assert operator.post(PATH).json()["error"]["code"] == "disabled"
    assert operator.post("/sources/nobody/runs").status_code == 404
    assert not Run.objects.exists()


def test_a_run_is_cancelled(operator):
    run_id = operator.post(PATH).json()["data"]["run_id"]
    cancelled = operator.post(f"/runs/{run_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["data"]["status"]) == (202, "cancelled")
    assert operator.post(f"/runs/{run_id}/cancel").status_code == 202
    Run.objects.update(status="completed")
    ended = operator.post(f"/runs/{run_id}/cancel")
    assert ended.status_code == 409 and ended.json()["error"]["code"] == "ended"
    assert operator.post("/runs/99999999999999999999999/cancel").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'"x"', "body"),
        (b'{"full": "yes"}', "full"),
        (b'{"full": 1}', "full"),
        (b'{"full": null}', "full"),
        (b'{"fool": true}', "fool"),
        (b'{"full": true, "a\\u0000": 1}', "a\0"),
        (b"\xff", "body"),
        (b"[" * 10_000, "body"),
        (b'{"full": ' + b"[" * 10_000, "full"),
        (b" " * 20_000, "body"),
    ],
)
def test_a_body_that_can_not_be_used_is_400_with_the_name(operator, body, field):
    answer = operator.generic("POST", PATH, body, "application/json")
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["error"]["fields"]) == [field]
    assert "xpected" not in answer.content.decode(), "a library's words"
    assert not Run.objects.exists()


@pytest.mark.parametrize("sent", ["", "with space", "é", "a" * 201, "\x7f"])
def test_an_idempotency_key_that_can_not_be_used_is_named(operator, sent):
    answer = operator.post(PATH, headers={"Idempotency-Key": sent})
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["Idempotency-Key"]


def test_what_else_can_not_be_used(operator):
    form = operator.post(PATH, "full=true", "application/x-www-form-urlencoded")
    assert list(form.json()["error"]["fields"]) == ["Content-Type"]
    assert list(operator.post(f"{PATH}?full=true").json()["error"]["fields"]) == ["full"]
    assert list(operator.post("/sources/a%00b/runs").json()["error"]["fields"]) == ["slug"]
    for method in ("get", "put", "patch", "delete"):
        answer = getattr(operator, method)(PATH)
        assert answer.status_code == 405 and json.loads(answer.content)["error"]["code"] == "method_not_allowed"
