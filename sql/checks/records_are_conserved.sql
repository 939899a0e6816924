-- Response records read = rows written; every row is usable text or has a verdict; keys are unique; there are as many
-- bytes of text as were extracted.
-- Conserves: rows, bytes.
-- Views: this (documents), stats (name, value): the reader's own counters.
WITH read AS (
    SELECT coalesce(sum(value) FILTER (WHERE name IN ('responses', 'damaged_regions')), 0)::BIGINT AS records
    FROM stats
)
SELECT
    count(*) = (SELECT records FROM read)
        AND count(*) FILTER (WHERE verdict IS NULL AND (text IS NULL OR text = '')) = 0
        AND count(*) FILTER (WHERE verdict IS NOT NULL AND text IS NOT NULL) = 0
        AND count(DISTINCT doc) = count(*)
        AND coalesce(sum(strlen(text)), 0) = (SELECT coalesce(sum(value), 0) FROM stats WHERE name = 'text_bytes') AS passed,
    (SELECT records FROM read) AS records,
    count(*) AS rows,
    count(*) FILTER (WHERE verdict IS NULL) AS usable,
    count(*) FILTER (WHERE verdict IS NOT NULL) AS unusable,
    count(*) - count(DISTINCT doc) AS repeated
FROM (SELECT doc, verdict, text FROM this)
