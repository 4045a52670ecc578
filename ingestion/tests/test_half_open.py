"""Lines that swallow bytes and close nothing: noticed, shut, and gone on without."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import psycopg2
import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import broker, half_open, runs, tasks
from ingestion.models import Pulse, Run
from ingestion.tests.crew import database_url, nothing_is_left_open, tables, wait_for
from ingestion.tests.swallowing import Line

pytestmark = pytest.mark.faults


@pytest.fixture
def line(tables: None) -> Iterator[Line]:
    with Line(database_url()) as line:
        yield line


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_open, "SILENCE", 0.6)
    monkeypatch.setattr(half_open, "EVERY", 0.1)
    # The watcher of this process may be in the middle of a longer sleep; another one looks at once.
    monkeypatch.setattr(half_open, "_watcher", None)


def connect(url: str) -> half_open.WatchedConnection:
    link = psycopg2.connect(
        url, connection_factory=half_open.WatchedConnection, cursor_factory=half_open.WatchedCursor, connect_timeout=5
    )
    link.autocommit = True
    return link


def alive(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("whole", [False, True], ids=["this connection", "the whole server"])
def test_a_call_into_a_dead_line_ends_with_an_error_and_its_locks_are_given_back(line, hurried, whole):
    link = connect(line.url)
    link.autocommit = False
    pid = link.get_backend_pid()
    with link.cursor() as cursor:
        cursor.execute("SELECT * FROM assets_source WHERE slug = 'coingecko' FOR UPDATE")
        line.swallow(new=whole)
        began = time.monotonic()
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    assert time.monotonic() - began < (15 if whole else 5)
    assert link.closed
    if not whole:
        wait_for(lambda: not alive(pid), "the server let it go", 10)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM assets_source WHERE slug = 'coingecko' FOR UPDATE NOWAIT")


def test_a_commit_into_a_dead_line_ends_with_an_error(line, hurried):
    link = connect(line.url)
    link.autocommit = False
    with link.cursor() as cursor:
        cursor.execute("SELECT 1")
    line.swallow()
    with pytest.raises(psycopg2.OperationalError):
        link.commit()


def test_a_server_at_work_is_left_at_work(line, hurried):
    link = connect(line.url)
    with link.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_sleep(3)")
        assert cursor.fetchone() == (1,)


def test_a_reader_that_takes_its_time_is_left_to_it(tables, hurried):
    class Slow:
        read = 0

        def write(self, data: bytes) -> None:
            if self.read == 0:
                time.sleep(3)
            self.read += len(data)

    reader = Slow()
    link = connect(database_url())
    with link.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 30000)) TO STDOUT", reader)
    assert reader.read == 30_000 * 1001


@pytest.mark.slow
def test_half_open_lines_to_both_servers_in_mid_run_need_no_hand_and_less_than_a_minute(market, undisturbed, workers):
    PeriodicTask.objects.filter(task="ingestion.tasks.start").update(enabled=False)
    market.fail("coingecko", Fault.SLOW_START, match={"page": 3}, delay=1)
    with Line(workers.environment["DATABASE_URL"]) as postgres, Line(workers.environment["REDIS_URL"]) as redis:
        through = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
        workers.start(**through)
        workers.start_beat(**through)
        run = runs.start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
        tasks.send(tasks.fetch, run.pk)
        wait_for(lambda: len(market.calls) >= 3, "page 3 was asked for")
        assert postgres.open > 0
        assert redis.open > 0
        postgres.swallow()
        redis.swallow()
        wait_for(lambda: Run.objects.get(pk=run.pk).finished_at, "the run went on over new lines", 60)
        assert postgres.swallowed > 0
        assert redis.swallowed > 0
    run.refresh_from_db()
    assert (run.status, run.error) == ("completed", "")
    assert tables() == undisturbed
    nothing_is_left_open()


SENDS_TWICE = """
import time, django
django.setup()
from ingestion import tasks
from ingestion.models import Pulse
tasks.send(tasks.reconcile)
print("sent once", flush=True)
while not Pulse.objects.filter(name="swallowed").exists():
    time.sleep(0.05)
began = time.monotonic()
tasks.send(tasks.reconcile)
print(f"sent twice within {time.monotonic() - began:.1f} s", flush=True)
"""


def test_who_sends_into_a_dead_line_is_held_up_for_seconds_and_the_message_is_not_lost(market, workers):
    with Line(workers.environment["REDIS_URL"]) as redis:
        sender = workers.python("-c", SENDS_TWICE, REDIS_URL=redis.url)
        wait_for(lambda: "sent once" in workers.log, "a message was sent")
        redis.swallow()
        Pulse.objects.create(name="swallowed")
        assert sender.wait(30) == 0
    took = re.search(r"sent twice within (.+) s", workers.log)
    assert took is not None
    assert float(took[1]) < 10
    with broker.redis_client(workers.environment["REDIS_URL"]) as client:
        assert client.llen("cryptoetl:maintenance") == 2


def test_a_line_that_breaks_without_a_word_is_a_broken_line():
    """As psycopg2 tells it when libpq has no message."""
    told = "error with status PGRES_TUPLES_OK and no message from the libpq"
    watched = psycopg2.connect(os.environ["DATABASE_URL"], connection_factory=half_open.WatchedConnection)
    with pytest.raises(psycopg2.DatabaseError) as caught, watched.waiting():
        raise psycopg2.DatabaseError(told)
    assert type(caught.value) is psycopg2.DatabaseError, "the connection is there"
    with pytest.raises(psycopg2.OperationalError, match="broke: error with status"), watched.waiting():
        watched.close()
        raise psycopg2.DatabaseError(told)
