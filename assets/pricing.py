"""Keeps every asset's consensus columns equal to what `assets.consensus` makes of its quotes, set-based.

Assets are locked in the order of their ids before their quotes are read, so that two sources that change one asset at a
time see each other's quotes and never wait for each other in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from time import monotonic

from django.db import connection, transaction

from assets.clock import database_clock
from assets.consensus import INTERVALS_FRESH, THRESHOLD_PERCENT, Consensus, SourceQuote, consensus, why_not
from assets.copying import array_of_numbers, json_of, stage
from assets.models import Source
from assets.records import AssetRecord
from assets.tables import stale_at


def quotes_sql(quotes: str = "assets_quote", delisted: str = "listing.delisted_at IS NOT NULL") -> str:
    """SQL of what `priced` reads: the quotes of some assets, as they are or (see `assets.unified`) were.

    As in _COUNTING, those of each asset are looked up by themselves.
    """
    return f"""
SELECT quoted.* FROM unnest(%s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT quote.asset_id, source.slug, source.identity_rank, source.interval_seconds, quote.observed_at,
           quote.price_usd, quote.market_cap, quote.volume_24h, quote.percent_change_24h, quote.rank, {delisted},
           source.enabled, listing.symbol, listing.name
    FROM {quotes} quote
    JOIN assets_listing listing ON listing.id = quote.listing_id
    JOIN assets_source source ON source.id = quote.source_id
    WHERE quote.asset_id = wanted.id
    ORDER BY source.identity_rank, source.slug, listing.source_asset_id OFFSET 0
) quoted
"""


QUOTES = quotes_sql()

#: Columns of an asset that say what its sources agree on, and their types.
TYPES = {
    "price_usd": "numeric",
    "price_min": "numeric",
    "price_max": "numeric",
    "market_cap": "numeric",
    "volume_24h": "numeric",
    "percent_change_24h": "numeric",
    "spread_bps": "numeric",
    "rank": "int",
    "agreement": "text",
    "sources_used": "jsonb",
    "left_out": "jsonb",
    "quotes_count": "int",
    "observed_at": "timestamptz",
    "fresh_until": "timestamptz",
    "symbol": "text",
    "name": "text",
}
COLUMNS = tuple(TYPES)

_OLD, _NEW = (", ".join(f"{row}.{column}" for column in COLUMNS) for row in ("asset", "new"))

_STALE_AT = stale_at("quote", "source")
#: Quotes that count, of assets that have as many in all. Those of each are looked up by themselves, OFFSET 0 sees to
#: that: where tables have just been filled the planner would go through all of the ids for each quote.
_COUNTING = f"""
    SELECT quoted.* FROM unnest(%(ids)s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT quote.asset_id, quote.price_usd, quote.market_cap, quote.volume_24h, quote.percent_change_24h,
               quote.rank, quote.observed_at, {_STALE_AT} AS fresh_until, source.slug, source.identity_rank,
               listing.symbol, listing.name
        FROM assets_quote quote
        JOIN assets_listing listing ON listing.id = quote.listing_id
        JOIN assets_source source ON source.id = quote.source_id
        WHERE quote.asset_id = wanted.id AND quote.price_usd IS NOT NULL AND source.enabled
          AND listing.delisted_at IS NULL AND {_STALE_AT} >= %(now)s
        OFFSET 0
    ) quoted
    WHERE (SELECT count(*) FROM assets_quote every WHERE every.asset_id = wanted.id) = %(quotes)s
"""
#: COLUMNS of an asset whose only quote is the row `one`.
_SINGLE = """
    one.price_usd, one.price_usd, one.price_usd, one.market_cap, one.volume_24h, one.percent_change_24h, 0, one.rank,
    'single', jsonb_build_array(one.slug), '[]'::jsonb, 1, one.observed_at, one.fresh_until, one.symbol, one.name
"""
#: COLUMNS of an asset whose quotes are the rows `one` and `two`. A mean has the digits that it needs, a spread six.
_PAIR = """
    CASE WHEN apart THEN NULL WHEN low = high THEN one.price_usd
         WHEN round(mid, digits) = mid THEN round(mid, digits) ELSE mid END,
    low, high, coalesce(one.market_cap, two.market_cap), coalesce(one.volume_24h, two.volume_24h),
    coalesce(one.percent_change_24h, two.percent_change_24h),
    CASE WHEN low = high THEN 0 ELSE trim_scale(round(bps, 5 - magnitude)) END,
    coalesce(one.rank, two.rank),
    CASE WHEN apart THEN 'disagree' ELSE 'agree' END,
    jsonb_build_array(one.slug, two.slug), '[]'::jsonb, 2, least(one.observed_at, two.observed_at),
    least(one.fresh_until, two.fresh_until), one.symbol, one.name
