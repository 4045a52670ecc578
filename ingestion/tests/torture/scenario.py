"""One seed: a fresh system, two sweeps of every source, the kills of its plan, and then no hand until all is quiet."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal

from ingestion.tests.torture import tables
from ingestion.tests.torture.kills import Executioner
from ingestion.tests.torture.plan import TRIGGERS, Kill, Plan, plan_of
from ingestion.tests.torture.system import PATIENCE, SOURCES, Stuck, System

SWEEPS = 2

#: What beat sends once, as soon as it sees it.
SCHEDULED = """
WITH daily AS (SELECT id FROM django_celery_beat_intervalschedule WHERE period = 'days' LIMIT 1), made AS (
    INSERT INTO django_celery_beat_periodictask (name, task, interval_id, args, kwargs, queue, headers, description,
        one_off, enabled, total_run_count, date_changed)
    SELECT 'torture ' || %(sweep)s || ' ' || slug, 'ingestion.tasks.start', daily.id, format('["%%s"]', slug), '{}',
        'maintenance', '{}', '', false, true, 0, now() - interval '1 day'
    FROM unnest(%(sources)s) AS slug, daily
)
UPDATE django_celery_beat_periodictasks SET last_update = clock_timestamp()
"""
#: What has had its run today may have another.
A_DAY_LATER = """
UPDATE ingestion_run SET slot = slot - interval '1 day', queued_at = queued_at - interval '1 day',
    started_at = started_at - interval '1 day', finished_at = now() - interval '1 day'
"""
STANDING = """
SELECT source.slug, run.status IN ('queued', 'running')
    OR EXISTS (SELECT FROM ingestion_rawpayload page WHERE page.run_id = run.id AND page.state = 'stored')
FROM ingestion_run run JOIN assets_source source ON source.id = run.source_id WHERE run.id > %s
"""

BAD_RUNS = """
SELECT source.slug, run.status, run.error FROM ingestion_run run JOIN assets_source source ON source.id = run.source_id
WHERE run.status <> 'completed'
"""


@dataclass(slots=True)
class Outcome:
    """What became of a seed."""

    plan: Plan
    seconds: float = 0.0
    killed: list[str] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Empty when it came out as an undisturbed run does."""

    def __str__(self) -> str:
        lines = [f"seed {self.plan.seed}: {self.plan}", f"  killed: {'; '.join(self.killed) or 'nobody'}"]
        lines += [f"  not reached: {'; '.join(self.not_reached)}"] if self.not_reached else []
        return "\n".join(lines + [f"  {line}" for line in self.wrong])


class Torture:
    """Seeds on one system. What an undisturbed run gives, and passes on its way, is measured once at the beginning."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.usual: Counter[str] = Counter()
        self.usual_seconds = 1.0
        system.tell("reset")
        system.rows(tables.WATCH)
        undisturbed = [self._undisturbed(trigger) for trigger in TRIGGERS]
        self.undisturbed = undisturbed[0]
        if different := tables.differences(*undisturbed):
            raise AssertionError("\n".join(["Two undisturbed runs differ:", *different]))

    def _undisturbed(self, trigger: str) -> tables.Tables:
        seconds = self._carry(replace(plan_of(0), trigger=trigger, workers=1, kills=()))
        self.usual |= self.system.referee.reached
        self.usual_seconds = seconds / SWEEPS
        wrong = tables.violations(self.system.rows)
        wrong += [f"a run did not complete: {run}" for run in self.system.rows(BAD_RUNS)]
        if wrong:
            raise AssertionError("\n".join(["An undisturbed run is no good:", *wrong]))
        return tables.snapshot(self.system.rows)

    def run(self, seed: int) -> Outcome:
        """The seed's plan is carried out, and its outcome judged."""
        outcome = Outcome(plan_of(seed))
        began = time.monotonic()
        try:
            self._carry(outcome.plan)
            outcome.wrong += tables.violations(self.system.rows)
            outcome.wrong += tables.differences(self.undisturbed, tables.snapshot(self.system.rows))
        except Stuck as stuck:
            outcome.wrong += [*str(stuck).splitlines(), "The log's end:", *self.system.last_words().splitlines()]
        finally:
            outcome.killed = list(self.system.referee.done)
            outcome.not_reached = self.system.referee.end()
            outcome.seconds = time.monotonic() - began
        return outcome

    # ---------------------------------------------------------------------------------------------------- its course

    def _carry(self, plan: Plan) -> float:
        system = self.system
        system.referee.end()
        system.reset(plan.workers)
        began = time.monotonic()
        system.referee.begin(plan.kills, self.usual, Executioner(system))
        moments = [kill for kill in plan.kills if not kill.point]
        for sweep in range(1, SWEEPS + 1):
            if sweep > 1:
                self._move_market()
            newest = system.rows("SELECT coalesce(max(id), 0) FROM ingestion_run")[0][0]
            if sweep > 1:
                system.rows(A_DAY_LATER)
            # The kills at a moment fall into one sweep or the other.
            due = [kill for kill in moments if (kill.share < 0.5) == (sweep == 1)]
            self._sweep(sweep, newest, plan, due)
        return time.monotonic() - began

    def _sweep(self, sweep: int, newest: int, plan: Plan, moments: list[Kill]) -> None:
        """Every source has had a run since `newest`, and nothing is left to do."""
        system = self.system
        began = time.monotonic()
        due = sorted(
            ((began + kill.share * 2 % 1 * self.usual_seconds, kill) for kill in moments), key=lambda one: one[0]
        )
        typed = system.said["command"]
        if plan.trigger == "beat":
            system.rows(SCHEDULED, {"sweep": sweep, "sources": list(SOURCES)})
        else:
            system.send(f"ingest {' '.join(SOURCES)}")

        def quiet() -> bool:
            nonlocal typed
            while due and due[0][0] <= time.monotonic():
                system.referee.carry_out(due.pop(0)[1])
            if due or system.dead or system.asleep:
                return False
            standing = dict(system.rows(STANDING, [newest]))
            missing = [source for source in SOURCES if source not in standing]
            if missing and plan.trigger == "command" and system.said["command"] > typed:
                # Whoever typed the command saw it die, and types it again.
                typed += 1
                if missing := [one for one in missing if one not in dict(system.rows(STANDING, [newest]))]:
                    system.send(f"ingest {' '.join(missing)}")
            return not missing and not any(standing.values())

        deadline = began + PATIENCE
        while not quiet():
            if time.monotonic() > deadline:
                left = tables.violations(system.rows)
                raise Stuck("\n".join([f"Sweep {sweep} did not end within {PATIENCE:.0f} s.", *left]))
            system.tend()
            time.sleep(0.02)

    def _move_market(self) -> None:
        """Most prices move, a coin is gone, a coin is new, a price is far off."""
        provider = self.system.provider
        provider.change_prices(share=0.7)
        provider.remove("dogecoin")
        provider.add("torture-coin", symbol="TORT", name="Torture Coin", price="1.25", market_cap="123456789")
        provider.set_price("bitcoin", Decimal("123456.789"), source="coingecko")
