"""The verdict of `make soak`: what grows is named, what merely sways is not."""

from __future__ import annotations

import pytest

from cryptoetl.local.soak import MEGABYTE, Sample, asked_for, verdict
from cryptoetl.local.trouble import Trouble


def hour(*, worker: float = 0, connections: float = 0, redis: float = 0, runs: float = 100) -> list[Sample]:
    """An hour of samples; each figure grows by so much in it, after a start in which everything doubles."""
    samples = []
    for minute in range(61):
        share, start = minute / 60, min(minute / 10, 1.0)
        samples.append(
            Sample(
                minute * 60.0,
                int((100 * start + worker * share + minute % 3) * MEGABYTE),
                3,
                int(8 + minute % 2 + connections * share),
                int((50 * start + redis * share) * MEGABYTE),
                int(runs * share),
            )
        )
    return samples


def test_what_stays_as_it_is_and_what_sways_is_well() -> None:
    assert verdict(hour()) == []
    assert verdict(hour(worker=5)) == []
    assert verdict(hour(worker=-50)) == []


@pytest.mark.parametrize(
    ("growing", "said"),
    [
        ({"worker": 40}, "The worker's memory grows by"),
        ({"redis": 20}, "The memory of Redis grows by"),
        ({"connections": 12}, "The connections to PostgreSQL grew from"),
        ({"runs": 0}, "No run ended"),
    ],
)
def test_what_grows_is_named(growing: dict[str, float], said: str) -> None:
    complaints = verdict(hour(**growing))
    assert len(complaints) == 1
    assert complaints[0].startswith(said)


@pytest.mark.parametrize("text", ["many", "0", "1", "-5", "nan", "inf"])
def test_a_time_that_is_none_is_named(text: str) -> None:
    with pytest.raises(Trouble, match="MINUTES must be a number of minutes"):
        asked_for(text)
    assert asked_for("") == 10
    assert asked_for("2.5") == 2.5
