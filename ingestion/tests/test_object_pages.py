"""A source whose pages are an object with the list inside is read, measured and shown as any other."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from django.db import connection

from ingestion.drift import shape_of
from ingestion.errors import Malformed
from ingestion.source import HttpResponse, Page, PageFacts
from ingestion.sources import BY_SLUG
from ingestion.sources.json_items import ABSENT, number, raw_items, split_list

BODY = b'{"data": [{"id": "90", "price": 99584.590000000000001}, {"id": "80", "price": 1E-30}], "info": {"time": 17}}'
NOW = datetime(2026, 11, 21, tzinfo=UTC)
META = {"items": "data"}


class Coin(msgspec.Struct):
    id: msgspec.Raw = ABSENT
    price: msgspec.Raw = ABSENT


def page() -> Page:
    response = HttpResponse(body=BODY, url="https://example.org", received_at=NOW, status_code=200, headers={})
    return Page.of(response, cursor=None, records=len(raw_items(BODY, "data")), items="data")


def test_its_records_are_counted_and_its_key_goes_with_the_page() -> None:
    assert (page().records, page().meta) == (2, META)


def test_its_items_are_those_of_the_list_to_the_last_digit() -> None:
    items = list(split_list(Coin)(BODY, "utf-8", PageFacts(NOW, META)))
    assert [str(number(item.data.price, "price")) for item in items] == ["99584.590000000000001", "1E-30"]
    assert items[1].text == '{"id": "80", "price": 1E-30}'


def test_one_record_with_nan_is_unreadable_and_the_others_are_read() -> None:
    body = b'{"data": [{"id": "1", "price": NaN}, {"id": "2", "price": 5}]}'
    first, second = split_list(Coin)(body, "utf-8", PageFacts(NOW, META))
    with pytest.raises(Malformed):
        number(first.data.price, "price")
    assert number(second.data.price, "price") == 5


@pytest.mark.parametrize(
    ("body", "sentence"),
    (
        (b'{"error": "too many requests"}', "without 'data'"),
        (b"[1, 2]", "no JSON object with 'data'"),
        (b'{"data": [{"id"', "no JSON object with 'data'"),
        (b'{"data": {"90": {}}}', "an object where a list should be"),
        (b"<!doctype html>", "no JSON object with 'data'"),
    ),
)
def test_a_body_without_the_list_is_refused_with_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        raw_items(body, "data")


def test_drift_measures_the_records_and_not_the_envelope() -> None:
    shape = shape_of(BY_SLUG["coingecko"], BODY, META)
    assert (shape.items, set(shape.types)) == (2, {"id", "price"})


@pytest.mark.django_db
def test_people_at_psql_see_the_records() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT position, payload ->> 'id', payload ->> 'price' FROM ingestion_items(%s, %s::jsonb)",
            [BODY.decode(), '{"items": "data"}'],
        )
        assert cursor.fetchall() == [(0, "90", "99584.590000000000001"), (1, "80", "0.000000000000000000000000000001")]
