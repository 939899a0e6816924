-- Every document of the corpus has tokens: as many as it says, all of the vocabulary, the last one the end of the
-- document, and those that were decoded again while they were made gave their text. A tokenizer that was trained here
-- has the end of a document nowhere else, and loses no text; of a given one neither is demanded. Beside them are the
-- tombstones, with their number of tokens and without any.
-- Conserves: rows, tokens.
-- Views: corpus, tombstones, this (tokens), stats and tokenizer_stats (name, value).
WITH tokenizer AS (
    SELECT
        max(value) FILTER (WHERE name = 'vocabulary') AS vocabulary,
        max(value) FILTER (WHERE name = 'end_of_document') AS end_of_document,
        max(value) FILTER (WHERE name = 'given') = 1 AS given
    FROM tokenizer_stats
),
documents AS (
    SELECT
        this.doc,
        this.token_count,
        tombstones.doc IS NULL AS present,
        CASE
            WHEN present THEN
                this.token_count >= 1
                AND this.token_count = len(ids)
                AND list_max(ids) < vocabulary
                AND ids[-1] = end_of_document
                AND (given OR list_position(ids, end_of_document) = this.token_count)
                AND ids_hash IS NOT NULL
            ELSE ids IS NULL AND ids_hash IS NULL AND this.token_count = tombstones.token_count
        END AS sound
    FROM this
    CROSS JOIN tokenizer
    LEFT JOIN tombstones ON tombstones.doc = this.doc
)
SELECT
    count(*) FILTER (WHERE present) = (SELECT count(*) FROM corpus)
        AND count(*) FILTER (WHERE NOT present) = (SELECT count(*) FROM tombstones)
        AND count(DISTINCT doc) = count(*)
        AND count(*) FILTER (WHERE sound IS NOT TRUE) = 0
        AND ((SELECT given FROM tokenizer)
            OR (SELECT coalesce(sum(value) FILTER (WHERE name = 'irreversible_documents'), 0) FROM stats) = 0)
        AS passed,
    (SELECT count(*) FROM corpus) AS documents,
    count(*) AS rows,
    count(*) FILTER (WHERE NOT present) AS taken_down,
    coalesce(sum(token_count) FILTER (WHERE present), 0)::BIGINT AS tokens,
    count(*) FILTER (WHERE sound IS NOT TRUE) AS unsound,
    (SELECT coalesce(sum(value) FILTER (WHERE name = 'irreversible_documents'), 0)::BIGINT FROM stats)
        AS irreversible_documents
FROM documents
