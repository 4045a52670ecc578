"""Of several words of one time the latest page's is left, though it only repeated what an earlier one had said."""

from __future__ import annotations

from itertools import permutations

import pytest

from assets.models import PricePoint, Quote
from ingestion import normalizing, replaying
from ingestion.models import RawPayload
from ingestion.tests.test_model import FRESH, Machine, Word


@pytest.fixture
def stored(db):
    """stored(price, ...): pages that hold one coin at one time, each at its own price; their ids."""
    machine = Machine()

    def store(*prices: str) -> list[int]:
        for price in prices:
            machine.a_page_is_stored([Word("a-coin", FRESH, price)])
        RawPayload.objects.filter(pk__in=machine.words).update(attempts=1)  # so that each goes in alone
        return list(machine.words)

    yield store
    machine.teardown()


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("prices", [("1", "2", "1"), ("null", "2", "null"), ("2", "null", "2")])
def test_the_order_of_normalizing_does_not_matter(stored, prices, order):
    pages = stored(*prices)
    for place in order:
        assert normalizing.normalize(pages[place]) == 1
    assert str(Quote.objects.get().price_usd).replace("None", "null") == prices[-1]
    assert {str(point.price_usd) for point in PricePoint.objects.all()} == {
        [one for one in prices if one != "null"][-1]
    }


def test_a_page_that_is_read_again_alone_changes_nothing_that_a_later_page_said(stored):
    first, second, third = stored("1", "2", "1")
    for page in (first, third):
        normalizing.normalize(page)
    normalizing.fail_page(second, "set aside")
    for page in RawPayload.objects.filter(pk=second).select_related("source", "body"):
        (done,) = replaying.replay(iter([page]))
    assert (done.pages, Quote.objects.get().price_usd, PricePoint.objects.get().price_usd) == (1, 1, 1)


def test_in_the_ordinary_order_no_page_is_asked_for_again(stored, monkeypatch):
    monkeypatch.setattr("ingestion.merging.parse", None)
    for page in stored("1", "2", "1"):
        normalizing.normalize(page)
    assert Quote.objects.get().price_usd == 1
