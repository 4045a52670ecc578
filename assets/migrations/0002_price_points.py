"""What models can't say: price points and candles, partitioned by month; room for updates; the tally; texts; the stream."""

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

CREATE FUNCTION assets_tally_quotes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM assets_tally WHERE quotes <> 0;
    ELSE
        INSERT INTO assets_tally (source_id, quotes)
        SELECT source_id, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM changed GROUP BY source_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tally_in AFTER INSERT ON assets_quote REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION assets_tally_quotes();
CREATE TRIGGER tally_out AFTER DELETE ON assets_quote REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION assets_tally_quotes();
CREATE TRIGGER tally_none AFTER TRUNCATE ON assets_quote EXECUTE FUNCTION assets_tally_quotes();

CREATE FUNCTION assets_tally_assets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM assets_tally WHERE assets <> 0;
    ELSE
        INSERT INTO assets_tally (assets)
        SELECT CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM changed HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tally_in AFTER INSERT ON assets_asset REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION assets_tally_assets();
CREATE TRIGGER tally_out AFTER DELETE ON assets_asset REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION assets_tally_assets();
CREATE TRIGGER tally_none AFTER TRUNCATE ON assets_asset EXECUTE FUNCTION assets_tally_assets();

-- Every three letters that follow each other, whatever their case: a text that holds a part holds all that the part does.
CREATE FUNCTION assets_grams(text text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT substr(lower(text), place, 3)), '{}')
    FROM generate_series(1, length(text) - 2) place
$$;

CREATE FUNCTION assets_unfiled_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO assets_unfiled (listing_ids) SELECT array_agg(id) FROM fresh HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER unfiled_new AFTER INSERT ON assets_listing REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION assets_unfiled_new();
CREATE FUNCTION assets_unfiled_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO assets_unfiled (listing_ids) VALUES (ARRAY[NEW.id]);
    RETURN NULL;
END $$;
CREATE TRIGGER unfiled_renamed AFTER UPDATE OF symbol, name ON assets_listing FOR EACH ROW
    WHEN ((OLD.symbol, OLD.name) IS DISTINCT FROM (NEW.symbol, NEW.name)) EXECUTE FUNCTION assets_unfiled_renamed();
"""

DROP = """
DROP TRIGGER tally_in ON assets_quote; DROP TRIGGER tally_out ON assets_quote; DROP TRIGGER tally_none ON assets_quote;
DROP TRIGGER tally_in ON assets_asset; DROP TRIGGER tally_out ON assets_asset; DROP TRIGGER tally_none ON assets_asset;
DROP TRIGGER unfiled_new ON assets_listing; DROP TRIGGER unfiled_renamed ON assets_listing;
DROP FUNCTION assets_unfiled_new(); DROP FUNCTION assets_unfiled_renamed(); DROP FUNCTION assets_grams(text);
DROP FUNCTION assets_tally_quotes(); DROP FUNCTION assets_tally_assets();
DROP TRIGGER quote_changed ON assets_quote;
DROP FUNCTION assets_quote_changed();
DROP FUNCTION assets_price_point_partition(date);
DROP TABLE assets_price_point, assets_candle_hour, assets_candle_day;
"""


class Migration(migrations.Migration):
    dependencies = (("assets", "0001_initial"),)
    operations = (migrations.RunSQL(CREATE, DROP),)
