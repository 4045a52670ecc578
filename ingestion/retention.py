"""Retention: what was received after RAW_RETENTION_DAYS, price points by whole months after HISTORY_RETENTION_DAYS.

Nothing goes that something still stands on: the page of a current quote, of an open reject, of the sweep under way or
of the latest whole one is kept whatever its age. Of a record that is rejected sweep after sweep for the same field the
page of the newest sweep is kept: it is known by the coin that it is about, or else by its place. Partitions are
dropped, of points and of the candles of an hour alike; candles of a day stay. Pages go in small chunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from assets import tally
from assets.clock import database_clock
from ingestion.models import BackfillPiece

CHUNK = 500

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


@dataclass(frozen=True, slots=True)
class Pruned:
    """What retention removes, or would remove."""

    pages: int
    bodies: int
    partitions: tuple[str, ...]


def prune(dry_run: bool = False) -> Pruned:
    """What is older than its retention is gone, or merely counted."""
    with connection.cursor() as cursor:
        # PostgreSQL's clock: a worker's that is ahead would drop all history.
        now = database_clock()
        before = now - timedelta(days=settings.RAW_RETENTION_DAYS)
        partitions = old_partitions(now - timedelta(days=settings.HISTORY_RETENTION_DAYS))
        cursor.execute(f"SELECT count(*) FROM ({OLD_PAGES}) old", {"before": before})
        pages = cursor.fetchone()[0]
        bodies = 0
        if not dry_run:
            pages = 0
            while gone := drop_pages(before):
                pages += gone
            forget_answers(before)
            bodies = drop_bodies()
            tally.add_up()
            drop_months(partitions)
    return Pruned(pages, bodies, tuple(partitions))


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


def forget_answers(before: datetime) -> None:
    """What a source said of its past is not kept as received any longer; that it was asked stays, and the points do."""
    BackfillPiece.objects.filter(received_at__lt=before, state=BackfillPiece.State.DONE).update(body=None)


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


def old_partitions(before: datetime) -> list[str]:
    """Partitions of price points that end before that time."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
               WHERE inhparent = 'assets_price_point'::regclass ORDER BY 1"""
        )
        return [name for (name,) in cursor.fetchall() if month_after(name) <= before]


def drop_months(partitions: Iterable[str]) -> None:
    """These partitions of price points are gone, and the candles of their hours with them."""
    with connection.cursor() as cursor:
        for name in partitions:
            # In one statement: an hour without its points could not be made anew.
            hours = name.replace("price_point", "candle_hour")
            cursor.execute(f'DROP TABLE IF EXISTS "{name}", "{hours}"')


def month_after(partition: str) -> datetime:
    """The first moment after the month of `assets_price_point_2026_11`."""
    year, month = map(int, partition.rsplit("_", 2)[-2:])
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
