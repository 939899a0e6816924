-- Documents = kept + dropped, each once; every dropped one says why; what is kept failed nothing.
-- Conserves: rows.
-- Views: documents, filter_verdicts, this (verdicts).
WITH expected AS (
    SELECT documents.doc, documents.record_id, filter_verdicts.verdict AS gate
    FROM documents
    LEFT JOIN filter_verdicts USING (doc)
)
SELECT
    count(*) FILTER (
        WHERE expected.doc IS NULL OR this.doc IS NULL
            OR this.record_id IS DISTINCT FROM expected.record_id
            -- Only what no gate dropped is kept.
            OR (expected.gate IS NOT NULL AND this.verdict = 'kept')
    ) = 0
        AND count(DISTINCT this.doc) = count(this.doc)
        AND count(*) FILTER (WHERE this.verdict IS NULL) = 0
        AND count(*) FILTER (WHERE this.verdict <> 'kept' AND this.station IS NULL) = 0
        AND count(*) FILTER (
            WHERE this.station <> 'acquisition' AND (this.value IS NULL OR this."limit" IS NULL)
        ) = 0 AS passed,
    count(expected.doc) AS documents,
    count(*) FILTER (WHERE this.verdict = 'kept') AS kept,
    count(*) FILTER (WHERE this.verdict <> 'kept') AS dropped
FROM expected
FULL JOIN this ON this.doc = expected.doc
