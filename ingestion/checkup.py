"""Everything that a start depends on, looked at once: a finding each, in a sentence that says what to do.

A check that finds its server away says so and is done; those that need the database are left out when it is away.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import time
from typing import Literal

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from assets import reader
from assets.clock import database_clock
from assets.models import Source
from assets.wording import span
from ingestion import broker, workers
from ingestion.budget import budget
from ingestion.errors import SourceError
from ingestion.models import Pulse, Run
from ingestion.probing import probe
from ingestion.registry import configured
from ingestion.sources import BY_SLUG

POSTGRESQL = 150_000
REDIS = (6, 2)
CLOCK_APART = 2.0
DISK_WARN, DISK_FAIL = 2 * 1024**3, 256 * 1024**2
#: Beat sends the reconciler every 15 s, and a worker carries it out: its pulse vouches for both.
PULSE_WARN, PULSE_FAIL = timedelta(seconds=60), timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Finding:
    level: Literal["ok", "warn", "fail"]
    what: str
    says: str


def ok(what: str, says: str) -> Finding:
    return Finding("ok", what, says)


def warn(what: str, says: str) -> Finding:
    return Finding("warn", what, says)


def fail(what: str, says: str) -> Finding:
    return Finding("fail", what, says)


def examine(knock: bool = True) -> Iterator[Finding]:
    """One finding after the other, as they are made. Without `knock` no source is called."""
    reachable = True
    try:
        connection.ensure_connection()
        yield database()
    except DatabaseError as error:
        reachable = False
        yield fail("PostgreSQL", f"can't be reached ({broker.reason(error)}): check DATABASE_URL, or run `make up`")
    in_order = False
    if reachable:
        found = migrations()
        in_order = found.level == "ok"
        yield found
        yield role()
        yield clock()
    yield from redis_servers()
    yield disk()
    if in_order:
        yield from guarded("workers", worker_processes)
        yield from guarded("beat", heartbeat)
        yield from sources(knock)


def guarded(what: str, check: Callable[[], Finding]) -> Iterator[Finding]:
    """A check whose server goes away in the middle is a finding too."""
    try:
        yield check()
    except Exception as error:
        yield fail(what, f"could not be looked at ({broker.reason(error)})")


def database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
        number, name = cursor.fetchone()
        cursor.execute("SELECT pg_database_size(current_database())")
        size = cursor.fetchone()[0]
    if number < POSTGRESQL:
        return fail("PostgreSQL", f"is version {name}, and 15 or newer is needed")
    return ok("PostgreSQL", f"version {name.split()[0]}, the database holds {size / 1024**2:,.0f} MB")


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    waiting = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if waiting:
        some = f"{len(waiting)} of them not applied, {waiting[0]} first"
        return fail("migrations", f"{some}: run `python manage.py migrate`")
    return ok("migrations", "all applied")


def role() -> Finding:
    """Whether the API reads as a role that can do nothing else."""
    if reader.usable():
        return ok("reading", f"the API reads as {reader.ROLE}, which may do nothing else")
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(session_user)")
        user = cursor.fetchone()[0]
    return warn(
        "reading",
        f"the API's transactions are read-only by a setting alone, as {user} may not make roles: as a superuser"
        f" CREATE ROLE {reader.ROLE}; GRANT {reader.ROLE} TO {user}; then `python manage.py migrate`",
    )


def clock() -> Finding:
    with connection.cursor() as cursor:
        before = time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        apart = cursor.fetchone()[0] - (before + time()) / 2
    if abs(apart) > CLOCK_APART:
        side = "ahead of" if apart > 0 else "behind"
        return warn("clock", f"PostgreSQL's is {abs(apart):.1f} s {side} this machine's: set both by NTP")
    return ok("clock", f"{abs(apart) * 1000:.0f} ms between this machine and PostgreSQL")


def redis_servers() -> Iterator[Finding]:
    """Redis, and the broker where that is another server."""
    urls = [settings.REDIS_URL]
    if settings.CELERY_BROKER_URL != settings.REDIS_URL:
        urls.append(settings.CELERY_BROKER_URL)
    for url in urls:
        is_broker = url == settings.CELERY_BROKER_URL
        what = "Redis" if url == settings.REDIS_URL else "broker"
        if broker.is_redis(url):
            yield from guarded(what, partial(redis_server, url, what, is_broker))
        else:
            trouble = broker.trouble()
            yield fail("broker", trouble.rstrip(".")) if trouble else ok("broker", f"answers at {broker.place(url)}")


def redis_server(url: str, what: str, is_broker: bool) -> Finding:
    try:
        with broker.redis_client(url) as client:
            facts = client.info("all")
    except Exception as error:
        return fail(what, f"at {broker.place(url)} can't be reached ({broker.reason(error)})")
    version = str(facts["redis_version"])
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < REDIS:
        return fail(what, f"is version {version}, and 6.2 or newer is needed")
    if is_broker and (trouble := broker.trouble()):
        return fail(what, trouble.removeprefix("The broker ").rstrip("."))
    says = f"version {version}" + (", carries the work" if is_broker else "")
    if is_broker and facts.get("maxmemory_policy", "noeviction") != "noeviction":
        return warn(
            what, f"{says}; maxmemory-policy is {facts['maxmemory_policy']}: messages may vanish, set noeviction"
        )
    if is_broker and not facts.get("aof_enabled"):
        return warn(what, f"{says}; no append-only file: what waits there is lost with it, and sent again later")
    return ok(what, f"{says}, noeviction, append-only file on" if is_broker else says)


def disk() -> Finding:
    folder = Path(settings.VAR)
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    says = f"{usage.free / 1024**3:,.1f} GB free of {usage.total / 1024**3:,.1f} GB at {folder}"
    if usage.free < DISK_FAIL:
        return fail("disk", f"{says}: make room")
    return warn("disk", f"{says}: not much") if usage.free < DISK_WARN else ok("disk", says)


def worker_processes() -> Finding:
    try:
        alive = workers.alive(timeout=1.5)
    except Exception as error:
        return fail("workers", f"can't be asked, the broker is away ({broker.reason(error)})")
    if not alive:
        return fail(
            "workers", "none answers: runs wait in the database; `make up` starts one, `ingest --inline` does without"
        )
    without = [queue for queue in workers.QUEUES if not any(queue in queues for queues in alive.values())]
    if without:
        return fail("workers", f"{len(alive)} alive, and none takes work from {' and '.join(without)}")
    return ok("workers", f"{len(alive)} alive: {', '.join(alive)}")


def heartbeat() -> Finding:
    pulse = Pulse.objects.filter(name="reconcile").first()
    if pulse is None:
        return warn("beat", "has not ticked yet: the schedule and the reconciler rest")
    silent = database_clock() - pulse.at
    says = f"last tick carried out {span(silent)} ago"
    if silent > PULSE_FAIL:
        return fail("beat", f"{says}: beat or the workers are not running, so nothing is scheduled or taken over")
    return warn("beat", f"{says}: it should be 15 s") if silent > PULSE_WARN else ok("beat", says)


def sources(knock: bool) -> Iterator[Finding]:
    for row in Source.objects.all():
        if row.slug not in BY_SLUG:
            yield warn(row.slug, "is in the database and unknown to this version")
            continue
        if not row.enabled:
            yield ok(row.slug, "is disabled")
            continue
        if knock:
            yield from guarded(row.slug, partial(source, row))
        if BY_SLUG[row.slug].network:
            yield calls(row)
        yield from last_run(row)


def source(row: Source) -> Finding:
    config = configured(row.slug)
    plan = f"plan {config.options.plan}, {'with' if config.options.api_key else 'without'} a key: "
    try:
        return ok(row.slug, (plan if BY_SLUG[row.slug].network else "") + probe(row))
    except SourceError as error:
        return fail(row.slug, str(error).rstrip("."))


def calls(row: Source) -> Finding:
    its = budget(row)
    what = f"{row.slug} calls"
    if its.left == 0:
        return fail(what, str(its))
    return warn(what, f"{its}; run it less often, or take a larger plan") if its.runs_out_at else ok(what, str(its))


def last_run(row: Source) -> Iterator[Finding]:
    """Only what needs a look: a last run that failed."""
    run = Run.objects.filter(source=row, finished_at__isnull=False).order_by("-pk").first()
    if run is not None and run.status == Run.Status.FAILED:
        yield warn(f"{row.slug} run {run.pk}", f"failed: {run.error.rstrip('.')}")
