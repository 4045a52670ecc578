"""Parts of symbols and names are found at any number of listings: by the grams of three letters that they hold.

Filing a text takes as long as bringing in its record, so it is not done on that road: triggers note which listings are
new or renamed, a row for each batch, and the reconciler files them. Until then they are looked through one by one, so
nothing is ever missed. What the grams find is compared by its text, so nothing is found that doesn't hold the part.
"""

from __future__ import annotations

import json
from time import monotonic

from django.db import connection, transaction

#: More than so many matches, and a page of them is found sooner by going through the list in its order.
FEW = 10_000
#: Shorter parts have no gram.
SHORTEST = 3
SYMBOL, ANY = "l.symbol", "l.symbol || E'\\n' || l.name"

#: Planned for its number of rows alone. Of a LIKE the planner thinks that hardly any text is like it.
COMMON = "SELECT FROM assets_listing_text WHERE grams @> assets_grams(%(part)s)"
BY_GRAMS = """
SELECT l.id, l.asset_id FROM assets_listing_text filed JOIN assets_listing l ON l.id = filed.listing_id
WHERE filed.grams @> assets_grams(%(part)s) AND {text} ILIKE %(pattern)s
"""
FOUND = """
({by_grams} LIMIT {most})
UNION
(SELECT l.id, l.asset_id FROM (SELECT DISTINCT unnest(listing_ids) AS id FROM assets_unfiled) unfiled
 JOIN assets_listing l ON l.id = unfiled.id WHERE {text} ILIKE %(pattern)s LIMIT {most})
"""
#: Whoever files holds it to the end of his transaction: of two at a time one could write a name that he read too early.
LOCK = 7633
#: A batch holds up to ten thousand listings or one: whole batches, until they are so many. A second's work.
AT_ONCE = 5_000
SECONDS = 5
FILE = """
WITH first AS (
    SELECT id, sum(cardinality(listing_ids)) OVER (ORDER BY id) - cardinality(listing_ids) AS before
    FROM (SELECT id, listing_ids FROM assets_unfiled ORDER BY id LIMIT 100) oldest
), waiting AS (
    DELETE FROM assets_unfiled WHERE id IN (
        SELECT id FROM first WHERE before < %s
    ) RETURNING listing_ids
)
INSERT INTO assets_listing_text (listing_id, grams)
SELECT l.id, assets_grams(l.symbol || E'\\n' || l.name)
FROM (SELECT DISTINCT unnest(listing_ids) AS id FROM waiting) new JOIN assets_listing l ON l.id = new.id ORDER BY l.id
ON CONFLICT (listing_id) DO UPDATE SET grams = excluded.grams
"""


def containing(part: str) -> str:
    """The LIKE pattern of a text that contains this part."""
    return "%" + part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def holding(part: str, text: str) -> str:
    """SQL: the text holds the part, for which `listings_with` has no list; its value is `containing(part)`.

    That many hold it is nothing that the planner would believe of a LIKE: it would go through all to find them. What a
    CASE says it takes for even odds, and goes through the list in its order until the page is full.
    """
    like = f"{text} ILIKE %s"
    return like if len(part) < SHORTEST else f"CASE WHEN {like} THEN true END"


def listings_with(part: str, text: str) -> list[tuple[int, int]] | None:
    """(listing, asset) of those whose text holds the part; None when they are many, or the part is too short to say."""
    if len(part) < SHORTEST:
        return None
    names = {"part": part, "pattern": containing(part)}
    by_grams = BY_GRAMS.format(text=text)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {COMMON}", names)
        (plan,) = cursor.fetchone()
        if (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"] > FEW:
            return None
        cursor.execute(FOUND.format(by_grams=by_grams, text=text, most=FEW + 1), names)
        found: list[tuple[int, int]] = cursor.fetchall()
    return found if len(found) <= FEW else None


def file_texts() -> int:
    """What waited is filed, as far as it can be in SECONDS, or until another is at it; the number of listings.

    Commits by itself.
    """
    end, filed = monotonic() + SECONDS, 0
    while monotonic() < end:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                break
            cursor.execute(FILE, [AT_ONCE])
            if not cursor.rowcount:
                break
            filed += cursor.rowcount
    return filed
