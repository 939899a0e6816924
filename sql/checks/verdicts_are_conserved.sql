-- Documents = kept + dropped, each once; every dropped one says why; what is kept failed nothing.
-- What is taken down is not kept, whatever else is true of it, and nothing else is said to be.
-- Conserves: rows.
-- Views: documents, takedowns, filter_verdicts, this (verdicts).
WITH expected AS (
    SELECT documents.doc, documents.record_id, filter_verdicts.verdict AS gate,
        takedowns.doc IS NOT NULL AND filter_verdicts.station IS DISTINCT FROM 'acquisition' AS taken_down
    FROM documents
    LEFT JOIN (SELECT doc FROM takedowns) AS takedowns USING (doc)
    LEFT JOIN filter_verdicts USING (doc)
)
SELECT
    count(*) FILTER (
        WHERE expected.doc IS NULL OR this.doc IS NULL
            OR this.record_id IS DISTINCT FROM expected.record_id
            -- Only what no gate dropped is kept.
            OR (expected.gate IS NOT NULL AND this.verdict = 'kept')
            OR expected.taken_down <> (this.verdict = 'takedown')
    ) = 0
        AND count(DISTINCT this.doc) = count(this.doc)
        AND count(*) FILTER (WHERE this.verdict IS NULL) = 0
        AND count(*) FILTER (WHERE this.verdict <> 'kept' AND this.station IS NULL) = 0
        AND count(*) FILTER (
            WHERE this.station NOT IN ('acquisition', 'takedowns') AND (this.value IS NULL OR this."limit" IS NULL)
        ) = 0 AS passed,
    count(expected.doc) AS documents,
    count(*) FILTER (WHERE this.verdict = 'kept') AS kept,
    count(*) FILTER (WHERE this.verdict <> 'kept') AS dropped
FROM expected
FULL JOIN this ON this.doc = expected.doc
