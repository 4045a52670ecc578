"""Stored pages become quotes and price points: the half of ingestion that needs no network.

Everything that pages change is one transaction, which may be repeated with the same result. A page that can't be read
is set aside with its reason, a record of it is kept as a reject, and neither stops anything else.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from time import sleep
from typing import NamedTuple

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import prefetch_related_objects

from assets import store
from assets.collector import collector_paused
from assets.models import Source
from assets.records import AssetRecord
from assets.store import Merged
from ingestion import attempts, drift, merging, sightings
from ingestion.errors import Malformed
from ingestion.finish import finish_if_done
from ingestion.models import RawPayload, Reject
from ingestion.parsing import Parsed, Rejected, clean, fingerprint, parse
from ingestion.sightings import Held
from ingestion.sources import BY_SLUG

log = logging.getLogger(__name__)

#: At most so many pages, and records, are normalized in one transaction.
PAGES_AT_ONCE = 40
RECORDS_AT_ONCE = 10_000


def normalize(page_id: int) -> int:
    """The records of the page are quotes and price points, and its counts are in its run. How many pages went in.

    Those of the run that wait behind it go in with it, in one transaction: what a statement costs, it costs once. A
    page that was begun before goes in alone, and one that kills its worker is set aside after ETL_RETRY_ATTEMPTS.
    """
    payloads = begin_attempts(page_id)
    return put_in(payloads) if payloads else 0


def waiting_behind(page_id: int) -> int | None:
    """The first page of the same run behind this one that nobody has begun."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT min(page.id) FROM ingestion_rawpayload page
               WHERE page.id > %(page)s AND page.state = 'stored' AND page.attempts = 0
                 AND page.run_id = (SELECT run_id FROM ingestion_rawpayload WHERE id = %(page)s)""",
            {"page": page_id},
        )
        return cursor.fetchone()[0]


def put_in(payloads: Sequence[RawPayload]) -> int:
    """The pages are normalized, or set aside by a fault of ours, which is raised; how many are normalized."""
    try:
        done = commit_pages(payloads)
    except (OperationalError, InterfaceError):
        # The database's fault, not the pages': the attempt does not count, and whoever called tries again.
        attempts.give_back(payload.pk for payload in payloads)
        raise
    except Exception as error:
        if len(payloads) > 1:
            return put_in_each(payloads)
        # Waiting would not mend it. The page is kept, and goes in by `requeue` once it is mended.
        fail_page(payloads[0].pk, own_fault(error))
        finish_if_done(payloads[0].run_id)
        raise
    finish_if_done(payloads[0].run_id)
    return done


def put_in_each(payloads: Sequence[RawPayload]) -> int:
    """One page spoils the others: each is put in by itself. The first fault is raised when all had their turn."""
    done, faults = 0, []
    for place, payload in enumerate(payloads):
        try:
            done += put_in([payload])
        except (OperationalError, InterfaceError):
            attempts.give_back(waiting.pk for waiting in payloads[place + 1 :])
            raise
        except Exception as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
    return done


def begin_attempts(page_id: int) -> list[RawPayload]:
    """The pages to normalize, their attempts counted and committed before they can do harm; none when it is all done.

    A page that another worker has in hand is locked, and is not taken.
    """
    most = max(settings.ETL_RETRY_ATTEMPTS, 1)
    values = {"page": page_id, "most": most, "pages": PAGES_AT_ONCE, "records": RECORDS_AT_ONCE}
    with connection.cursor() as cursor:
        cursor.execute(BEGIN, values)
        begun = [row[0] for row in cursor.fetchall()]
    if not begun:
        return begin_attempts(page_id) if is_owed(page_id, most) else []
    try:
        return list(RawPayload.objects.select_related("source").filter(pk__in=begun).order_by("pk"))
    except (OperationalError, InterfaceError):
        attempts.give_back(begun)
        raise


def is_owed(page_id: int, most: int) -> bool:
    """The page has used up its attempts, and one was given back while we waited. If none was, it is set aside now."""
    spent = RawPayload.objects.filter(pk=page_id, state=RawPayload.State.STORED, attempts__gte=most)
    if not spent.exists():
        return False
    sleep(attempts.GRACE)
    with transaction.atomic():
        page = spent.select_for_update(skip_locked=True, no_key=True).first()
        if page is not None:
            fail_page(page_id, f"Set aside: {page.attempts} attempts to read it ended with the death of the worker.")
    if page is not None:
        finish_if_done(page.run_id)
        return False
    return RawPayload.objects.filter(pk=page_id, state=RawPayload.State.STORED, attempts__lt=most).exists()


#: Its page, when it waits; with it, when neither was begun before, the pages of its run that follow it. Only so many as
#: can be taken are looked at, and they are taken by their ids: the planner thinks that one page waits, and would go
#: through all that do for each of them.
BEGIN = """
WITH first AS MATERIALIZED (
    SELECT id, run_id, attempts, records FROM ingestion_rawpayload
    WHERE id = %(page)s AND state = 'stored' AND attempts < %(most)s
), behind AS MATERIALIZED (
    SELECT id, records FROM ingestion_rawpayload
    WHERE run_id = (SELECT run_id FROM first WHERE attempts = 0) AND id > %(page)s AND state = 'stored' AND attempts = 0
    ORDER BY id LIMIT %(pages)s - 1
), waiting AS MATERIALIZED (
    SELECT id, sum(records) OVER (ORDER BY id) AS records, row_number() OVER (ORDER BY id) AS place
    FROM (SELECT id, records FROM first UNION ALL SELECT id, records FROM behind) page
), mine AS (
    SELECT id FROM ingestion_rawpayload
    WHERE id = ANY(ARRAY(SELECT id FROM waiting WHERE place = 1 OR records <= %(records)s))
      AND state = 'stored' AND attempts < %(most)s
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ingestion_rawpayload page SET attempts = page.attempts + 1 FROM mine WHERE mine.id = page.id RETURNING page.id
"""


def commit_pages(payloads: Sequence[RawPayload]) -> int:
    """Everything that the pages change, in one transaction; how many went in, without those that another worker has."""
    return store.with_partitions(lambda: commit_pages_once(payloads))


def commit_pages_once(payloads: Sequence[RawPayload]) -> int:
    """As `commit_pages`. Raises NoPartition, with nothing written."""
    source = payloads[0].source
    with collector_paused(), transaction.atomic():
        merging.take_turn(source, payloads[0].run_id)
        mine = set(
            RawPayload.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk__in=[payload.pk for payload in payloads], state=RawPayload.State.STORED)
            .values_list("pk", flat=True)
        )
        outcomes = nothing_new_in(mine) if BY_SLUG[source.slug].says_when else {}
        news = [one for one in payloads if one.pk in mine and one.pk not in outcomes]
        # Of a body that says nothing new only the hash was looked at.
        prefetch_related_objects(news, "body")
        parsed, broken = parse_all(news)
        records = {page_id: page.records for page_id, page in parsed.items()}
        need_partitions(source, records)
        merged = merging.merge(source, records)
        held = sightings.held_by(source, parsed, merged)
        keep_rejects((one, parsed[one.pk].rejects) for one in payloads if one.pk in parsed)
        for page_id in parsed:
            outcomes[page_id] = outcome(parsed[page_id], merged[page_id], held[page_id])
        record_outcomes(payloads[0].run_id, outcomes)
        drift.watch([(one, parsed[one.pk].shape) for one in payloads if one.pk in parsed], BY_SLUG[source.slug])
        for page_id, reason in broken.items():
            fail_page(page_id, reason)
    if others := [payload.pk for payload in payloads if payload.pk not in mine]:
        # A message that came twice: theirs is the attempt, and ours must not set the page aside should they die.
        attempts.give_back(others)
    return len(outcomes)


def need_partitions(source: Source, pages: Mapping[int, Sequence[tuple[int, AssetRecord]]]) -> None:
    """Raises NoPartition where a month is missing that a point is to be written to.

    What says nothing new has its point, or had it before retention dropped the month, which must not come back for it.
    """
    try:
        store.need_partitions(record.observed_at for records in pages.values() for _, record in records)
    except store.NoPartition:
        ids = {record.source_asset_id for records in pages.values() for _, record in records}
        words = store.news(pages, store.known_listings(source, ids), len(ids))
        store.need_partitions(word.record.observed_at for word in words if word.record.price_usd is not None)


def parse_all(payloads: Sequence[RawPayload]) -> tuple[dict[int, Parsed], dict[int, str]]:
    """What the pages hold, and why some can't be read."""
    parsed: dict[int, Parsed] = {}
    broken: dict[int, str] = {}
    for payload in payloads:
        try:
            parsed[payload.pk] = parse(payload)
        except Malformed as error:
            broken[payload.pk] = str(error)
    return parsed, broken


class Outcome(NamedTuple):
    """What became of a page's records, and what it held."""

    inserted: int
    updated: int
    unchanged: int
    rejected: int
    last_id: str
    held: Held


def outcome(parsed: Parsed, merged: Merged, held: Held) -> Outcome:
    last_id = parsed.records[-1][1].source_asset_id if parsed.records else ""
    return Outcome(merged.inserted, merged.updated, merged.unchanged, len(parsed.rejects), last_id, held)


#: Pages of a body that was normalized before, when every listing that it holds is there and none has newer word.
TWINS = """
SELECT page.id, twin.inserted + twin.updated + twin.unchanged, twin.last_id, sighting.listing_ids
FROM ingestion_rawpayload page
JOIN LATERAL (
    SELECT * FROM ingestion_rawpayload twin
    WHERE twin.body_id = page.body_id AND twin.source_id = page.source_id AND twin.meta = page.meta
      AND twin.state = 'normalized' AND twin.id < page.id
    ORDER BY twin.id DESC LIMIT 1
) twin ON twin.rejected = 0
JOIN ingestion_sighting sighting ON sighting.payload_id = twin.id
WHERE page.id = ANY(%s) AND cardinality(sighting.listing_ids) = (
    SELECT count(*) FROM assets_quote quote
    WHERE quote.listing_id = ANY(sighting.listing_ids) AND quote.page_id <= twin.id
)
"""


def nothing_new_in(page_ids: Collection[int]) -> dict[int, Outcome]:
    """Those of the pages that say again, byte for byte, what the tables hold. For records that say their own time."""
    with connection.cursor() as cursor:
        cursor.execute(TWINS, [list(page_ids)])
        return {
            page_id: Outcome(0, 0, kept, 0, last_id, Held(listing_ids))
            for page_id, kept, last_id, listing_ids in cursor.fetchall()
        }


OUTCOMES = """
WITH outcome AS (
    SELECT * FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[], %s::text[])
        AS outcome (id, inserted, updated, unchanged, rejected, last_id)
), pages AS (
    UPDATE ingestion_rawpayload page SET
        state = 'normalized', normalized_at = now(), error = '', last_id = outcome.last_id, inserted = outcome.inserted,
        updated = outcome.updated, unchanged = outcome.unchanged, rejected = outcome.rejected
    FROM outcome WHERE outcome.id = page.id
)
UPDATE ingestion_run run SET
    processed = processed + sums.inserted + sums.updated + sums.unchanged + sums.rejected,
    inserted = run.inserted + sums.inserted, updated = run.updated + sums.updated,
    unchanged = run.unchanged + sums.unchanged, rejected = run.rejected + sums.rejected
FROM (SELECT sum(inserted) AS inserted, sum(updated) AS updated, sum(unchanged) AS unchanged, sum(rejected) AS rejected
      FROM outcome) sums
WHERE run.id = %s
"""


def record_outcomes(run_id: int, outcomes: Mapping[int, Outcome]) -> None:
    """The pages are done, with their counts and what they held; the counts are in their run as well."""
    if not outcomes:
        return
    sightings.keep({page_id: one.held for page_id, one in outcomes.items()})
    *columns, _ = zip(*outcomes.values(), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, [list(outcomes), *map(list, columns), run_id])


def own_fault(error: Exception) -> str:
    """What a run or a page says of a bug of ours."""
    return f"A fault of cryptoetl itself: {type(error).__name__}: {error}"


def fail_page(page_id: int, reason: str) -> bool:
    log.error("page set aside", extra={"page_id": page_id, "reason": reason})
    return bool(
        RawPayload.objects.filter(pk=page_id, state=RawPayload.State.STORED).update(
            state=RawPayload.State.FAILED, error=reason
        )
    )


def keep_rejects(rejected: Iterable[tuple[RawPayload, Iterable[Rejected]]]) -> None:
    """Every reject of these pages is kept as received with its reason, once, however often it comes."""
    rejects: dict[bytes, tuple[RawPayload, Rejected]] = {}
    for payload, ones in rejected:
        for reject in ones:
            rejects.setdefault(fingerprint(reject), (payload, reject))
    if not rejects:
        return
    Reject.objects.bulk_create(
        [
            Reject(
                source_id=payload.source_id,
                run_id=payload.run_id,
                payload=payload,
                source_asset_id=clean(reject.source_asset_id),
                position=reject.position,
                field=reject.field,
                reason=clean(reject.reason),
                raw=clean(reject.raw[:100_000]),
                fingerprint=mark,
            )
            # In one order, as two workers may keep the same ones.
            for mark, (payload, reject) in sorted(rejects.items())
        ],
        batch_size=1000,
        ignore_conflicts=True,
    )
