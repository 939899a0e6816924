-- What the manifest counts is what the table holds: rows in = rows out + dropped, and each reason as often as it says.
-- Conserves: rows.
-- Views: this (a table with `verdict`; null or 'kept' where nothing was dropped), stats.
WITH held AS (
    SELECT coalesce(verdict, 'kept') AS verdict, count(*) AS documents
    FROM this
    GROUP BY ALL
),
counted AS (
    SELECT replace(replace(name, 'rows_out', 'kept'), 'dropped.', '') AS verdict, value AS documents
    FROM stats
    WHERE value > 0 AND (name = 'rows_out' OR name LIKE 'dropped.%')
)
SELECT
    count(*) FILTER (WHERE held.documents IS DISTINCT FROM counted.documents) = 0
        AND coalesce(sum(held.documents), 0) = (SELECT coalesce(sum(value), 0) FROM stats WHERE name = 'rows_in') AS passed,
    coalesce(sum(held.documents), 0)::BIGINT AS rows,
    coalesce(string_agg(coalesce(held.verdict, counted.verdict), ', ') FILTER (WHERE held.documents IS DISTINCT FROM counted.documents), '')
        AS differ
FROM held
FULL JOIN counted ON counted.verdict = held.verdict
