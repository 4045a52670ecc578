"""What every test gets: no way out of this machine, and tables that are emptied quickly.

A test that reached a provider would pass or fail with the weather, and spend somebody's quota. Loopback and Unix
sockets are open: PostgreSQL, Redis and the local provider server are behind them.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

# The same cases in every run; `--hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first: of two jobs none is left alone with one of them at the end."""
    long = {item.path for item in items if item.get_closest_marker("faults") or item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def _is_local(host: Any) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.split("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_way_out() -> Iterator[None]:
    """Connections and look-ups that would leave the machine fail the test that makes them."""
    patch = pytest.MonkeyPatch()
    look_up = socket.getaddrinfo

    def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
                pytest.fail(
                    f"A test tried to connect to {address[0]}:{address[1]}; only this machine is open to tests."
                )
            return connect(self, address)

        return call

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_local(host):
            if str(host).endswith(".invalid"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            pytest.fail(f"A test tried to look up {host!r}; only this machine is open to tests.")
        return look_up(host, *arguments, **options)

    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    patch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """As pytest-django's, which can't drop a database to which a process that was killed is still connected."""
    yield
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """A third of a second for each user less."""
    from django.conf import settings

    patch = pytest.MonkeyPatch()
    patch.setattr(settings, "PASSWORD_HASHERS", ["django.contrib.auth.hashers.MD5PasswordHasher"])
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Tests that really commit leave empty tables behind. Django's flush takes ten times as long, and does not know of
    the partitions."""
    from django.test import TransactionTestCase

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: empty_tables())
    yield
    patch.undo()


#: Rows of small tables are deleted, which takes a tenth of the time that new files take; what grew large is truncated,
#: as rows that are gone would still be looked at.
#: What `migrate` and the installed sources left is copied from where the first call put it.
EMPTY = """
DO $$
DECLARE
    names text[] := ARRAY(
        SELECT relname FROM pg_class
        WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
          AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    );
    size bigint := (
        SELECT sum(pg_relation_size(oid)) FROM pg_class
        WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace
    );
    name text;
    filled boolean;
BEGIN
    SET LOCAL session_replication_role = replica;  -- no trigger, no foreign key
    IF size > 3000000 THEN
        EXECUTE 'TRUNCATE ' || array_to_string(names, ', ') || ' CASCADE';
    ELSE
        FOREACH name IN ARRAY names LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO filled;
            IF filled THEN
                EXECUTE format('DELETE FROM %I', name);
            END IF;
        END LOOP;
    END IF;
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('installed') LOOP
        EXECUTE format('INSERT INTO public.%1$I SELECT * FROM installed.%1$I', name);
    END LOOP;
END $$
"""
KEEP = """
DO $$
DECLARE name text;
BEGIN
    CREATE SCHEMA installed;
    FOREACH name IN ARRAY ARRAY[
        'assets_source', 'ingestion_gate', 'ingestion_checkpoint', 'django_celery_beat_intervalschedule',
        'django_celery_beat_periodictask', 'django_celery_beat_periodictasks'
    ] LOOP
        EXECUTE format('CREATE TABLE installed.%1$I AS TABLE public.%1$I', name);
    END LOOP;
END $$
"""


def end_backend(pid: int, by: Any) -> None:
    """The server's end of a connection is gone, ended over another one (`by`)."""
    with by.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


def empty_tables() -> None:
    """Nothing but what `migrate` puts there is in the database."""
    from django.db import connection

    from ingestion.registry import install_sources

    with connection.cursor() as cursor:
        cursor.execute(EMPTY)
        cursor.execute("SELECT to_regnamespace('installed')")
        if cursor.fetchone()[0] is None:
            install_sources()
            cursor.execute(KEEP)
