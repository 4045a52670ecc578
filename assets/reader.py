"""What a request reads, it reads as somebody who can do nothing else: a role that may only SELECT, for a limited time.

A connection serves readers and the admin in turn. Before a statement it becomes what its caller is, which costs nothing
while callers are alike. Where the role can't be made, its transactions are read-only and limited in time all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import ProgrammingError, connection, transaction
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

log = logging.getLogger(__name__)

ROLE = "cryptoetl_reader"
#: Whose tables it may see. Not those of accounts and sessions.
APPS = ("assets", "ingestion", "cryptoetl", "django_celery_beat")

_reading: ContextVar[bool] = ContextVar("reading", default=False)

#: The role's name, when this session may become it. From version 16 on a member may not, unless it is said.
USABLE = """
    SELECT rolname FROM pg_roles WHERE rolname = %s AND pg_has_role(
        session_user, oid, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
"""
#: PostgreSQL tells of this setting whenever it changes, a rollback that takes it back included: nobody need be asked.
TOLD = "default_transaction_read_only"
READER = f"""
    SELECT set_config('role', coalesce(({USABLE}), 'none'), false),
           set_config('{TOLD}', 'on', false), set_config('statement_timeout', %s, false)
"""
#: The first of it for the transaction that may have begun with this very statement.
OWNER = f"SET transaction_read_only = off; RESET ROLE; RESET {TOLD}; RESET statement_timeout"


@contextmanager
def reading(yes: bool = True) -> Iterator[None]:
    """Statements in here are a reader's; with False the owner's again."""
    token = _reading.set(yes)
    try:
        yield
    finally:
        _reading.reset(token)


def as_who_asks(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]) -> Any:
    """Django's hook around each statement: the session is the reader's or the owner's, as its caller is."""
    database = context["connection"]
    session = database.connection
    wanted, told = _reading.get(), session.get_parameter_status(TOLD)
    # None: a pooler that keeps it to itself. Nobody could say whose the session is, so it stays the owner's.
    if told not in (None, "on" if wanted else "off") and session.get_transaction_status() != TRANSACTION_STATUS_INERROR:
        with database.wrap_database_errors:
            if wanted:
                become_reader(session, settings.API_TIMEOUT_SECONDS)
            else:
                with session.cursor() as cursor:
                    cursor.execute(OWNER)
    return execute(sql, params, many, context)


def become_reader(session: Any, seconds: float) -> None:
    """This psycopg2 connection can read, and for no longer than so many seconds a statement."""
    with session.cursor() as cursor:
        cursor.execute(READER, [ROLE, str(int(seconds * 1000))])


def watch(connection: Any, **_: Any) -> None:
    """Each new connection of Django's has the hook."""
    if as_who_asks not in connection.execute_wrappers:
        connection.execute_wrappers.append(as_who_asks)


def install_role(**_: Any) -> None:
    """The role is there and may read our tables, as far as DATABASE_URL's user may see to that. After each migrate."""
    quoted = connection.ops.quote_name
    tables = [model._meta.db_table for app in APPS for model in apps.get_app_config(app).get_models()]
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE])
                if not cursor.rowcount:
                    cursor.execute(f"CREATE ROLE {ROLE} NOLOGIN")
                if not usable():
                    cursor.execute(f"GRANT {ROLE} TO CURRENT_USER")
        except ProgrammingError as error:
            log.info("there is no role of its own for reading", extra={"error": str(error).strip()})
        if usable():
            cursor.execute("SELECT current_schema()")
            cursor.execute(f"GRANT USAGE ON SCHEMA {quoted(cursor.fetchone()[0])} TO {ROLE}")
            cursor.execute(f"GRANT SELECT ON {', '.join(map(quoted, [*tables, 'django_migrations']))} TO {ROLE}")


def usable() -> bool:
    """Whether this session could become the role."""
    with connection.cursor() as cursor:
        cursor.execute(USABLE, [ROLE])
        return bool(cursor.rowcount)
