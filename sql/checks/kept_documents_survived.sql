-- What is kept passed the last deduplication, and what passed both it and all gates is kept, if it is not taken down.
-- Conserves: rows.
-- Views: takedowns, filter_verdicts, last (the last deduplication), this (verdicts).
SELECT
    count(*) FILTER (
        WHERE (this.verdict = 'kept') IS DISTINCT FROM (
            coalesce(last.survivor, false) AND filter_verdicts.verdict IS NULL AND takedowns.doc IS NULL
        )
    ) = 0 AS passed,
    count(*) FILTER (WHERE this.verdict = 'kept') AS kept,
    count(*) FILTER (WHERE last.survivor) AS survivors
FROM this
LEFT JOIN filter_verdicts USING (doc)
LEFT JOIN (SELECT doc FROM takedowns) AS takedowns USING (doc)
LEFT JOIN last USING (doc)
