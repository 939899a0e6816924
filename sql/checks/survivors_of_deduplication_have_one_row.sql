-- Documents that neither a gate nor a deduplication before this station dropped, and only they, have a row.
-- Conserves: rows.
-- Views: filter_verdicts, previous (the deduplication before), this. Parameter: $position, as in survivors_have_one_row.
SELECT
    count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL) = 0
        AND count(DISTINCT made.doc) = count(made.doc) AS passed,
    count(expected.doc) AS survivors,
    count(made.doc) AS rows
FROM (
    SELECT doc
    FROM filter_verdicts
    JOIN previous USING (doc)
    WHERE previous.survivor AND (filter_verdicts.position IS NULL OR filter_verdicts.position > $position)
) AS expected
FULL JOIN (SELECT doc FROM this) AS made ON made.doc = expected.doc
