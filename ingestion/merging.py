"""Pages go into the tables in whatever order they are normalized, and leave what the order of their ids would.

`assets.store` lets the later page win of two words of one time, and writes nothing for a word that is there already: it
does not know that a later page said it again. So a page that comes after later ones, for it was set aside, requeued or
slow, and that has another word for the same time, is followed by what those pages said of these coins at that time.

What goes in at the very same instant is seen by neither. Pages of one run hold different coins and need not care; those
of an earlier run, and those that are read again, go in while no other page of their source does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from django.db import connection

from assets import store
from assets.copying import array_of_numbers
from assets.models import Source
from assets.records import AssetRecord
from assets.store import Disputed, Merged
from ingestion.errors import Malformed
from ingestion.models import RawPayload
from ingestion.parsing import parse

Pages = Mapping[int, Sequence[tuple[int, AssetRecord]]]

#: With the source's number, an advisory lock: held by the pages of its newest run together, by any other alone.
TURN = 7634
TAKE_TURN = """
SELECT CASE WHEN %(run)s = (SELECT max(id) FROM ingestion_run WHERE source_id = %(source)s)
    THEN pg_advisory_xact_lock_shared(%(turn)s, %(source)s) ELSE pg_advisory_xact_lock(%(turn)s, %(source)s) END
"""
#: Only pages that are normalized have a sighting. In the ordinary order hardly any is behind, so each is looked up: a
#: join would read the whole table as long as the planner knows too little of it.
LATER = """
SELECT EXISTS (
    SELECT FROM ingestion_sighting sighting
    WHERE sighting.payload_id > %s
      AND (SELECT source_id FROM ingestion_rawpayload page WHERE page.id = sighting.payload_id) = %s
)
"""
SAID_AGAIN = """
SELECT page.id FROM ingestion_rawpayload page JOIN ingestion_sighting sighting ON sighting.payload_id = page.id
WHERE page.id > %s AND page.source_id = %s AND sighting.listing_ids && %s::bigint[] ORDER BY page.id
"""


def take_turn(source: Source, run_id: int | None = None) -> None:
    """Until the end of the transaction no page goes in that those of this run (None: that one alone) could miss.

    Comes first in its transaction: who waits here holds nothing that others wait for.
    """
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TURN, {"run": run_id, "source": source.pk, "turn": TURN})


def merge(source: Source, pages: Pages) -> dict[int, Merged]:
    """As `store.merge_pages`. Part of the caller's transaction."""
    if not later_pages_are_in(source, pages):
        return store.merge_pages(source, pages)
    disputed: list[Disputed] = []
    merged = store.merge_pages(source, pages, disputed)
    for page_id, records in said_again(source, disputed):
        store.merge_pages(source, {page_id: records})
    return merged


def later_pages_are_in(source: Source, pages: Pages) -> bool:
    """Whether any page of the source behind the first of these is normalized."""
    if not pages:
        return False
    with connection.cursor() as cursor:
        cursor.execute(LATER, [min(pages), source.pk])
        return bool(cursor.fetchone()[0])


def said_again(source: Source, disputed: Sequence[Disputed]) -> Iterator[tuple[int, Sequence[tuple[int, AssetRecord]]]]:
    """What later pages that are normalized say of the same coins at the same times, page by page."""
    if not disputed:
        return
    about = {(word.source_asset_id, word.observed_at) for word in disputed}
    first = min(word.page_id for word in disputed)
    with connection.cursor() as cursor:
        ids = array_of_numbers({word.listing_id for word in disputed})
        cursor.execute(SAID_AGAIN, [first, source.pk, ids])
        later = [row[0] for row in cursor.fetchall()]
    pages = RawPayload.objects.filter(pk__in=later).select_related("source", "body").order_by("pk")
    for payload in pages.iterator(chunk_size=20):
        with suppress(Malformed):
            records = parse(payload).records
            yield payload.pk, [(at, one) for at, one in records if (one.source_asset_id, one.observed_at) in about]
