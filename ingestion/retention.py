"""Retention: what was received after RAW_RETENTION_DAYS, price points by whole months after HISTORY_RETENTION_DAYS.

With the points goes the word that a coin went stale, which thinly traded ones do several times an hour. All other
events stay: they tell what was delisted when.

Nothing goes that something still stands on: the page of a current quote, of an open reject, of the sweep under way or
of the latest whole one is kept whatever its age. Of a record that is rejected sweep after sweep for the same field the
page of the newest sweep is kept: it is known by the coin that it is about, or else by its place. Partitions are
dropped, of points and of the candles of an hour alike; candles of a day stay. Pages go in small chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import sleep

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg2 import errors

from assets import tally
from assets.clock import database_clock
from ingestion.models import BackfillPiece

CHUNK = 500
#: Months in use are asked for so often in all, with a pause after each, and waited for no longer than this: well below
#: `deadlock_timeout`, so that nobody is cancelled for who reads points and candles in another order.
TRIES, PAUSE, MOMENT = 10, 1.0, "300ms"

OLD_PAGES = """
SELECT page.id FROM ingestion_rawpayload page
JOIN ingestion_checkpoint checkpoint ON checkpoint.source_id = page.source_id
WHERE page.received_at < %(before)s AND page.state <> 'stored'
  AND (page.superseded OR page.sweep < checkpoint.sweep - 1)
  AND NOT EXISTS (SELECT FROM assets_quote quote WHERE quote.page_id = page.id)
  AND page.id NOT IN (
      SELECT payload_id FROM (
          SELECT holder.id AS payload_id, holder.sweep,
                 max(holder.sweep) OVER (
                     PARTITION BY reject.source_id, reject.source_asset_id, reject.field,
                         CASE WHEN reject.source_asset_id = ''
                             THEN (holder.url, holder.meta -> 'first_row', reject.position)::text END
                 ) AS newest
          FROM ingestion_reject reject JOIN ingestion_rawpayload holder ON holder.id = reject.payload_id
          WHERE reject.state = 'open'
      ) held WHERE sweep = newest
  )
"""
#: For the time between a body and what refers to it an hour is given.
UNUSED = """
FROM ingestion_rawbody body WHERE stored_at < now() - interval '1 hour'
AND NOT EXISTS (SELECT FROM ingestion_rawpayload page WHERE page.body_id = body.sha256)
AND NOT EXISTS (SELECT FROM ingestion_backfill_piece piece WHERE piece.body_id = body.sha256)
"""


SILENCES = "FROM assets_event WHERE at < %s AND kind = 'stale'"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention removes, or would remove."""

    pages: int
    bodies: int
    partitions: tuple[str, ...]
    in_use: tuple[str, ...] = ()
    """Partitions that were being read all the time, and go another day."""
    silences: int = 0
    """Events of coins that went stale."""


def prune(dry_run: bool = False) -> Pruned:
    """What is older than its retention is gone, or merely counted."""
    with connection.cursor() as cursor:
        # PostgreSQL's clock: a worker's that is ahead would drop all history.
        now = database_clock()
        before = now - timedelta(days=settings.RAW_RETENTION_DAYS)
        history = now - timedelta(days=settings.HISTORY_RETENTION_DAYS)
        partitions = old_partitions(history)
        cursor.execute(f"SELECT count(*) FROM ({OLD_PAGES}) old", {"before": before})
        pages = cursor.fetchone()[0]
        cursor.execute(f"SELECT count(*) {SILENCES}", [history])
        silences = cursor.fetchone()[0]
        bodies, in_use = 0, list[str]()
        if not dry_run:
            pages = 0
            while gone := drop_pages(before):
                pages += gone
            forget_answers(before)
            bodies = drop_bodies()
            silences = 0
            while gone := drop_silences(history):
                silences += gone
            tally.add_up()
            in_use = drop_months(partitions)
    return Pruned(pages, bodies, tuple(name for name in partitions if name not in in_use), tuple(in_use), silences)


def drop_pages(before: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{OLD_PAGES} ORDER BY page.id LIMIT {CHUNK} FOR UPDATE OF page SKIP LOCKED", {"before": before})
        ids = [row[0] for row in cursor.fetchall()]
        for table, column in (
            ("ingestion_reject", "payload_id"),
            ("ingestion_sighting", "payload_id"),
            ("ingestion_rawpayload", "id"),
        ):
            if table == "ingestion_rawpayload":
                cursor.execute("UPDATE ingestion_drift SET payload_id = NULL WHERE payload_id = ANY(%s)", [ids])
            cursor.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)", [ids])
    return len(ids)


def forget_answers(before: datetime) -> int:
    """What a source said of its past is not kept as received any longer; that it was asked stays, and the points do.
    How many answers.
    """
    old = BackfillPiece.objects.filter(received_at__lt=before, state=BackfillPiece.State.DONE)
    return old.exclude(body=None).update(body=None)


def drop_bodies() -> int:
    """Bodies that no page has any more are gone; how many. One that is being stored again right now is locked, and
    stays; one that was stored again meanwhile has its page by the second look.
    """
    dropped = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT sha256 {UNUSED} ORDER BY sha256 LIMIT {CHUNK} FOR UPDATE SKIP LOCKED")
            unused = [row[0] for row in cursor.fetchall()]
            if not unused:
                return dropped
            cursor.execute(f"DELETE {UNUSED} AND sha256 = ANY(%s)", [unused])
            dropped += cursor.rowcount


def drop_silences(before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM assets_event WHERE id IN (SELECT id {SILENCES} ORDER BY at LIMIT {10 * CHUNK})", [before]
        )
        return int(cursor.rowcount)


def old_partitions(before: datetime) -> list[str]:
    """Partitions of price points that end before that time."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
               WHERE inhparent = 'assets_price_point'::regclass ORDER BY 1"""
        )
        return [name for (name,) in cursor.fetchall() if month_after(name) <= before]


def drop_months(partitions: Iterable[str]) -> list[str]:
    """Of these partitions of price points, and the candles of their hours, those are left that are in use.

    Who drops a month waits for all that read or write any point, and whoever comes meanwhile waits behind him. So he
    waits for a moment only, now and then: what an export to a slow reader holds goes another day.
    """
    waiting, tries_left = deque(partitions), TRIES
    while waiting and tries_left:
        if drop_month(waiting[0]):
            waiting.popleft()
        else:
            waiting.rotate(-1)
            tries_left -= 1
            sleep(PAUSE if tries_left else 0)
    return sorted(waiting)


def drop_month(name: str) -> bool:
    """It is gone; False: it is in use."""
    # In one statement: an hour without its points could not be made anew.
    hours = name.replace("price_point", "candle_hour")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{MOMENT}'")
            cursor.execute(f'DROP TABLE IF EXISTS "{name}", "{hours}"')
    except OperationalError as error:
        if isinstance(error.__cause__, errors.LockNotAvailable):
            return False
        raise
    return True


def month_after(partition: str) -> datetime:
    """The first moment after the month of `assets_price_point_2026_11`."""
    year, month = map(int, partition.rsplit("_", 2)[-2:])
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
