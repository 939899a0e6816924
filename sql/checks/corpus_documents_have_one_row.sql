-- The table holds exactly the documents of the corpus, each once.
-- Conserves: rows.
-- Views: corpus, this.
SELECT
    count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL) = 0
        AND count(DISTINCT made.doc) = count(made.doc) AS passed,
    count(expected.doc) AS documents,
    count(made.doc) AS rows
FROM (SELECT doc FROM corpus) AS expected
FULL JOIN (SELECT doc FROM this) AS made ON made.doc = expected.doc
