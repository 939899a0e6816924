-- Every document with text has its statistics, and no other has any.
-- Conserves: rows.
-- Views: documents, this (signals).
SELECT
    count(*) FILTER (WHERE (documents.verdict IS NULL) IS DISTINCT FROM (this.words IS NOT NULL)) = 0 AS passed,
    count(*) FILTER (WHERE documents.verdict IS NULL) AS texts,
    count(*) FILTER (WHERE this.words IS NOT NULL) AS measured
FROM (SELECT doc, verdict FROM documents) AS documents
FULL JOIN (SELECT doc, words FROM this) AS this ON this.doc = documents.doc
