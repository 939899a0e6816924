-- Every document of the corpus has tokens: as many as it says, all of the vocabulary, the last one the end of the
-- document, and those that were decoded again while they were made gave their text. A tokenizer that was trained here
-- has the end of a document nowhere else, and loses no text; of a given one neither is demanded.
-- Conserves: rows, tokens.
-- Views: corpus, this (tokens), stats and tokenizer_stats (name, value).
WITH tokenizer AS (
    SELECT
        max(value) FILTER (WHERE name = 'vocabulary') AS vocabulary,
        max(value) FILTER (WHERE name = 'end_of_document') AS end_of_document,
        max(value) FILTER (WHERE name = 'given') = 1 AS given
    FROM tokenizer_stats
),
documents AS (
    SELECT
        doc,
        token_count,
        token_count >= 1
            AND token_count = len(ids)
            AND list_max(ids) < vocabulary
            AND ids[-1] = end_of_document
            AND (given OR list_position(ids, end_of_document) = token_count) AS sound
    FROM this, tokenizer
)
SELECT
    count(*) = (SELECT count(*) FROM corpus)
        AND count(DISTINCT doc) = count(*)
        AND count(*) FILTER (WHERE sound IS NOT TRUE) = 0
        AND ((SELECT given FROM tokenizer)
            OR (SELECT coalesce(sum(value) FILTER (WHERE name = 'irreversible_documents'), 0) FROM stats) = 0)
        AS passed,
    (SELECT count(*) FROM corpus) AS documents,
    count(*) AS rows,
    coalesce(sum(token_count), 0)::BIGINT AS tokens,
    count(*) FILTER (WHERE sound IS NOT TRUE) AS unsound,
    (SELECT coalesce(sum(value) FILTER (WHERE name = 'irreversible_documents'), 0)::BIGINT FROM stats)
        AS irreversible_documents
FROM documents
