"""How PostgreSQL carries out each query of the lists, over as many rows of /data as wanted, as Markdown.

    python -m bench.plans 10000000 > plans.md

The plans in docs/PERFORMANCE.md are made by it: of three executions the quickest. Each is the very statement that the
request sent. Left out is what all of them have in common, the sum of the tally and when the next run is due.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from cryptoetl.local.throwaway import Throwaway

TIMES = 3
#: What a step of a plan says beside its name, as EXPLAIN words it.
TOLD = ("Sort Key", "Cache Key", "Index Cond", "Recheck Cond", "Filter", "Rows Removed by Filter", "Heap Fetches")
LONGEST = 100


def main() -> None:
    rows = int(sys.argv[1])
    with ExitStack() as stack:
        servers = Throwaway(durable=True)
        stack.callback(servers.stop)
        servers.start()
        os.environ |= {**servers.environment(), "ENV_FILE": os.devnull, "LOG_LEVEL": "WARNING"}
        # A plan over all rows, on a machine with other work, may take longer than a reader has.
        os.environ |= {"DJANGO_SETTINGS_MODULE": "cryptoetl.settings", "API_TIMEOUT_SECONDS": "300"}
        import django

        django.setup()
        from django.core.management import call_command

        from bench.filling import fill

        call_command("migrate", verbosity=0)
        fill(rows)
        for title, path in asked(rows):
            milliseconds, plan = quickest(*statement(path))
            print(f"`{title}`: {milliseconds:.2f} ms\n\n```\n{plan}\n```\n", flush=True)


def asked(rows: int) -> Iterator[tuple[str, str]]:
    """(title, path) of one request for each kind of query."""
    from bench.api import walk_behind

    deep = rows * 9 // 10
    yield from ((path, path) for path in ("/data", "/data?ordering=-rank", "/data?ordering=-updated_at"))
    for ordering in ("rank", "-rank", "id"):
        row = get(f"/data?ordering={ordering}&count=none&limit=1&offset={deep}")["data"][0]
        yield f"/data?ordering={ordering}&cursor=… (at 90 %)", walk_behind(row, ordering)
    resume = get("/data?cursor=&count=none&page_size=1")["resume"]
    yield "/data?cursor=… (a walk resumed, nothing new)", resume.partition("localhost")[2]
    for number in (deep // 50, rows // 2 // 50):
        yield f"/data?page={number}", f"/data?page={number}"
    for path in (
        "/data?source=coingecko",
        "/data?asset_id=coin-77",
        "/assets",
        "/assets/coin-77",
        "/data?search=zzqqxxjj",
        "/data?search=Coin+number+77",
        "/data?search=number",
        "/data?min_price=99999999999",
        "/data?ordering=price_usd",
    ):
        yield path, path
    yield f"/assets?page={rows * 9 // 1000}", f"/assets?page={rows * 9 // 1000}"


def get(path: str) -> Any:
    from django.test import Client

    answer = Client().get(path, headers={"accept": "application/json", "host": "localhost"})
    assert answer.status_code == 200, answer.content
    return answer.json()


def statement(path: str) -> tuple[str, Any]:
    """The longest statement of a request, which is the one that reads its rows, and its values."""
    from django.db import connection

    sent: list[tuple[str, Any]] = []

    def noted(execute: Callable[..., Any], sql: str, values: Any, many: bool, context: Any) -> Any:
        sent.append((sql, values))
        return execute(sql, values, many, context)

    # A session of its own, in which nothing is prepared yet.
    connection.close()
    with connection.execute_wrapper(noted):
        get(path)
    return max(sent, key=lambda one: len(one[0]))


def quickest(sql: str, values: Any) -> tuple[float, str]:
    """(milliseconds, plan) of the best execution."""
    from django.db import connection

    executed = []
    for _ in range(TIMES):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
            (plan,) = cursor.fetchone()[0]
        executed.append((plan["Execution Time"], plan["Plan"]))
    milliseconds, root = min(executed, key=lambda one: one[0])
    return milliseconds, "\n".join(steps(root))


def steps(step: dict[str, Any], depth: int = 0) -> Iterator[str]:
    """The lines of a plan, from this step on: what it is, the time until its last row, what it gave, how often."""
    margin = "  " * depth
    loops = step["Actual Loops"]
    gave = f"{step['Actual Total Time']:.2f} ms, {step['Actual Rows']:.0f} rows" if loops else "not begun"
    yield f"{margin}{'->  ' if depth else ''}{name_of(step)} ({gave}{f', {loops} loops' if loops > 1 else ''})"
    for key in TOLD:
        if key in step and step[key] != 0:
            told = ", ".join(step[key]) if isinstance(step[key], list) else str(step[key])
            yield f"{margin}{'    ' if depth else '  '}{key}: {told if len(told) <= LONGEST else told[:LONGEST] + '…'}"
    for inner in step.get("Plans", ()):
        if not inner.get("Subplan Name", "").startswith("InitPlan"):
            yield from steps(inner, depth + 1)


def name_of(step: dict[str, Any]) -> str:
    name = step["Node Type"]
    if "Subplan Name" in step:
        name = f"{step['Subplan Name']}: {name}"
    if step.get("Parallel Aware"):
        name = f"Parallel {name}"
    if step.get("Join Type") == "Left":
        name = f"{name} Left Join"
    if step.get("Scan Direction") == "Backward":
        name += " Backward"
    if "Index Name" in step:
        name += f" using {step['Index Name']}"
    alias = step.get("Alias", "")
    if "Relation Name" in step:
        return f"{name} on {step['Relation Name']} {alias}".removesuffix(f" {step['Relation Name']}")
    return f"{name} on {alias}" if alias else name


if __name__ == "__main__":
    main()
