"""The kill matrix: 25 seeds, among them every boundary with every victim. `make torture SEEDS=1000` goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ingestion.tests.torture.plan import MATRIX, plan_of
from ingestion.tests.torture.scenario import Torture
from ingestion.tests.torture.system import System

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture(scope="module")
def torture() -> Iterator[Torture]:
    with System() as system:
        yield Torture(system)


@pytest.mark.parametrize("seed", range(len(MATRIX)))
def test_whatever_is_killed_the_tables_come_out_as_if_nothing_had_been(torture: Torture, seed: int) -> None:
    for _ in range(4):
        outcome = torture.run(seed)
        assert not outcome.wrong, str(outcome)
        if outcome.killed:
            return
        # How many pages go in together is a matter of luck, and with it how often the work passes a point: as often as
        # this time, in which nobody was killed either.
        torture.usual &= torture.system.referee.reached
    pytest.fail(f"nobody was killed: {outcome}")


def test_a_seed_is_always_the_same_plan() -> None:
    assert [plan_of(seed) for seed in range(100)] == [plan_of(seed) for seed in range(100)]
    kills = [kill for seed in range(100) for kill in plan_of(seed).kills]
    assert {kill.victim for kill in kills} >= {"child", "worker", "beat", "redis", "postgres", "backend", "everything"}
    assert any(not kill.point for kill in kills)
