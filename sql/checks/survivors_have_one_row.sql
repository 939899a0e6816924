-- Documents that no gate before this station dropped, and only they, have a row.
-- Conserves: rows.
-- Views: filter_verdicts, this. Parameter: $position, the station's place in the order of decisions.
SELECT
    count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL) = 0
        AND count(DISTINCT made.doc) = count(made.doc) AS passed,
    count(expected.doc) AS survivors,
    count(made.doc) AS rows
FROM (SELECT doc FROM filter_verdicts WHERE position IS NULL OR position > $position) AS expected
FULL JOIN (SELECT doc FROM this) AS made ON made.doc = expected.doc
