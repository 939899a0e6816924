-- The table holds exactly the documents of the corpus, with ids, and the tombstones, without, each once.
-- Conserves: rows.
-- Views: corpus, tombstones, this (tokens).
SELECT
    count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL OR expected.present <> made.present) = 0
        AND count(DISTINCT made.doc) = count(made.doc) AS passed,
    count(*) FILTER (WHERE expected.present) AS documents,
    count(*) FILTER (WHERE NOT expected.present) AS tombstones,
    count(made.doc) AS rows
FROM (SELECT doc, true AS present FROM corpus UNION ALL SELECT doc, false FROM tombstones) AS expected
FULL JOIN (SELECT doc, ids IS NOT NULL AS present FROM this) AS made ON made.doc = expected.doc
