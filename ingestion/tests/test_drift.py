"""A change in the shape of what a source sends is noticed in the run that meets it first, and ordinary data is not."""

from __future__ import annotations

import pytest

from cryptoetl.demo import Fault
from ingestion.drift import shape_of
from ingestion.models import Drift, RawPayload
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
