"""How fast ingestion and reading are, against what PostgreSQL can take and against what one would take instead.

    make bench              some three minutes
    SIZE=full make bench    200,000 records, 5 million rows of CSV, 10 million price points that are there already, 20
                            million of history, 1 and 10 million rows to read

Every figure that a ratio is made of is measured in this one run, on a PostgreSQL of its own that is durable as a user's
is. Prints a table, and writes bench.json and docs/performance.svg.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench.chart import draw
from bench.result import SIZES, Result, Size
from cryptoetl.local.throwaway import Throwaway

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures ingestion and reading.")
    parser.add_argument("--size", choices=SIZES, default=os.environ.get("SIZE", "small"))
    parser.add_argument(
        "--only",
        default="",
        help="the names of some of the parts: loads, workers, csv, crowded, identity, history, api, beside",
    )
    options = parser.parse_args()
    servers = Throwaway(durable=True)
    servers.start()
    try:
        os.environ |= {**servers.environment(), "ENV_FILE": os.devnull, "LOG_LEVEL": "WARNING"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "cryptoetl.settings"
        results, loaded = [], []
        for name, result in measured(SIZES[options.size], set(options.only.split(",")) - {""}):
            if not results:
                print(f"{'what':<58} {'records':>10} {'seconds':>8} {'a second':>9}   ratio")
            results.append(result)
            if name not in ("api", "beside"):
                loaded.append(result)
            print(line(result), flush=True)
    finally:
        servers.stop()
    rows = [{**asdict(result), "per_second": round(result.per_second)} for result in results]
    (ROOT / "bench.json").write_text(json.dumps({"size": options.size, "results": rows}, indent=2) + "\n")
    if not options.only:
        (ROOT / "docs" / "performance.svg").write_text(draw(loaded))


def line(result: Result) -> str:
    figures = f"{result.what:<58} {result.records:>10,} {result.seconds:>8.4f} {result.per_second:>9,.0f}"
    if result.ratio is None:
        return figures
    target = "" if result.target is None else f" (at least {result.target:g})"
    return f"{figures}   {result.ratio:.2f} of {result.against}{target}"


def measured(size: Size, only: set[str]) -> Iterator[tuple[str, Result]]:
    import django
    from django.core.management import call_command

    django.setup()
    from bench import api, beside, crowded, csv_file, history, identity, loads, workers

    call_command("migrate", verbosity=0)
    parts = {
        "loads": loads,
        "workers": workers,
        "csv": csv_file,
        "crowded": crowded,
        "identity": identity,
        "history": history,
        "api": api,
        "beside": beside,
    }
    for name, part in parts.items():
        if not only or name in only:
            for result in part.measured(size):
                yield name, result


if __name__ == "__main__":
    main()
