-- The snapshot's segment of the band index has every compared document once, and has keys if, and only if, there are
-- bands to index; never more than there are.
-- Conserves: rows.
-- Views: keys (what was compared), stats: rows of the two files as they were read again.
WITH compared AS (
    SELECT count(*) AS documents, coalesce(sum(len(bands)), 0)::BIGINT AS bands
    FROM keys
),
counted AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE name = 'rows_out'), 0)::BIGINT AS documents,
        coalesce(sum(value) FILTER (WHERE name = 'keys'), 0)::BIGINT AS keys
    FROM stats
)
SELECT
    counted.documents = compared.documents
        AND counted.keys <= compared.bands
        AND (counted.keys > 0) = (compared.bands > 0) AS passed,
    compared.documents AS compared,
    counted.documents AS indexed,
    compared.bands,
    counted.keys
FROM compared, counted
