"""What has to be equal after any torture, and what must never have happened in between.

Compared by natural keys: serial ids, clocks and the number of attempts may differ, nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

Rows = Callable[[str], list[tuple]]

LISTING = "source.slug || ':' || listing.source_asset_id"
PAGE = "page.sweep || '/' || page.number"
OF_LISTING = """
JOIN assets_listing listing ON listing.id = {0}.listing_id JOIN assets_source source ON source.id = listing.source_id
"""
OF_PAGE = "LEFT JOIN ingestion_rawpayload page ON page.id = {0}.page_id"

COMPARED = {
    "sources": "SELECT slug, enabled, interval_seconds, last_sweep_at IS NULL, last_sweep_records FROM assets_source",
    "assets": """SELECT slug, symbol, name, rank, price_usd, price_min, price_max, market_cap, volume_24h,
        percent_change_24h, spread_bps, agreement, sources_used::text, left_out::text, quotes_count, observed_at,
        fresh_until FROM assets_asset""",
    "listings": f"""SELECT {LISTING}, asset.slug, listing.symbol, listing.name, contracts, last_seen_at IS NULL,
        missed_sweeps, delisted_at IS NULL, method, confidence, reasons::text
        FROM assets_listing listing JOIN assets_source source ON source.id = listing.source_id
        JOIN assets_asset asset ON asset.id = listing.asset_id""",
    "listing keys": f"SELECT {LISTING}, key.key FROM assets_listing_key key {OF_LISTING.format('key')}",
    "quotes": f"""SELECT {LISTING}, quoting.slug, asset.slug, quote.price_usd, quote.market_cap, quote.volume_24h,
        quote.percent_change_24h, quote.rank, quote.circulating_supply, quote.total_supply, quote.max_supply,
        quote.observed_at, {PAGE}, position, digest
        FROM assets_quote quote {OF_LISTING.format("quote")} JOIN assets_asset asset ON asset.id = quote.asset_id
        JOIN assets_source quoting ON quoting.id = quote.source_id {OF_PAGE.format("quote")}""",
    "price points": f"""SELECT {LISTING}, point.observed_at, price_usd, market_cap, volume_24h, {PAGE}
        FROM assets_price_point point {OF_LISTING.format("point")} {OF_PAGE.format("point")}""",
    "candidates": f"""SELECT (
            SELECT array_agg({LISTING} ORDER BY {LISTING}) FROM assets_listing listing
            JOIN assets_source source ON source.id = listing.source_id WHERE listing.id IN (pair.a_id, pair.b_id)
        ), score, reasons::text FROM assets_candidate pair""",
    "events": f"""SELECT {LISTING}, kind, detail FROM assets_event event {OF_LISTING.format("event")}
        WHERE kind <> 'moved'""",
    "pages": f"""SELECT source.slug, {PAGE}, cursor, url, status_code, meta::text, encode(body_id, 'hex'), superseded,
        state, error, inserted, updated, unchanged, rejected, last_id
        FROM ingestion_rawpayload page JOIN assets_source source ON source.id = page.source_id""",
    "bodies": "SELECT encode(sha256, 'hex'), encoding, size, length(text) FROM ingestion_rawbody",
    "sightings": f"""SELECT seen_by.slug, {PAGE}, {LISTING} FROM ingestion_sighting sighting
        JOIN ingestion_rawpayload page ON page.id = sighting.payload_id
        JOIN assets_source seen_by ON seen_by.id = page.source_id
        CROSS JOIN LATERAL unnest(listing_ids) AS held(listing_id) {OF_LISTING.format("held")}""",
    "rejects": f"""SELECT source.slug, {PAGE}, position, field, reason, raw, encode(fingerprint, 'hex'), reject.state
        FROM ingestion_reject reject JOIN assets_source source ON source.id = reject.source_id
        JOIN ingestion_rawpayload page ON page.id = reject.payload_id""",
    "runs": """SELECT source.slug, sweep, status, whole, pages, processed, inserted, updated, unchanged, rejected,
        last_processed_id, error FROM ingestion_run run JOIN assets_source source ON source.id = run.source_id""",
    "checkpoints": f"""SELECT source.slug, checkpoint.cursor, checkpoint.sweep, in_sweep, {PAGE}
        FROM ingestion_checkpoint checkpoint JOIN assets_source source ON source.id = checkpoint.source_id
        {OF_PAGE.format("checkpoint")}""",
}

#: Every move of a checkpoint, judged at its commit.
WATCH = """
CREATE TABLE IF NOT EXISTS torture_move (
    source_id int, before text, after text, backwards boolean NOT NULL, ahead boolean NOT NULL
);
CREATE OR REPLACE FUNCTION torture_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO torture_move SELECT NEW.source_id, OLD::text, NEW::text,
        NEW.sweep < OLD.sweep OR coalesce(NEW.page_id, 0) < coalesce(OLD.page_id, 0)
            OR (NEW.page_id IS NOT DISTINCT FROM OLD.page_id AND NEW.cursor IS DISTINCT FROM OLD.cursor),
        NEW.page_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM ingestion_rawpayload page WHERE page.id = NEW.page_id AND page.source_id = NEW.source_id
            AND page.number = (SELECT count(*) FROM ingestion_rawpayload WHERE run_id = page.run_id)
        );
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS torture_moved ON ingestion_checkpoint;
CREATE CONSTRAINT TRIGGER torture_moved AFTER UPDATE ON ingestion_checkpoint DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION torture_moved();
"""

#: Each gives no row, ever.
NEVER = {
    "a checkpoint moved backwards": "SELECT before, after FROM torture_move WHERE backwards",
    "a checkpoint stood ahead of its data": "SELECT before, after FROM torture_move WHERE ahead",
    "a run is open": "SELECT id, status FROM ingestion_run WHERE status IN ('queued', 'running')",
    "a page waits": "SELECT id, state FROM ingestion_rawpayload WHERE state = 'stored'",
    "a run's counts are not those of its pages": """
        SELECT run.id, run.processed, run.inserted, run.updated, run.unchanged, run.rejected, pages.*
        FROM ingestion_run run CROSS JOIN LATERAL (
            SELECT coalesce(sum(inserted), 0) AS inserted, coalesce(sum(updated), 0) AS updated,
                   coalesce(sum(unchanged), 0) AS unchanged, coalesce(sum(rejected), 0) AS rejected, count(*) AS pages
            FROM ingestion_rawpayload page WHERE page.run_id = run.id
        ) pages
        WHERE (run.inserted, run.updated, run.unchanged, run.rejected, run.pages)
            IS DISTINCT FROM (pages.inserted, pages.updated, pages.unchanged, pages.rejected, pages.pages)
           OR run.processed <> run.inserted + run.updated + run.unchanged + run.rejected""",
    "two runs of a source overlap": """
        SELECT a.id, b.id FROM ingestion_run a JOIN ingestion_run b ON b.source_id = a.source_id AND b.id > a.id
        WHERE b.started_at < a.finished_at""",
    "a run has ended and is held": "SELECT id FROM ingestion_run WHERE lease_token IS NOT NULL",
    "a candle is not what its points make, and none of their pages is due": """
        SELECT listing_id, start, made.*, hour.count FROM (
            SELECT listing_id, date_bin('1 hour', observed_at, 'epoch') AS start, count(*) AS points,
                   max(price_usd) AS highest, min(price_usd) AS lowest, array_agg(page_id) AS pages
            FROM assets_price_point GROUP BY 1, 2
        ) made FULL JOIN assets_candle_hour hour USING (listing_id, start)
        WHERE (points, highest, lowest) IS DISTINCT FROM (hour.count, high, low)
          AND NOT EXISTS (SELECT FROM assets_candle_due due WHERE due.page_id = ANY(made.pages))""",
    "a quote is not of its listing's asset": """
        SELECT quote.listing_id FROM assets_quote quote JOIN assets_listing listing ON listing.id = quote.listing_id
        WHERE quote.asset_id <> listing.asset_id""",
}

Tables = dict[str, Counter]


def snapshot(rows: Rows) -> Tables:
    """Every compared table as a bag of rows."""
    return {name: Counter(_hashable(row) for row in rows(sql)) for name, sql in COMPARED.items()}


def _hashable(row: tuple) -> tuple:
    return tuple(tuple(value) if isinstance(value, list) else value for value in row)


def differences(undisturbed: Tables, tortured: Tables, most: int = 4) -> list[str]:
    """What is lost, and what is there that should not be; some rows of each table."""
    found = []
    for name, rows in undisturbed.items():
        lost, more = rows - tortured[name], tortured[name] - rows
        if lost or more:
            found.append(f"{name}: {lost.total()} rows are missing, {more.total()} are there that should not be")
            found += [f"    missing {row}" for row in sorted(lost, key=str)[:most]]
            found += [f"    instead {row}" for row in sorted(more, key=str)[:most]]
    return found


def violations(rows: Rows) -> list[str]:
    """What must never be, and is."""
    return [f"{name}: {found[:4]}" for name, sql in NEVER.items() if (found := rows(sql))]
