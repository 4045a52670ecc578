"""The bench's tables: empty at the beginning of each part."""

from __future__ import annotations

from django.db import connection

from ingestion.registry import install_sources


def empty() -> None:
    """Nothing is known of any coin, and nothing of the work before is still to be written."""
    with connection.cursor() as cursor:
        cursor.execute(
            """TRUNCATE assets_asset, assets_listing, assets_listing_key, assets_listing_text, assets_unfiled,
                        assets_quote, assets_price_point, assets_candle_hour, assets_candle_day, assets_candle_due,
                        ingestion_run, ingestion_rawpayload, ingestion_rawbody, ingestion_fieldseen CASCADE"""
        )
        cursor.execute("UPDATE assets_source SET last_sweep_at = NULL, last_sweep_records = 0")
        cursor.execute("UPDATE ingestion_gate SET recent_calls = '{}', failures = 0, open_until = NULL")
    install_sources()
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")


def wal_bytes() -> int:
    """Written to the log so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
        return cursor.fetchone()[0]
