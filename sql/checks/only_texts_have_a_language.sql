-- A document without text has no language and the score 0; one without a language has no score either.
-- Conserves: rows.
-- Views: documents, this (languages).
SELECT
    count(*) FILTER (
        WHERE (documents.verdict IS NOT NULL AND this.language IS NOT NULL)
            OR (this.language IS NULL AND coalesce(this.language_score, 0) <> 0)
            OR this.language_score IS NULL
    ) = 0 AS passed,
    count(*) FILTER (WHERE documents.verdict IS NULL) AS texts,
    count(*) FILTER (WHERE this.language IS NOT NULL) AS recognised
FROM (SELECT doc, verdict FROM documents) AS documents
FULL JOIN this ON this.doc = documents.doc
