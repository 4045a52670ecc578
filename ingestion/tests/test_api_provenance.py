"""/data/{id}: a row down to the very record as it was received."""

from __future__ import annotations

import json

import pytest

from assets.models import Quote
from ingestion.models import RawPayload, Reject, Run, Sighting


def test_a_row_shows_its_run_its_page_and_the_record_as_received(client, ingest, provider, django_assert_num_queries):
    run = ingest("coingecko")
    row = client.get("/data?asset_id=bitcoin").json()["data"][0]
    with django_assert_num_queries(2):
        answer = client.get(f"/data/{row['id']}")
    data = answer.json()["data"]
    whence = data.pop("provenance")
    assert data == row
    quote = Quote.objects.get(pk=row["id"])
    payload = RawPayload.objects.select_related("body").get(pk=quote.page_id)
    assert (whence["run_id"], whence["payload_id"], whence["position"]) == (run.pk, payload.pk, quote.position)
    assert (whence["url"], whence["status_code"]) == (payload.url, 200)
    assert whence["record"]["id"] == "bitcoin"
    items = json.loads(payload.body.text)
    assert whence["record"] == items[quote.position]
    digits = f'"current_price":{json.loads(payload.body.text, parse_float=str)[quote.position]["current_price"]}'
    assert digits in answer.content.decode().replace(": ", ":"), "digit by digit as received"


def test_a_row_of_a_file_shows_its_line(client, ingest, provider):
    ingest("csv")
    quote = Quote.objects.order_by("pk").first()
    whence = client.get(f"/data/{quote.pk}").json()["data"]["provenance"]
    assert isinstance(whence["record"], str)
    assert whence["record"] in RawPayload.objects.select_related("body").get(pk=quote.page_id).body.text


def test_a_row_outlives_its_page(client, ingest, provider):
    ingest("coingecko")
    Sighting.objects.all().delete()
    Reject.objects.all().delete()
    RawPayload.objects.all().delete()
    data = client.get(f"/data/{Quote.objects.first().pk}").json()["data"]
    assert data["provenance"] is None and data["price_usd"] is not None


@pytest.mark.django_db
def test_a_row_that_is_not_there_is_404(client):
    for id in ("1", "0", str(2**63), "9" * 400):
        answer = client.get(f"/data/{id}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
    assert Run.objects.count() == 0
