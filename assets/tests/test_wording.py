"""Counts and lengths of time are said in one way everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from assets.admin.reading import large
from assets.templatetags.figures import ago
from assets.wording import counted, distance, span


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59, "59 s"),
        (90, "2 min"),
        (timedelta(hours=3, minutes=20), "3 h 20 min"),
        (timedelta(days=9), "9 days"),
        (timedelta(days=4000), "4,000 days"),
    ],
)
def test_a_length_of_time_in_words(length, words):
    assert span(length) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 pages"), (1, "1 page"), (2500, "2,500 pages")])
def test_a_count_with_its_noun(count, words):
    assert counted(count, "page") == words


def test_a_time_lies_behind_or_ahead():
    now = datetime.now(UTC)
    assert distance(now - timedelta(minutes=5)) == "5 min ago"
    assert distance(now + timedelta(hours=3, seconds=1)) == "in 3 h"


def test_a_page_shows_the_time_itself_with_its_zone():
    at = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
    assert 'datetime="2026-11-01T12:30:00+00:00" title="2026-11-01 12:30:00 UTC"' in ago(at)
    assert ago(None) == "never"


@pytest.mark.parametrize(
    ("figure", "shown"),
    [("999700000", "$999.70 M"), ("1345678901234.5", "$1.35 T"), ("12.5", "12.5"), (None, "–")],
)
def test_a_large_sum_is_short_and_never_in_powers_of_ten(figure, shown):
    assert shown in str(large(None if figure is None else Decimal(figure)))
