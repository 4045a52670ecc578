"""`make up`: from a bare folder to a system that answers. Called again, it brings what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptoetl.local import ports, processes, servers, web
from cryptoetl.local.environment import DEFAULT_PORT, folder_for, given
from cryptoetl.local.folder import CLONE, Folder
from cryptoetl.local.plan import Plan
from cryptoetl.local.postgres_server import PostgresServer
from cryptoetl.local.redis_server import RedisServer
from cryptoetl.local.steps import step
from cryptoetl.local.supervision import Supervisor
from cryptoetl.local.trouble import Trouble

# Longer than a large database needs to recover after a power cut.
SERVER_SECONDS = 300
WEB_SECONDS = 120
FIRST_INGESTION_SECONDS = 20
SUPERVISED = ("RUNNING", "STARTING", "EXITED", "BACKOFF")
NAMES = {"postgres": "PostgreSQL", "redis": "Redis", "web": "The web"}
REASON = re.compile(r"(FATAL|PANIC): |^cryptoetl: |^\*\*\* |^[\w.]*(Error|Exception|Configured|DoesNotExist)\b: ?")


def up() -> int:
    values = given()
    folder = folder_for(values)
    port = ports.read_port(values.get("PORT", str(DEFAULT_PORT)))
    if folder.read_state().get("demo"):
        raise Trouble(f"VAR names {folder.path}, which holds a demo: choose another folder.", code=2)
    database, redis, secret = (values.get(name, "") for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"))
    return start(Plan(folder, port, database_url=database, redis_url=redis, secret_key=secret))


def start(plan: Plan) -> int:
    """The planned system runs. 0, or what the first ingestion ended with."""
    if (code := already_running(plan)) is not None:
        return code
    supervisor = Supervisor(plan.folder)
    # Before anything is made. What an earlier start left behind may hold the port, and makes way below.
    if not processes.of(plan.folder):
        ports.claim(plan.port)
    plan.folder.prepare()
    with plan.folder.lock():
        # Another `make up` may have been at it while this one waited.
        if (code := already_running(plan)) is not None:
            return code
        print(f"Starting cryptoetl{' (demo)' if plan.demo else ''} in {plan.folder.path}", flush=True)
        try:
            _clear_the_way(plan.folder, supervisor)
            ports.claim(plan.port)
            state = plan.write_state()
            _start_servers(plan, state, supervisor)
            with step("migrating the database"):
                _manage_quietly(plan, "migrate", "--no-input", "--verbosity", "0")
            with step("starting web, worker and beat"):
                for name in ("web", "worker", "beat"):
                    supervisor.start_program(name)
                # Meanwhile, as the programs don't need it.
                _manage_quietly(plan, "createadmin")
                _wait(supervisor, "web", lambda: web.trouble(plan.port), WEB_SECONDS)
        except BaseException:
            # Half a system helps nobody; the data stays.
            supervisor.stop()
            processes.stop(lambda: processes.of(plan.folder), patience=10)
            raise
    print(_addresses(plan), flush=True)
    return _ingest(plan)


def already_running(plan: Plan) -> int | None:
    """0 when the whole system runs, 1 when it runs and does not answer, None when something is missing."""
    state = plan.folder.read_state()
    states = Supervisor(plan.folder).states() if state else None
    # One that has just ended is on its way back; one that was never started is not.
    if states is None or any(info["statename"] not in SUPERVISED for info in states.values()):
        return None
    port = int(state["environment"]["PORT"])
    print(f"cryptoetl is already running in {plan.folder.path}: http://localhost:{port}/", flush=True)
    if port != plan.port and not plan.demo:
        print(f"It keeps its port {port}. To move it to {plan.port}: make down, then make up again.", flush=True)
    if web.trouble(port) is None:
        return 0
    print("The web does not answer yet; `make logs` shows why.", flush=True)
    return 1


def _manage_command(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


def _manage_environment(plan: Plan) -> dict[str, str]:
    return {**given(), **plan.folder.read_state()["environment"], "VAR": str(plan.folder.path)}


def _manage_quietly(plan: Plan, *arguments: str) -> None:
    """Runs manage.py as a person would, on this copy. Its words are shown only when it fails."""
    command, environment = _manage_command(*arguments), _manage_environment(plan)
    done = subprocess.run(
        command, cwd=CLONE, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or "no reason given"
        raise Trouble(f"manage.py {arguments[0]} failed: {said.splitlines()[-1].removeprefix('cryptoetl: ')}")


def _ingest(plan: Plan) -> int:
    """Its table is the last to be seen; its last line says when no provider could be reached, and what to do then."""
    command = _manage_command("ingest", "--all", "--first", "--wait", str(FIRST_INGESTION_SECONDS))
    try:
        return subprocess.run(command, cwd=CLONE, env=_manage_environment(plan), check=False).returncode
    except KeyboardInterrupt:
        print("\nInterrupted; the system runs on, and ingests by its schedule.", flush=True)
        return 130


def _clear_the_way(folder: Folder, supervisor: Supervisor) -> None:
    """Nothing of an earlier start is left: neither a half of one, nor what a killed supervisor left behind."""
    if supervisor.states() is None and not processes.of(folder):
        return
    with step("stopping what an earlier start left behind"):
        supervisor.stop()
        processes.stop(lambda: processes.of(folder), patience=20)


def _start_servers(plan: Plan, state: dict[str, Any], supervisor: Supervisor) -> None:
    found: dict[str, PostgresServer | RedisServer] = {}
    if "redis" in plan.embedded:
        found["redis"] = servers.redis(plan.folder, state)
    if "postgres" in plan.embedded:
        found["postgres"] = postgres = servers.postgres(plan.folder, state)
        if not postgres.exists():
            with step("creating the PostgreSQL database"):
                postgres.create()
    with step("starting " + (" and ".join(NAMES[name] for name in plan.embedded) or "the supervisor")):
        supervisor.start(plan.programs)
        for name, server in found.items():
            _wait(supervisor, name, server.trouble, SERVER_SECONDS)
        if "postgres" in plan.embedded:
            postgres.create_database()


def _wait(supervisor: Supervisor, program: str, trouble: Callable[[], str | None], seconds: float) -> None:
    """The program answers. One that ended three times over has a reason, and its log knows it."""
    folder = supervisor.folder
    deadline = time.monotonic() + seconds
    seen: set[int] = set()
    while reason := trouble():
        seen.add((supervisor.states() or {}).get(program, {}).get("pid", 0))
        if len(seen - {0}) > 3 or time.monotonic() > deadline:
            reason = _last_complaint(folder.log / f"{program}.log") or reason
            raise Trouble(f"{NAMES[program]} does not start: {reason} (see {folder.log / program}.log)")
        time.sleep(0.1)


def _last_complaint(log: Path) -> str:
    """The last line of a log that sounds like a reason; empty when none does."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-80:] if line.strip()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if REASON.search(line)), "")


def _addresses(plan: Plan) -> str:
    base = f"http://localhost:{plan.port}"
    rows = [("data", "/data"), ("assets", "/assets"), ("health", "/health"), ("docs", "/docs"), ("admin", "/admin/")]
    lines = ["", *(f"  {name:<8}{base}{path}" for name, path in rows)]
    secret = plan.folder.path / "admin-password"
    if secret.exists():
        lines.append(f"  The admin is `admin`; the password is in {secret}")
    stops = "`make demo DOWN=1` stops and removes it" if plan.demo else "`make down` stops it"
    lines.append(f"  Everything is kept in {plan.folder.path}; {stops}.")
    return "\n".join(lines)
