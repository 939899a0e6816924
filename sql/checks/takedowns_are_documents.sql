-- What takedowns hit is a document, under its own name, once, and says by which takedowns.
-- Conserves: rows.
-- Views: documents, this (takedowns), stats (name, value).
SELECT
    count(*) FILTER (
        WHERE documents.doc IS NULL
            OR this.record_id IS DISTINCT FROM documents.record_id
            OR coalesce(len(this.takedowns), 0) = 0
            OR NOT starts_with(this.detail, this.takedowns[1] || ':')
    ) = 0
        AND count(DISTINCT this.doc) = count(*)
        AND count(*) = (SELECT coalesce(max(value), 0) FROM stats WHERE name = 'rows_out') AS passed,
    count(*) AS documents
FROM this
LEFT JOIN (SELECT doc, record_id FROM documents) AS documents ON documents.doc = this.doc
