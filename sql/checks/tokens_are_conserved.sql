-- Corpus tokens = packed tokens: the segments of each document cover all of its tokens, once and without overlap,
-- and no sequence is longer than it may be.
-- Views: tokens, this (segments). Parameter: $sequence_length.
WITH covered AS (
    SELECT
        doc,
        sum(token_count) AS token_count,
        min(token_start) AS first_token,
        max(token_start + token_count) AS end_token,
        count(DISTINCT token_start) = count(*) AS distinct_starts
    FROM this
    GROUP BY doc
),
sequences AS (
    SELECT shard, sequence, sum(token_count) AS length, max(position + token_count) AS end_position
    FROM this
    GROUP BY shard, sequence
),
compared AS (
    SELECT
        count(*) FILTER (
            WHERE covered.doc IS NULL OR tokens.doc IS NULL OR covered.token_count <> tokens.token_count
                OR covered.first_token <> 0 OR covered.end_token <> tokens.token_count OR NOT covered.distinct_starts
        ) AS wrong,
        coalesce(sum(tokens.token_count), 0)::BIGINT AS corpus_tokens,
        coalesce(sum(covered.token_count), 0)::BIGINT AS packed_tokens
    FROM (SELECT doc, token_count FROM tokens) AS tokens
    FULL JOIN covered ON covered.doc = tokens.doc
)
SELECT
    wrong = 0 AND corpus_tokens = packed_tokens
        AND (SELECT count(*) FROM sequences WHERE length > $sequence_length OR length <> end_position) = 0 AS passed,
    corpus_tokens,
    packed_tokens,
    wrong AS documents_covered_wrongly,
    (SELECT count(*) FROM sequences) AS sequences
FROM compared
