"""Price points, partitioned by month of observation; room on a page for updates in place; word of changed quotes."""

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

-- The partition of a month exists afterwards. It is made apart and attached, which locks out no reader and no writer.
CREATE FUNCTION assets_price_point_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'assets_price_point_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(7630);
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE assets_price_point INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE assets_price_point ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
    );
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
DROP TABLE assets_price_point;
"""


class Migration(migrations.Migration):
    dependencies = (("assets", "0001_initial"),)
    operations = (migrations.RunSQL(CREATE, DROP),)
