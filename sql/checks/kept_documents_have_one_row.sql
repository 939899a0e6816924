-- Documents that are kept, and only they, have a row.
-- Conserves: rows.
-- Views: verdicts, this.
SELECT
    count(*) FILTER (WHERE kept.doc IS NULL OR made.doc IS NULL) = 0
        AND count(DISTINCT made.doc) = count(made.doc) AS passed,
    count(kept.doc) AS kept,
    count(made.doc) AS rows
FROM (SELECT doc FROM verdicts WHERE verdict = 'kept') AS kept
FULL JOIN (SELECT doc FROM this) AS made ON made.doc = kept.doc
