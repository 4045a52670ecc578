"""The keys under which listings are filed, so that those that may be one coin are found by an index scan.

A key is 64 bits of a blocking key's text. Two texts with one key do no harm: what is found is compared by its texts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from django.db import connection

from assets.blocking import meeting_keys
from assets.copying import array_of_numbers, copy_rows
from assets.evidence import Listing
from assets.hashing import hash64
from assets.names import Reading


def key_of(text: str) -> int:
    return hash64(text.encode())


def keys_of(listing: Listing) -> set[int]:
    """The keys under which a listing is filed."""
    return keys_of_texts(listing.key, listing.reading, listing.contracts)


def keys_of_texts(key: str, reading: Reading, contracts: Iterable[str]) -> set[int]:
    """As `keys_of`, of the listing of that key, name and symbol."""
    return {key_of(text) for text in meeting_keys(key, reading, contracts)}


def taken(keys: Iterable[int]) -> set[int]:
    """Those of the keys under which something is filed."""
    with connection.cursor() as cursor:
        # A scalar subquery looks each key up in the index. EXISTS would be planned as a join with the whole table.
        cursor.execute(
            """SELECT key FROM unnest(%s::bigint[]) key
               WHERE (SELECT true FROM assets_listing_key filed WHERE filed.key = key.key LIMIT 1)""",
            [array_of_numbers(sorted(keys))],
        )
        return {row[0] for row in cursor.fetchall()}


def file(rows: Iterable[tuple[int, Collection[int]]]) -> None:
    """Each (listing, keys) is filed. The listing is not filed under one of them yet."""
    # Keys lie anywhere in their index: in its order each of its pages is gone to once.
    filed = sorted((key, listing_id) for listing_id, keys in rows for key in keys)
    with connection.cursor() as cursor:
        copy_rows(cursor, "assets_listing_key (key, listing_id)", filed)


def file_again(rows: Sequence[tuple[int, Collection[int], Collection[int]]]) -> None:
    """Each (listing, former keys, keys): from now on it is filed under its keys, and under its former keys no more."""
    with connection.cursor() as cursor:
        gone = [(key, listing_id) for listing_id, former, keys in rows for key in set(former) - set(keys)]
        if gone:
            cursor.execute(
                """DELETE FROM assets_listing_key filed USING unnest(%s::bigint[], %s::bigint[]) gone (key, listing_id)
                   WHERE filed.key = gone.key AND filed.listing_id = gone.listing_id""",
                [[key for key, _ in gone], [listing_id for _, listing_id in gone]],
            )
        new = [(key, listing_id) for listing_id, former, keys in rows for key in set(keys).difference(former)]
        if not new:
            return
        cursor.execute(
            """INSERT INTO assets_listing_key (key, listing_id) SELECT * FROM unnest(%s::bigint[], %s::bigint[])
               ON CONFLICT DO NOTHING""",
            [array_of_numbers(column) for column in zip(*new, strict=True)],
        )


def filed(listing_ids: Iterable[int]) -> dict[int, set[int]]:
    """Listing -> the keys under which it is filed now. Reads the whole table: for `resolve`, which reads everything."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT listing_id, array_agg(key) FROM assets_listing_key WHERE listing_id = ANY(%s) GROUP BY 1",
            [list(listing_ids)],
        )
        return {listing_id: set(keys) for listing_id, keys in cursor.fetchall()}
