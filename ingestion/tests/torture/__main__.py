"""`make torture SEEDS=200`, or `SEED=123` for one: a line for each seed, and the plans of those that failed."""

from __future__ import annotations

import argparse
import sys
import time

from ingestion.tests.torture.scenario import Torture
from ingestion.tests.torture.system import System


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture", description="Kills parts of the system by a seeded plan.")
    parser.add_argument("--seeds", type=int, default=25, help="how many, from 0 (default: 25)")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    parser.add_argument("--seed", type=int, help="this one alone")
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    failed, kills, missed = [], 0, 0
    began = time.monotonic()
    with System() as system:
        torture = Torture(system)
        print(f"An undisturbed run takes {torture.usual_seconds:.1f} s a sweep.", flush=True)
        for seed in seeds:
            outcome = torture.run(seed)
            kills += len(outcome.killed)
            missed += len(outcome.not_reached)
            word = "FAILED" if outcome.wrong else "ok"
            print(f"seed {seed:4}  {word:6}  {outcome.seconds:5.1f} s  {', '.join(outcome.killed)}", flush=True)
            if outcome.wrong:
                failed.append(outcome)
                print(outcome, flush=True)
    print(
        f"{len(seeds)} seeds, {kills} kills ({missed} of the plans were not reached), {len(failed)} failed,"
        f" {time.monotonic() - began:.0f} s."
    )
    for outcome in failed:
        print(f"Again: make torture SEED={outcome.plan.seed}   ({outcome.plan})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
