-- The registered domains that most is kept of.
-- Views: documents, verdicts. Parameter: $most.
SELECT
    coalesce(nullif(registered_domain, ''), host, '') AS domain,
    count(*) AS records,
    count(*) FILTER (WHERE verdicts.verdict = 'kept') AS kept
FROM documents
JOIN verdicts USING (doc)
GROUP BY domain
ORDER BY kept DESC, records DESC, domain
LIMIT $most
