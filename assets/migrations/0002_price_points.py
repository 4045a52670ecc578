"""Price points and hourly candles, partitioned by month; daily candles; room for updates; word of changed quotes."""

from django.db import migrations

CREATE = """
CREATE TABLE assets_price_point (
    listing_id bigint NOT NULL,
    observed_at timestamptz NOT NULL,
    price_usd numeric NOT NULL,
    market_cap numeric,
    volume_24h numeric,
    page_id bigint,
    PRIMARY KEY (listing_id, observed_at)
) PARTITION BY RANGE (observed_at);

-- Finds the points of a page that is to go into the candles. Pages are written one after the other, so their points lie
-- side by side, and this kind of index costs a write next to nothing.
CREATE INDEX assets_price_point_page ON assets_price_point USING brin (page_id)
    WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE assets_candle_hour (
    listing_id bigint NOT NULL,
    start timestamptz NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    count integer NOT NULL,
    backfilled integer NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (listing_id, start)
) PARTITION BY RANGE (start);

CREATE TABLE assets_candle_day (LIKE assets_candle_hour INCLUDING ALL) WITH (fillfactor = 80);

-- The partitions of a month exist afterwards. They are made apart and attached, which locks out no reader and no writer.
CREATE FUNCTION assets_price_point_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    name text;
BEGIN
    IF to_regclass('assets_price_point_' || to_char(month, 'YYYY_MM')) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7630);
    FOREACH parent IN ARRAY ARRAY['assets_candle_hour', 'assets_price_point'] LOOP
        name := parent || '_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name,
            month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
        );
    END LOOP;
    EXECUTE format('ALTER TABLE %I SET (fillfactor = 80)', 'assets_candle_hour_' || to_char(month, 'YYYY_MM'));
END $$;

ALTER TABLE assets_quote SET (fillfactor = 80);
ALTER TABLE assets_asset SET (fillfactor = 80);

-- Once a transaction, whatever the number of rows and statements: /stream listens (assets.changes).
CREATE FUNCTION assets_quote_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY cryptoetl_quotes;
    RETURN NULL;
END $$;
CREATE TRIGGER quote_changed AFTER INSERT OR UPDATE ON assets_quote
    FOR EACH STATEMENT EXECUTE FUNCTION assets_quote_changed();
"""

DROP = """
DROP TRIGGER quote_changed ON assets_quote;
DROP FUNCTION assets_quote_changed();
DROP FUNCTION assets_price_point_partition(date);
DROP TABLE assets_price_point, assets_candle_hour, assets_candle_day;
"""


class Migration(migrations.Migration):
    dependencies = (("assets", "0001_initial"),)
    operations = (migrations.RunSQL(CREATE, DROP),)
