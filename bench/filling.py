"""Tables with as many rows of /data as wanted: two sources, each asset listed by both."""

from __future__ import annotations

from django.db import connection

from bench.database import empty

#: Not in the order of their ranks, so that neighbours in a list are no neighbours on the disk.
FILL = (
    """INSERT INTO assets_asset (slug, symbol, name, rank, price_usd, price_min, price_max, market_cap, volume_24h,
           percent_change_24h, spread_bps, agreement, sources_used, quotes_count, observed_at, fresh_until)
       SELECT 'coin-' || n, 'C' || n, 'Coin number ' || n, 1 + (n * 7919) %% %(assets)s, n + 0.25, n, n + 0.5, n * 1000,
              n * 10, 0.5, 1, 'agree', '["coingecko", "coinpaprika"]', 2, now(), now() + interval '1 day'
       FROM generate_series(1, %(assets)s::bigint) n""",
    """INSERT INTO assets_listing (source_id, source_asset_id, asset_id, symbol, name)
       SELECT s.id, a.slug, a.id, a.symbol, a.name FROM assets_asset a, assets_source s
       WHERE s.slug IN ('coingecko', 'coinpaprika')""",
    """INSERT INTO assets_quote (listing_id, source_id, asset_id, price_usd, market_cap, volume_24h,
           percent_change_24h, rank, observed_at, page_id, position, digest)
       SELECT l.id, l.source_id, l.asset_id, a.price_usd, a.market_cap, a.volume_24h, 0.5, a.rank,
              now() - l.id % 600 * interval '1 second', 0, 0, 0
       FROM assets_listing l JOIN assets_asset a ON a.id = l.asset_id""",
    "DROP INDEX listing_text_grams",
    """INSERT INTO assets_listing_text (listing_id, grams)
       SELECT id, assets_grams(symbol || E'\\n' || name) FROM assets_listing""",
    "CREATE INDEX listing_text_grams ON assets_listing_text USING gin (grams) WITH (fastupdate = off)",
    "TRUNCATE assets_unfiled",
    "VACUUM ANALYZE assets_asset, assets_listing, assets_listing_text, assets_quote",
    "CHECKPOINT",
)


def fill(rows: int) -> None:
    empty()
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute("UPDATE assets_source SET interval_seconds = 86400, last_sweep_at = now()")
        for statement in FILL:
            cursor.execute(statement, {"assets": rows // 2} if "%(" in statement else None)
