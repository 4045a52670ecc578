"""Two runs side by side: their figures, and which listings the one held and the other did not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from ingestion.models import Run

#: What is compared, in the order in which it is shown.
FIGURES = (
    *("source", "status", "trigger", "full", "started_at", "finished_at", "duration_seconds", "pages"),
    *(
        "processed",
        "inserted",
        "updated",
        "unchanged",
        "rejected",
        "retries",
        "takeovers",
        "last_processed_id",
        "error",
    ),
)
NAMED_AT_MOST = 20

#: Of a run whose pages retention has removed, or that nobody has read yet, nobody knows what it held.
KNOWN = """
SELECT bool_and(run.pages <= (
    SELECT count(*) FROM ingestion_rawpayload page WHERE page.run_id = run.id AND page.state <> 'stored'))
FROM ingestion_run run WHERE run.id IN %s
"""
ONLY_IN = """
WITH held AS (
    SELECT unnest(sighting.listing_ids) AS id FROM ingestion_sighting sighting
    JOIN ingestion_rawpayload payload ON payload.id = sighting.payload_id WHERE payload.run_id = %(one)s
), held_by_other AS (
    SELECT unnest(sighting.listing_ids) AS id FROM ingestion_sighting sighting
    JOIN ingestion_rawpayload payload ON payload.id = sighting.payload_id WHERE payload.run_id = %(other)s
), difference AS (SELECT id FROM held EXCEPT SELECT id FROM held_by_other)
SELECT (SELECT count(*) FROM difference),
       (SELECT coalesce(array_agg(source_asset_id ORDER BY source_asset_id), '{}') FROM (
            SELECT listing.source_asset_id FROM assets_listing listing JOIN difference USING (id)
            ORDER BY listing.source_asset_id LIMIT %(most)s) named)
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both."""

    name: str
    a: Any
    b: Any

    @property
    def difference(self) -> Any:
        """b - a where that means something, else None."""
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (self.a, self.b))
        return round(self.b - self.a, 3) if numbers else None


@dataclass(frozen=True, slots=True)
class OnlyIn:
    """Listings that one run held and the other did not."""

    count: int
    some: tuple[str, ...]
    """The first of them by id, NAMED_AT_MOST."""


@dataclass(frozen=True, slots=True)
class Comparison:
    figures: tuple[Compared, ...]
    only_in_a: OnlyIn | None
    """None when the runs are of two sources: then nothing is to be compared. Or when a page of one is not there."""
    only_in_b: OnlyIn | None


def compare(a: Run, b: Run) -> Comparison:
    """What differs between the two."""
    figures = tuple(Compared(name, figure(a, name), figure(b, name)) for name in FIGURES)
    if a.source_id != b.source_id or not known(a, b):
        return Comparison(figures, None, None)
    return Comparison(figures, only_in(a, b), only_in(b, a))


def figure(run: Run, name: str) -> Any:
    """A run's figure as it is shown everywhere."""
    if name == "source":
        return run.source.slug
    if name == "duration_seconds":
        if run.finished_at is None or run.started_at is None:
            return None
        return round((run.finished_at - run.started_at).total_seconds(), 3)
    return getattr(run, name)


def known(a: Run, b: Run) -> bool:
    """Whether every page of both is there, and read."""
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, [(a.pk, b.pk)])
        return bool(cursor.fetchone()[0])


def only_in(one: Run, other: Run) -> OnlyIn:
    with connection.cursor() as cursor:
        cursor.execute(ONLY_IN, {"one": one.pk, "other": other.pk, "most": NAMED_AT_MOST})
        count, some = cursor.fetchone()
    return OnlyIn(count, tuple(some))
