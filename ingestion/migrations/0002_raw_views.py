"""What the views raw_<source> stand on: a stored page as its records, for people at psql. And lz4 for the bodies."""

from django.db import migrations

CREATE = r"""
-- A page of JSON that one record keeps from being read, with what is wrong made a text of: NaN, a number beyond any
-- range, the character NUL, half a character.
CREATE FUNCTION ingestion_mended(body text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(
        regexp_replace(
            regexp_replace(body, '(?<!\\)((?:\\\\)*)\\u0000', '\1␀', 'g'),
            '\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}',
            '�', 'g'
        ),
        '(?<=[:\[,\s])(-?Infinity|NaN|-?[0-9]+(?:[.][0-9]+)?[eE][+-]?[0-9]{5,})(?=\s*[,}\]])', '"\1"', 'g'
    )
$$;

-- The records of a page as received: the elements of a JSON array (meta.items: of the one under this key of the object
-- that the page is), or the rows of a CSV page by its header.
-- A page that holds neither has no rows here; its text is in ingestion_rawbody. Empty rows of a CSV are no records.
CREATE FUNCTION ingestion_items(body text, meta jsonb)
RETURNS TABLE ("position" integer, payload jsonb) LANGUAGE plpgsql STABLE AS $$
DECLARE
    delimiter text := regexp_replace(coalesce(meta ->> 'delimiter', ','), '([|.*+?^$(){}\[\]\\])', '\\\1');
    page jsonb;
BEGIN
    IF meta ? 'header' THEN
        RETURN QUERY
        WITH fields AS (
            SELECT coalesce(replace(found.part[1], '""', '"'), ltrim(found.part[2], ' ')) AS field, found.part[3] AS ending, found.number
            FROM regexp_matches(
                body, '(?:"((?:[^"]|"")*)"|([^' || delimiter || '\r\n]*))(' || delimiter || '|[\r\n]+|$)', 'g'
            ) WITH ORDINALITY AS found (part, number)
        ), numbered AS (
            SELECT field, number,
                   count(*) FILTER (WHERE ending ~ '^[\r\n]+$') OVER (ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS line
            FROM fields
        ), placed AS (
            SELECT field, line, row_number() OVER (PARTITION BY line ORDER BY number) AS place,
                   bool_or(field <> '') OVER (PARTITION BY line) AS is_record
            FROM numbered
        )
        SELECT (row_number() OVER (ORDER BY placed.line) - 1)::integer,
               jsonb_object_agg(coalesce(nullif(meta -> 'header' ->> (placed.place - 1)::integer, ''), 'column ' || placed.place), placed.field)
        FROM placed WHERE placed.is_record GROUP BY placed.line ORDER BY placed.line;
    ELSE
        BEGIN
            page := body::jsonb;
        EXCEPTION WHEN data_exception OR invalid_text_representation THEN
            page := ingestion_mended(body)::jsonb;
        END;
        RETURN QUERY
        SELECT (element.number - 1)::integer, element.value
        FROM jsonb_array_elements(CASE WHEN meta ? 'items' THEN page -> (meta ->> 'items') ELSE page END)
            WITH ORDINALITY AS element (value, number);
    END IF;
EXCEPTION WHEN data_exception OR invalid_text_representation THEN
    RETURN;
END $$;

DO $$ BEGIN
    ALTER TABLE ingestion_rawbody ALTER COLUMN text SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'This PostgreSQL has no lz4: raw bodies are compressed with pglz.';
END $$;
"""

DROP = "DROP FUNCTION ingestion_items(text, jsonb) CASCADE; DROP FUNCTION ingestion_mended(text);"


class Migration(migrations.Migration):
    dependencies = (("ingestion", "0001_initial"),)
    operations = (migrations.RunSQL(CREATE, DROP),)
