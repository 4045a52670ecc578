"""What is out of the ordinary, by median and MAD: runs against the runs before them, prices against their own past.

The tested point is never part of its own baseline, a source is measured against itself alone, and with too little
history nothing is said. Spread has a floor, so that a source that never varies does not cry over one record more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import median
from typing import Any

from django.db import connection

from assets.consensus import THRESHOLD_PERCENT
from ingestion.sources import BY_SLUG

#: Points of history below which nothing is said, and how far back a baseline goes.
ENOUGH = 8
BASELINE = 50
#: Robust standard deviations from the median that count as out of the ordinary.
LIMIT = 5.0
#: MAD * this estimates the standard deviation of a normal distribution.
SCALE = 1.4826


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a run, and the least spread that it is taken to have: a share of its median, and an amount."""

    name: str
    share: float
    amount: float


#: A run's duration varies with the network; the number of its records hardly does.
MEASURES = (Measure("duration_seconds", 0.2, 1.0), Measure("processed", 0.05, 1.0), Measure("rejected", 0.2, 1.0))


@dataclass(frozen=True, slots=True)
class Unusual:
    """One figure that is out of the ordinary."""

    measure: str
    value: float
    median: float
    score: float
    """Robust standard deviations from the median; the sign says on which side."""


def unusual(measure: Measure, history: Sequence[float], value: float) -> Unusual | None:
    """What `value` is against the history before it; None when it is ordinary, or when nobody can say."""
    if len(history) < ENOUGH:
        return None
    middle = median(history)
    spread = SCALE * median(abs(point - middle) for point in history)
    least = max(spread, measure.share * abs(middle), measure.amount)
    if not least:
        # A price that was 0 until now gives nothing to measure by.
        return None
    score = (value - middle) / least
    return Unusual(measure.name, value, middle, round(score, 2)) if abs(score) > LIMIT else None


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that ended, with the figures that are measured."""

    run_id: int
    source: str
    status: str
    started_at: datetime
    finished_at: datetime
    pages: int
    processed: int
    rejected: int
    latency_seconds: float | None
    """From a page's receipt to its commit, on average; None when no page of it is kept."""

    @property
    def duration_seconds(self) -> float:
        return round((self.finished_at - self.started_at).total_seconds(), 3)

    @property
    def records_per_second(self) -> float | None:
        return round(self.processed / self.duration_seconds, 1) if self.processed and self.duration_seconds else None


#: Runs of each source: at every five minutes nearly two days.
LOOKED_AT = 500
RUNS = """
SELECT run.id, source.slug, run.status, run.started_at, run.finished_at, run.pages, run.processed, run.rejected,
       page.latency
FROM assets_source source
CROSS JOIN LATERAL (
    SELECT * FROM ingestion_run run
    WHERE run.source_id = source.id AND run.status IN ('completed', 'partial', 'failed') AND run.started_at IS NOT NULL
    ORDER BY run.id DESC LIMIT %(limit)s
) run
LEFT JOIN LATERAL (
    SELECT avg(extract(epoch FROM page.normalized_at - page.received_at))::float8 AS latency
    FROM ingestion_rawpayload page WHERE page.run_id = run.id AND page.state = 'normalized'
) page ON true
WHERE %(source)s::text IS NULL OR source.slug = %(source)s
ORDER BY run.id
"""