"""
#: What a pair is priced by. The other's stand beside the better source's by a window: a join of what is counted with
#: itself would go through all of it for each row.
OF_THE_OTHER = (
    "slug",
    "price_usd",
    "market_cap",
    "volume_24h",
    "percent_change_24h",
    "rank",
    "observed_at",
    "fresh_until",
)
_AGREED = f"""
UPDATE assets_asset asset SET ({", ".join(COLUMNS)}, changed_at) = ({_NEW}, clock_timestamp())
FROM agreed new WHERE asset.id = new.id AND ({_OLD}) IS DISTINCT FROM ({_NEW})
"""
#: Most assets have one quote or two, and most of these count: what `assets.consensus` says of them is said here
#: set-based, for quotes = 1 and 2. A test holds the two to each other.
REPRICE_SINGLES = f"""
WITH agreed (id, {", ".join(COLUMNS)}) AS (SELECT one.asset_id, {_SINGLE} FROM ({_COUNTING}) one), priced AS ({_AGREED})
SELECT id FROM agreed
"""
REPRICE_PAIRS = f"""
WITH paired AS (
    SELECT *, {", ".join(f"lead({column}) OVER better AS other_{column}" for column in OF_THE_OTHER)}
    FROM ({_COUNTING}) counting WINDOW better AS (PARTITION BY asset_id ORDER BY identity_rank, slug)
), agreed (id, {", ".join(COLUMNS)}) AS (
    SELECT one.asset_id, {_PAIR}
    FROM paired one, LATERAL (SELECT {", ".join(f"one.other_{column} AS {column}" for column in OF_THE_OTHER)}) two,
    LATERAL (
        SELECT least(one.price_usd, two.price_usd) AS low, greatest(one.price_usd, two.price_usd) AS high,
               greatest(scale(one.price_usd), scale(two.price_usd)) AS digits
    ) prices,
    LATERAL (
        SELECT (low + high) * 0.5 AS mid, (high - low) * 20000 / nullif(low + high, 0) AS bps,
               (high - low) * 100 > low * {THRESHOLD_PERCENT} AS apart
    ) measures,
    -- A logarithm of a float is quick, and enough to count digits; below 1e-300 there are none.
    LATERAL (SELECT floor(CASE WHEN bps > 1e-300 THEN log(bps::float8) ELSE log(bps) END)::int AS magnitude) sizes
    WHERE one.other_slug <> one.slug
), priced AS ({_AGREED})
SELECT id FROM agreed
"""

REPRICING = ", ".join(["id bigint", *(f"{column} {kind}" for column, kind in TYPES.items())])
REPRICE = f"""
WITH new AS (DELETE FROM repricing RETURNING *)
UPDATE assets_asset AS asset SET ({", ".join(COLUMNS)}, changed_at) = ({_NEW}, clock_timestamp())
FROM new WHERE asset.id = new.id AND ({_OLD}) IS DISTINCT FROM ({_NEW})
"""
#: What the source still lists and has been silent about since the consensus was last worked out. When the source says
#: nothing at all, that is the source's trouble, and no event of each of its coins.
WENT_STALE = f"""
INSERT INTO assets_event (listing_id, kind, detail)
SELECT silent.listing_id, 'stale',
       'last word of ' || to_char(silent.observed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
FROM unnest(%(ids)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT quote.listing_id, quote.observed_at FROM assets_quote quote
    JOIN assets_asset asset ON asset.id = quote.asset_id
    JOIN assets_source source ON source.id = quote.source_id
    JOIN assets_listing listing ON listing.id = quote.listing_id
    WHERE quote.asset_id = wanted.id AND {_STALE_AT} >= asset.fresh_until AND {_STALE_AT} < %(now)s
      AND source.enabled AND listing.missed_sweeps = 0
      AND source.last_sweep_at + {INTERVALS_FRESH} * source.interval_seconds * interval '1 second' > clock_timestamp()
    OFFSET 0
) silent
ORDER BY silent.listing_id
"""
#: That pricing what is due may take at a time.
SECONDS = 5
#: All assets are looked at, in the order in which they lie. No index is worth its while: of a time that every price
#: moves on a BRIN keeps the earliest that it ever held, and any other costs each update its place on the page.
DUE = """
SELECT id FROM assets_asset WHERE id = ANY(ARRAY(
    SELECT id FROM (SELECT id FROM assets_asset WHERE fresh_until < clock_timestamp() OFFSET 0) due
    ORDER BY id LIMIT %s
)) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
#: Whatever the quotes of these sources make, it is not what they made when it was last worked out.
ALL_DUE = """
WITH locked AS (
    SELECT id FROM assets_asset WHERE id IN (SELECT asset_id FROM assets_quote WHERE source_id = ANY(%s))
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE assets_asset asset SET fresh_until = now() FROM locked WHERE asset.id = locked.id
"""


def reprice(asset_ids: Iterable[int], now: datetime | None = None) -> None:
    """The consensus of these assets is that of their quotes at `now`. Part of the caller's transaction."""
    ids = sorted(asset_ids)
    if not ids:
        return
    with connection.cursor() as cursor:
        array = array_of_numbers(ids)
        cursor.execute(
            """SELECT min(fresh_until) FROM (
                   SELECT fresh_until FROM assets_asset WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
               ) locked""",
            [array],
        )
        until = cursor.fetchone()[0]
        if now is None:
            now = database_clock()
        if until is not None and until < now:
            # Here and not where it is due alone: another source's word may come first, and move `fresh_until` on.
            cursor.execute(WENT_STALE, {"ids": array, "now": now})
        rest = set(ids)
        for quotes, agree in ((1, REPRICE_SINGLES), (2, REPRICE_PAIRS)):
            if rest:
                cursor.execute(agree, {"ids": array_of_numbers(rest), "now": now, "quotes": quotes})
                rest.difference_update(row[0] for row in cursor.fetchall())
        if rest:
            stage(cursor, "repricing", REPRICING, priced(sorted(rest), now))
            cursor.execute(REPRICE)


def priced(ids: Iterable[int], now: datetime, quotes_of: str = QUOTES) -> list[tuple[object, ...]]:
    """(id, *COLUMNS) of each of these assets that has a quote: its consensus at `now`. Reads only."""
    ids = list(ids)
    with connection.cursor() as cursor:
        cursor.execute(quotes_of, [array_of_numbers(ids)])
        quotes: dict[int, list[SourceQuote]] = defaultdict(list)
        called: dict[int, tuple[str, str]] = {}
        for asset_id, slug, identity_rank, interval, *rest, symbol, name in cursor.fetchall():
            quotes[asset_id].append(SourceQuote(slug, identity_rank, timedelta(seconds=interval), *rest))
            # Symbol and name are those of the best-ranked source.
            called.setdefault(asset_id, (symbol, name))
    rows: list[tuple[object, ...]] = []
    for asset_id in ids:
        if asset_id not in quotes:
            continue
        agreed = consensus(quotes[asset_id], now)
        rows.append((asset_id, *columns(agreed, len(quotes[asset_id])), *called[asset_id]))
    return rows


def of_one(source: Source, interval: timedelta, record: AssetRecord, now: datetime) -> tuple[object, ...]:
    """COLUMNS without symbol and name of an asset with this quote alone: as in REPRICE_SINGLES."""
    _, _, _, at, price, market_cap, volume, change, rank, *_ = record
    stale_at = at + INTERVALS_FRESH * interval
    fresh_until = stale_at if source.enabled and stale_at >= now else None
    if price is None or fresh_until is None:
        quote = SourceQuote(source.slug, source.identity_rank, interval, *record[3:9], False, source.enabled)
        left_out = json_of([{"source": source.slug, "reason": why_not(quote, now)}])
        return None, None, None, None, None, None, None, rank, "none", "[]", left_out, 1, None, fresh_until
    used = f'["{source.slug}"]'
    return price, price, price, market_cap, volume, change, 0, rank, "single", used, "[]", 1, at, fresh_until


def columns(agreed: Consensus, quotes: int) -> tuple[object, ...]:
    """The consensus of so many quotes as COLUMNS has it, without symbol and name."""
    return (
        agreed.price_usd,
        agreed.price_min,
        agreed.price_max,
        agreed.market_cap,
        agreed.volume_24h,
        agreed.percent_change_24h,
        agreed.spread_bps,
        agreed.rank,
        agreed.agreement,
        json_of(agreed.sources_used),
        json_of([{"source": source, "reason": reason} for source, reason in agreed.left_out]),
        quotes,
        agreed.observed_at,
        agreed.fresh_until,
    )


def all_due(source_ids: Iterable[int]) -> None:
    """Every asset of these sources is due. Readers see it at once, `reprice_due` works through them."""
    with connection.cursor() as cursor:
        cursor.execute(ALL_DUE, [list(source_ids)])


def reprice_due(limit: int = 5000) -> int:
    """Assets in whose consensus a quote has gone stale are priced again, as far as it can be in SECONDS; the number of
    them. Commits by itself.
    """
    end, priced_again = monotonic() + SECONDS, 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(DUE, [limit])
            ids = [row[0] for row in cursor.fetchall()]
            reprice(ids)
        priced_again += len(ids)
        if len(ids) < limit or monotonic() > end:
            return priced_again
