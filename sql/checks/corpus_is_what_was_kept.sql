-- The corpus holds exactly the documents whose verdict is `kept`, under their own names, each with text, and
-- as many bytes of it as were written.
-- Conserves: rows, bytes.
-- Views: verdicts, this (corpus), stats (name, value).
SELECT
    count(*) FILTER (
        WHERE kept.doc IS NULL OR made.doc IS NULL
            OR made.record_id IS DISTINCT FROM kept.record_id OR made.url IS DISTINCT FROM kept.url
            OR made.text_bytes IS NULL OR made.text_bytes = 0
    ) = 0
        AND count(DISTINCT made.doc) = count(made.doc)
        AND coalesce(sum(made.text_bytes), 0)
            = (SELECT coalesce(sum(value), 0) FROM stats WHERE name = 'text_bytes') AS passed,
    count(kept.doc) AS kept,
    count(made.doc) AS rows,
    coalesce(sum(made.text_bytes), 0)::BIGINT AS text_bytes
FROM (SELECT doc, record_id, url FROM verdicts WHERE verdict = 'kept') AS kept
FULL JOIN (SELECT doc, record_id, url, strlen(text) AS text_bytes FROM this) AS made ON made.doc = kept.doc
