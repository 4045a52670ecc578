"""The road from HTTP pages to committed quotes and price points, against a COPY of the same rows into the same tables.

    python -m bench [--records 20000]

Runs on a PostgreSQL of its own with fsync on, in this one process. Prints a table and writes bench.json.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from cryptoetl.demo import ProviderServer
from cryptoetl.local.throwaway import Throwaway

TABLES = ("assets_asset", "assets_listing", "assets_listing_key", "assets_quote", "assets_price_point")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures ingestion against COPY.")
    parser.add_argument("--records", type=int, default=20_000, help="CoinGecko-shaped records (default: 20,000)")
    records = parser.parse_args().records
    servers = Throwaway()
    servers.start()
    try:
        os.environ |= {**servers.environment(), "ENV_FILE": os.devnull, "LOG_LEVEL": "ERROR"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "cryptoetl.settings"
        results = measured(records)
    finally:
        servers.stop()
    show(results, records)
    Path("bench.json").write_text(json.dumps({"records": records, "results": results}, indent=2) + "\n")


def measured(records: int) -> list[dict[str, Any]]:
    """Every measurement: what, seconds, records a second, and its ratio to the COPY."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    with connection.cursor() as cursor:
        for name in ("fsync", "full_page_writes"):
            cursor.execute(f"ALTER SYSTEM SET {name} = on")
        cursor.execute("SELECT pg_reload_conf()")
    call_command("migrate", verbosity=0)
    results = []
    with ProviderServer(generated=records) as provider:
        settings.COINGECKO_BASE_URL = provider.url("coingecko")
        settings.COINGECKO_COINS, settings.ETL_RATE_LIMIT_REQUESTS = records, 1_000_000
        settings.COINGECKO_MONTHLY_CALLS = 10**9
        for what in ("first load", "all prices changed", "unchanged"):
            provider.warm()
            results.append(timed(what, records, run_once))
            if what == "first load":
                results.append(timed("COPY of the same rows into the same tables", records, copied(connection)))
                provider.change_prices()
    copy = next(result["records_per_second"] for result in results if result["what"].startswith("COPY"))
    return [{**result, "ratio_to_copy": round(result["records_per_second"] / copy, 3)} for result in results]


def timed(what: str, records: int, work: Callable[[], None]) -> dict[str, Any]:
    began = perf_counter()
    work()
    seconds = perf_counter() - began
    return {"what": what, "seconds": round(seconds, 3), "records_per_second": round(records / seconds)}


def run_once() -> None:
    """One run of CoinGecko, to its end, in this process."""
    from assets.models import Source
    from ingestion.management.inline import Inline
    from ingestion.models import Run
    from ingestion.runs import start_run

    run = start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    inline = Inline([run.pk], seen=lambda run: None)
    while inline.open:
        inline.go_on()
    run.refresh_from_db()
    if run.status != Run.Status.COMPLETED:
        sys.exit(f"The run {run.status}: {run.error}")


def copied(connection: Any) -> Callable[[], None]:
    """Copies what the tables hold into empty ones with the same indexes, from text that is in memory already."""
    texts = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")
            texts[table] = io.StringIO()
            cursor.copy_expert(f"COPY (SELECT * FROM {table}) TO STDOUT", texts[table])

    def work() -> None:
        with connection.cursor() as cursor:
            for table, text in texts.items():
                text.seek(0)
                cursor.copy_expert(f"COPY bench_{table} FROM STDIN", text)

    return work


def show(results: list[dict[str, Any]], records: int) -> None:
    print(f"{records:,} records, one process, PostgreSQL with fsync\n")
    print(f"{'what':<46} {'seconds':>8} {'records/s':>10} {'of COPY':>8}")
    for result in results:
        print(
            f"{result['what']:<46} {result['seconds']:>8.2f} {result['records_per_second']:>10,}"
            f" {result['ratio_to_copy']:>8.2f}"
        )


if __name__ == "__main__":
    main()
