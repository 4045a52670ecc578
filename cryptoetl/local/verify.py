"""`make verify`: the running copy seen from outside, by HTTP alone; a line for each thing looked at."""

from __future__ import annotations

from typing import Any

from cryptoetl.local import ports, web
from cryptoetl.local.environment import DEFAULT_PORT, folder_for, given

#: None: it was not looked at.
MARKS = {True: "ok  ", False: "FAIL", None: "?   "}
Result = tuple[bool | None, str]


def verify() -> int:
    """0 when all is well, 1 when anything is not."""
    values = given()
    running = folder_for(values).read_state().get("environment", {})
    port = ports.read_port(running.get("PORT") or values.get("PORT") or str(DEFAULT_PORT))
    print(f"cryptoetl at http://localhost:{port}/", flush=True)
    results = [_health(port), *_sources(port), _data(port), _docs(port)]
    for good, text in results:
        print(f"  {MARKS[good]}  {text}", flush=True)
    failed, unseen = (sum(good is wanted for good, _ in results) for wanted in (False, None))
    said = f"{failed} of {len(results)} failed." if failed else f"All {len(results) - unseen} are well."
    print(said + (f" {unseen} not looked at." if unseen else ""), flush=True)
    if failed == len(results):
        print("Nothing is well there: `make up` starts it, and PORT and VAR say which copy is meant.", flush=True)
    return 1 if failed else 0


def _said(answer: web.Answer) -> str:
    return f"answered {answer.status}" if answer.status else f"did not answer ({answer.body})"


def _asks_for_a_key(answer: web.Answer) -> bool:
    """With API_KEY_REQUIRED, as it should; what is behind it isn't looked at."""
    return answer.status == 401


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _health(port: int) -> Result:
    answer = web.ask(port, "/health")
    parts = _mapping(answer.json())
    words = ", ".join(f"{name} {parts[name]}" for name in ("status", "database", "broker", "etl") if name in parts)
    return answer.status == 200 and parts.get("status") != "unhealthy", f"health: {words or _said(answer)}"


def _sources(port: int) -> list[Result]:
    answer = web.ask(port, "/stats")
    if _asks_for_a_key(answer):
        return [(None, "stats: not looked at, as it takes an API key")]
    sources = _mapping(_mapping(answer.json()).get("sources"))
    if not sources:
        return [(False, f"stats: no source is shown; /stats {_said(answer)}")]
    lines: list[Result] = []
    for slug, found in sources.items():
        state = _mapping(found)
        status = str(state.get("status") or "never ran")
        error = f", {state['error']}" if state.get("error") else ""
        lines.append((status == "completed", f"source {slug}: last run {status}{error}"))
    return lines


def _data(port: int) -> Result:
    answer = web.ask(port, "/data")
    if _asks_for_a_key(answer):
        return None, "data: not looked at, as it takes an API key"
    page = _mapping(answer.json())
    rows = page.get("data")
    if answer.status != 200 or not isinstance(rows, list):
        return False, f"data: /data {_said(answer)}"
    some = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    return bool(rows), f"data: {some} on the first page of {page.get('total', 'an unknown number')} in all"


def _docs(port: int) -> Result:
    page, schema = (
        web.ask(port, "/docs", accept="text/html"),
        web.ask(port, "/schema", accept="application/json", timeout=15),
    )
    if page.status != 200 or "<html" not in page.body.lower():
        return False, f"docs: /docs {_said(page)}"
    return schema.status == 200, f"docs: the page is there, and /schema {_said(schema)}"
