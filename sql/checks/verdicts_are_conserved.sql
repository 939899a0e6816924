-- Documents = kept + dropped, each once, and every dropped one says why.
-- Views: documents, this (verdicts).
SELECT
    count(*) = (SELECT count(*) FROM documents)
        AND count(DISTINCT doc) = count(*)
        AND count(*) FILTER (WHERE verdict IS NULL) = 0
        AND count(*) FILTER (WHERE verdict <> 'kept' AND station IS NULL) = 0
        AND count(*) FILTER (WHERE station NOT IN ('acquisition') AND (value IS NULL OR "limit" IS NULL)) = 0 AS passed,
    (SELECT count(*) FROM documents) AS documents,
    count(*) FILTER (WHERE verdict = 'kept') AS kept,
    count(*) FILTER (WHERE verdict <> 'kept') AS dropped
FROM this
