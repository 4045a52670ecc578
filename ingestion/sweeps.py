"""What a whole sweep says about the listings that it did not hold: missed once, and delisted after the third time.

A record that came and can't be read is no miss. The listing that it is about counts as held. Where it does not say
which that is, it may be any that was last seen before that very record turned up: no miss of those is counted.

A sweep in which nothing changed writes nothing here: only a listing that is missed, or is back, is touched.
"""

from __future__ import annotations

from django.db import connection

from assets.matching import lock_identities
from assets.models import Event, Source
from assets.pricing import reprice
from assets.tables import last_seen

#: Whole sweeps in a row that must miss a listing before it counts as delisted.
SWEEPS_MISSED = 3

PAGES = """FROM ingestion_sighting sighting JOIN ingestion_rawpayload payload ON payload.id = sighting.payload_id
    WHERE payload.source_id = %(source)s AND payload.sweep = %(sweep)s AND NOT payload.superseded"""
KEPT = f"SELECT DISTINCT unnest(sighting.listing_ids) AS listing_id {PAGES}"
#: A record that came and can't be read is no missing coin.
SEEN = f"SELECT DISTINCT unnest(sighting.listing_ids || sighting.unread_ids) AS listing_id {PAGES}"
#: Of the records of the sweep that don't say which coin they are about: when the latest of them first turned up.
NAMELESS = f"""SELECT max(coalesce(reject.first_seen_at, nameless.received_at)) AS turned_up_at
    FROM (SELECT unnest(sighting.nameless) AS fingerprint, payload.received_at {PAGES}) nameless
    LEFT JOIN ingestion_reject reject
      ON reject.source_id = %(source)s AND reject.fingerprint = nameless.fingerprint"""
LAST_SEEN = last_seen("listing", "source")
MISSES = f"missed_sweeps + CASE WHEN {LAST_SEEN} < nameless.turned_up_at THEN 0 ELSE 1 END"

#: NOT IN, and below IN ... IS TRUE, are hashed once, whatever the planner believes. Of a source whose first sweep has
#: just come it believes that it has one listing, and with EXISTS it unnests the sweep again for each of 20,000.
MISSED = f"""
UPDATE assets_listing listing SET
    missed_sweeps = {MISSES},
    last_seen_at = {LAST_SEEN},
    delisted_at = CASE WHEN {MISSES} >= {SWEEPS_MISSED} THEN now() END
FROM assets_source source, ({NAMELESS}) nameless
WHERE source.id = listing.source_id AND listing.source_id = %(source)s AND listing.delisted_at IS NULL
  AND listing.id NOT IN ({SEEN})
RETURNING listing.id, listing.asset_id, listing.delisted_at IS NOT NULL
"""

#: Of a source known before: its first sweep is no news about a coin, and neither is another catalogue.
APPEARED = """
WITH appeared AS (
    SELECT listing.id FROM assets_listing listing JOIN assets_source source ON source.id = listing.source_id
    WHERE source.id = %(source)s AND listing.first_seen_at > source.last_sweep_at
)
INSERT INTO assets_event (listing_id, kind)
SELECT id, 'listed' FROM appeared WHERE (SELECT count(*) FROM appeared) <= %(most)s ORDER BY id
"""
#: More listings at once than this are another catalogue.
APPEAR_AT_ONCE = 1000

BACK = f"""
UPDATE assets_listing listing SET missed_sweeps = 0, last_seen_at = NULL, delisted_at = NULL
FROM (
    SELECT id, delisted_at IS NOT NULL AS was_delisted
    FROM assets_listing WHERE source_id = %(source)s AND (missed_sweeps > 0 OR last_seen_at IS NOT NULL)
) before
WHERE before.id = listing.id AND (listing.id IN ({SEEN})) IS TRUE
RETURNING listing.id, listing.asset_id, before.was_delisted
"""


def kept(source: Source, sweep: int | None) -> int:
    """How many listings the sweep held in records that can be read."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({KEPT}) kept", {"source": source.pk, "sweep": sweep})
        return cursor.fetchone()[0]


def settle(source: Source, sweep: int | None) -> None:
    """Listings missed and listings back are marked as such, and those that are new are an event; the source's latest
    whole sweep is this one.
    """
    names = {"source": source.pk, "sweep": sweep}
    # Whoever decides about identities writes the same listings, quotes and assets, in another order.
    lock_identities()
    with connection.cursor() as cursor:
        cursor.execute(APPEARED, names | {"most": APPEAR_AT_ONCE})
        cursor.execute(MISSED, names)
        gone = [(listing, asset) for listing, asset, delisted in cursor.fetchall() if delisted]
        cursor.execute(BACK, names)
        back = [(listing, asset) for listing, asset, was_delisted in cursor.fetchall() if was_delisted]
        cursor.execute("UPDATE assets_source SET last_sweep_at = now() WHERE id = %s", [source.pk])
        # Their rows show it, so whoever asks for what has changed is told of them.
        cursor.execute(
            "UPDATE assets_quote SET changed_in = DEFAULT WHERE listing_id = ANY(%s)",
            [[listing for listing, _ in gone + back]],
        )
    Event.objects.bulk_create(
        [
            Event(listing_id=listing, kind=Event.Kind.DELISTED, detail=f"missing from {SWEEPS_MISSED} whole sweeps")
            for listing, _ in gone
        ]
        + [Event(listing_id=listing, kind=Event.Kind.RELISTED) for listing, _ in back]
    )
    reprice({asset for _, asset in gone + back})
