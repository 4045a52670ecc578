"""A change in the shape of what a source sends is noticed in the run that meets it first, and ordinary data is not."""

from __future__ import annotations

import json
import random
import string
from dataclasses import replace

import pytest
from django.db import DataError

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import runs, tasks
from ingestion.drift import DEEPEST, ENOUGH, Baseline, shape_of
from ingestion.http import SourceHttp
from ingestion.models import Drift, FieldSeen, RawPayload, Run
from ingestion.normalizing import normalize
from ingestion.parsing import as_bytes
from ingestion.sources import BY_SLUG


@pytest.mark.parametrize("slug", ["coingecko", "coinpaprika", "csv"])
def test_ordinary_data_is_no_drift_over_many_runs(ingest, provider, slug):
    for _ in range(4):
        assert ingest(slug).status == "completed"
        provider.change_prices()
    assert list(Drift.objects.values_list("path", "detail")) == []


@pytest.mark.parametrize("slug", ["coingecko", "coinpaprika"])
def test_a_field_that_nobody_handles_is_drift_in_the_first_run_that_meets_it(ingest, provider, slug):
    provider.fail(slug, Fault.NEW_FIELD, times=None)
    run = ingest(slug)
    assert run.status == "completed"
    drifts = list(Drift.objects.all())
    assert drifts
    for drift in drifts:
        assert (drift.kind, drift.run_id) == ("added", run.pk)
        assert drift.path.rpartition(".")[2] in drift.sample
    ingest(slug)
    assert Drift.objects.count() == len(drifts)


def test_another_type_and_a_field_that_is_gone_are_drift(ingest, provider, monkeypatch):
    ingest("coingecko")
    provider.fail("coingecko", Fault.PRICE_STRING, match={"page": 1}, position=0)
    ingest("coingecko")
    drift = Drift.objects.get()
    assert (drift.kind, drift.path, drift.detail) == ("retyped", "current_price", "number before, now also text")
    Drift.objects.all().delete()

    def without_image(source, body, meta):
        shape = shape_of(source, body, meta)
        del shape.types["image"]
        return shape

    monkeypatch.setattr("ingestion.drift.shape_of", without_image)
    provider.change_prices()
    ingest("coingecko")
    assert list(Drift.objects.values_list("kind", "path")) == [("removed", "image")]


def test_a_shape_counts_every_field_of_every_item(ingest, provider):
    ingest("coinpaprika")
    page = RawPayload.objects.select_related("body").get()
    shape = shape_of(BY_SLUG["coinpaprika"], as_bytes(page.body), page.meta)
    assert shape.times["id"] == shape.times["quotes.USD.price"] == shape.items > 100
    assert shape.types["quotes"] == {"object"}


COIN = {"id": "a", "name": "A", "current_price": 1}
NAMELESS = {"id": "a", "current_price": 1}


@pytest.fixture
def met():
    """met(item, ...): what a page of these is to a source that has been known for long, or is still being learned."""
    source, page = BY_SLUG["coingecko"], RawPayload(source_id=1, run_id=1)
    baseline = Baseline(source, False, {})

    def one_page(*items, learning=False):
        baseline.learning = learning
        found = baseline.take_in(page, shape_of(source, json.dumps(items).encode(), {}))
        return [(drift.kind, drift.path) for drift in found]

    return one_page


def test_null_for_the_first_time_is_drift_once_and_none_where_the_source_says_that_it_may_come(met):
    assert met(COIN) == []
    assert met(COIN, COIN | {"name": None, "current_price": None}) == [("nullable", "name")]
    assert met(COIN | {"name": None}) == []
    assert met(COIN | {"symbol": None}) == []
    assert met(COIN | {"symbol": "A"}) == [], "null until now said nothing about the type"


def test_a_field_is_gone_when_a_page_of_some_size_has_it_nowhere(met):
    assert met(*[COIN] * ENOUGH) == []
    assert met(*[NAMELESS] * (ENOUGH - 1)) == []
    assert met(*[NAMELESS] * ENOUGH, COIN) == []
    assert met(*[NAMELESS] * ENOUGH) == [("removed", "name")]
    assert met(*[NAMELESS] * ENOUGH) == []


def test_a_field_that_some_records_never_had_is_not_gone(met):
    assert met(NAMELESS, *[COIN] * ENOUGH) == []
    assert met(*[NAMELESS] * ENOUGH) == []


def test_while_a_source_is_learned_only_what_nobody_handles_is_drift(met):
    assert met(*[COIN] * ENOUGH) == []
    assert met(*[NAMELESS | {"current_price": "1"}] * ENOUGH, learning=True) == []
    assert met(COIN | {"unheard_of": 1}, learning=True) == [("added", "unheard_of")]


@pytest.fixture
def served(tables, provider, monkeypatch):
    """served(fields): CoinGecko's first record has these fields as well; its run, and the page that it stored."""

    def one_run(fields):
        settled = SourceHttp.get

        def get(self, path, params=None):
            answer = settled(self, path, params)
            items = json.loads(answer.body)
            items[0] |= fields
            return replace(answer, body=json.dumps(items).encode())

        monkeypatch.setattr(SourceHttp, "get", get)
        run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
        pages: list[int] = []
        tasks.carry(run.pk, pages.append)
        return run, pages[0]

    return one_run


#: Nothing that PostgreSQL could make small.
LONG_KEY = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=6000))


def test_a_key_that_no_index_could_hold_is_drift_by_its_beginning(served):
    run, page = served({LONG_KEY: {LONG_KEY: 1}, f"{LONG_KEY}2": 1, "a\0b": 1})
    assert normalize(page)
    run.refresh_from_db()
    assert (run.status, run.rejected) == ("completed", 0)
    paths = set(Drift.objects.values_list("path", flat=True))
    assert len([path for path in paths if path.startswith(LONG_KEY[:400])]) == 3
    assert "a␀b" in paths
    assert paths <= set(FieldSeen.objects.values_list("path", flat=True))


def test_what_is_too_large_for_postgresql_fails_its_page_and_is_not_tried_for_ever(served, monkeypatch):
    monkeypatch.setattr("ingestion.drift.LONGEST_PATH", 10_000)
    run, page = served({LONG_KEY: 1})
    with pytest.raises(DataError, match="index row size"):
        normalize(page)
    run.refresh_from_db()
    assert (run.status, "A fault of cryptoetl itself: DataError: index row size" in run.error) == ("failed", True)


def test_an_object_as_deep_as_a_well_is_measured_down_to_where_sources_nest_them(served):
    deep: dict = {}
    for _ in range(400):
        deep = {"deeper": deep}
    run, page = served({"deep": deep})
    assert normalize(page)
    run.refresh_from_db()
    assert (run.status, run.rejected) == ("completed", 0)
    assert FieldSeen.objects.filter(path__startswith="deep").count() == DEEPEST
