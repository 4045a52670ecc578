"""What each page held, kept for the end of its sweep: only a listing that no page held is missed.

A record that came and can't be read is no missing coin. Where it says which coin it is about, that listing counts as
held, without a new word. Where it does not, it may be any listing that was last seen before that very record turned up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.db import connection

from assets import store
from assets.copying import array_of_numbers
from assets.models import Source
from assets.store import Merged
from ingestion.parsing import Parsed, fingerprint


class Held(NamedTuple):
    """The listings that a page held."""

    listing_ids: Sequence[int]
    unread_ids: Sequence[int] = ()
    """Those whose records can't be read."""
    nameless: Sequence[bytes] = ()
    """The fingerprints of records that can't be read and don't say which listing they are about."""


def held_by(source: Source, pages: Mapping[int, Parsed], merged: Mapping[int, Merged]) -> dict[int, Held]:
    """What each of the pages held, by its id."""
    ids = {reject.source_asset_id for page in pages.values() for reject in page.rejects} - {""}
    known = store.known_listings(source, ids) if ids else {}
    return {
        page_id: Held(
            merged[page_id].listing_ids,
            sorted({known[one.source_asset_id].listing_id for one in page.rejects if one.source_asset_id in known}),
            sorted({fingerprint(one) for one in page.rejects if not one.source_asset_id}),
        )
        for page_id, page in pages.items()
    }


def keep(held: Mapping[int, Held]) -> None:
    """What each page held is written down."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO ingestion_sighting (payload_id, listing_ids, unread_ids, nameless)
               SELECT page_id, ids::bigint[], unread::bigint[], nameless::bytea[]
               FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[]) held (page_id, ids, unread, nameless)
               ON CONFLICT (payload_id) DO UPDATE
               SET (listing_ids, unread_ids, nameless)
                   = (excluded.listing_ids, excluded.unread_ids, excluded.nameless)""",
            [
                list(held),
                [array_of_numbers(one.listing_ids) for one in held.values()],
                [array_of_numbers(one.unread_ids) for one in held.values()],
                [_array_of_bytes(one.nameless) for one in held.values()],
            ],
        )


def _array_of_bytes(values: Iterable[bytes]) -> str:
    """A literal for bytea[]."""
    return "{" + ",".join(f'"\\\\x{value.hex()}"' for value in values) + "}"
