-- The corpus holds exactly the documents whose verdict is `kept`, each with text.
-- Views: verdicts, this (corpus).
SELECT
    count(*) = (SELECT count(*) FROM verdicts WHERE verdict = 'kept')
        AND count(DISTINCT this.doc) = count(*)
        AND count(*) FILTER (WHERE kept.doc IS NULL) = 0
        AND count(*) FILTER (WHERE this.text IS NULL) = 0 AS passed,
    (SELECT count(*) FROM verdicts WHERE verdict = 'kept') AS kept,
    count(*) AS rows
FROM (SELECT doc, text FROM this) AS this
LEFT JOIN (SELECT doc FROM verdicts WHERE verdict = 'kept') AS kept ON kept.doc = this.doc