def ran(source: str | None = None) -> list[Ran]:
    """The last runs that ended, at most LOOKED_AT of each source, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(RUNS, {"source": source, "limit": LOOKED_AT})
        return [Ran(*row) for row in cursor.fetchall()]


def unusual_runs(runs: Sequence[Ran]) -> dict[int, list[Unusual]]:
    """Run -> what of it is out of the ordinary, each against the completed runs of its source before it.

    A source that goes on from its end reads another amount each time (nothing, a few new rows, a new file): of its runs
    only the rejects are measured, and only of those that read something.
    """
    before: dict[str, list[Ran]] = {}
    found: dict[int, list[Unusual]] = {}
    for run in runs:
        baseline = before.setdefault(run.source, [])
        goes_on = BY_SLUG[run.source].rows_behind is not None
        if goes_on and not run.pages:
            continue
        odd = [
            finding
            for measure in MEASURES
            if (measure.name == "rejected" or not goes_on)
            and (
                finding := unusual(
                    measure,
                    [float(getattr(one, measure.name)) for one in baseline[-BASELINE:]],
                    float(getattr(run, measure.name)),
                )
            )
        ]
        if odd:
            found[run.run_id] = odd
        if run.status == "completed":
            baseline.append(run)
    return found


#: Coins beyond this rank are traded so thinly that a wild price is their ordinary.
RANKED = 1000
#: A change since the point before that makes a price worth a look at its history.
JUMP = Decimal("0.2")
PRICE = Measure("price_usd", float(JUMP) / LIMIT, 0.0)

JUMPS = """
WITH jumped AS MATERIALIZED (
    SELECT quote.* FROM assets_quote quote
    CROSS JOIN LATERAL (
        SELECT price_usd FROM assets_price_point point
        WHERE point.listing_id = quote.listing_id AND point.observed_at < quote.observed_at
        ORDER BY observed_at DESC LIMIT 1
    ) before
    WHERE quote.rank <= %(ranked)s AND abs(quote.price_usd - before.price_usd) > %(jump)s * before.price_usd
)
SELECT asset.slug, listing.source_asset_id, source.slug, quote.price_usd, quote.observed_at, history.prices
FROM jumped quote
JOIN assets_listing listing ON listing.id = quote.listing_id AND listing.delisted_at IS NULL
JOIN assets_asset asset ON asset.id = quote.asset_id
JOIN assets_source source ON source.id = quote.source_id AND source.enabled
CROSS JOIN LATERAL (
    SELECT array_agg(price_usd) AS prices FROM (
        SELECT price_usd FROM assets_price_point point
        WHERE point.listing_id = quote.listing_id AND point.observed_at < quote.observed_at
        ORDER BY observed_at DESC LIMIT %(baseline)s) past
) history
ORDER BY quote.rank, quote.listing_id
"""
#: Only a median has outliers; of all others nothing is taken apart.
DISAGREEING = """
SELECT slug, price_min, price_max, spread_bps, observed_at, outliers.said, outliers.sources
FROM (SELECT * FROM assets_asset WHERE agreement IN ('disagree', 'median') OFFSET 0) asset
CROSS JOIN LATERAL (
    SELECT string_agg((quote.entry ->> 'source') || ': ' || (quote.entry ->> 'reason'), '; ') AS said,
           coalesce(array_agg(quote.entry ->> 'source'), ARRAY(SELECT jsonb_array_elements_text(asset.sources_used)))
               AS sources
    FROM jsonb_array_elements(asset.left_out) AS quote (entry) WHERE starts_with(quote.entry ->> 'reason', 'outlier')
) outliers
WHERE (asset.agreement = 'disagree' OR outliers.said IS NOT NULL)
  AND (%(source)s::text IS NULL OR %(source)s = ANY(outliers.sources))
ORDER BY asset.rank NULLS LAST, asset.id LIMIT 500
"""


def unusual_prices(of: str | None = None) -> list[dict[str, Any]]:
    """Current prices far from their own past (ranks up to RANKED), and assets whose sources contradict each other; of
    this source, or with it among those that stand out or contradict."""
    found: list[dict[str, Any]] = []
    with connection.cursor() as cursor:
        cursor.execute(JUMPS, {"baseline": BASELINE, "ranked": RANKED, "jump": JUMP})
        for slug, own, source, price, observed_at, prices in cursor.fetchall():
            odd = unusual(PRICE, [float(past) for past in prices], float(price))
            if odd is not None and of in (None, source):
                found.append(
                    {
                        "kind": "jump",
                        "asset_id": slug,
                        "source": source,
                        "source_asset_id": own,
                        "price_usd": price,
                        "median": median(prices),
                        "score": odd.score,
                        "observed_at": observed_at,
                        "reason": f"{odd.score:+.1f} robust deviations from the median of the {len(prices)} before it",
                    }
                )
        cursor.execute(DISAGREEING, {"source": of})
        for slug, low, high, spread, observed_at, outliers, sources in cursor.fetchall():
            found.append(
                {
                    "kind": "outlier" if outliers else "disagreement",
                    "asset_id": slug,
                    "sources": sources,
                    "price_min": low,
                    "price_max": high,
                    "spread_bps": spread,
                    "observed_at": observed_at,
                    "reason": outliers or f"two sources differ by more than {THRESHOLD_PERCENT} %",
                }
            )
    return found
