-- Response records whose site asks not to be trained on, or whose URL is on a block list, and those that are kept.
-- Views: documents, verdicts, url_matches.
SELECT 'opt-out: ' || signal AS sign, count(*) AS records, count(*) FILTER (WHERE kept) AS kept
FROM (
    SELECT unnest(list_distinct(consent)) AS signal, verdicts.verdict = 'kept' AS kept
    FROM documents
    JOIN verdicts USING (doc)
)
GROUP BY signal
UNION ALL
SELECT 'block list: ' || url_domain_category, count(*), count(*) FILTER (WHERE verdict = 'kept')
FROM url_matches
JOIN verdicts USING (doc)
WHERE url_domain_listed > 0
GROUP BY url_domain_category
ORDER BY sign
