-- How many registered domains have how many documents: of all response records, and of what is kept.
-- Views: documents, verdicts.
WITH domains AS (
    SELECT
        count(*) AS records,
        count(*) FILTER (WHERE verdicts.verdict = 'kept') AS kept
    FROM documents
    JOIN verdicts USING (doc)
    GROUP BY coalesce(nullif(registered_domain, ''), host, '')
)
SELECT 'records' AS what, records AS documents, count(*) AS domains
FROM domains
GROUP BY records
UNION ALL
SELECT 'kept', kept, count(*)
FROM domains
WHERE kept > 0
GROUP BY kept
ORDER BY ALL
