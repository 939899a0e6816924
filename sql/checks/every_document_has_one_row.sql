-- The station's table holds exactly the documents of its first input, each once.
-- Conserves: rows.
-- Views: documents, this.
SELECT
    count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL) = 0
        AND count(DISTINCT made.doc) = count(made.doc) AS passed,
    count(expected.doc) AS documents,
    count(made.doc) AS rows,
    count(*) FILTER (WHERE made.doc IS NULL) AS missing,
    count(*) FILTER (WHERE expected.doc IS NULL) AS unknown,
    count(made.doc) - count(DISTINCT made.doc) AS repeated
FROM (SELECT doc FROM documents) AS expected
FULL JOIN (SELECT doc FROM this) AS made ON expected.doc = made.doc
