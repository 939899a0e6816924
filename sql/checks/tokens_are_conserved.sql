-- Corpus tokens, and those of tombstones, = packed tokens: the segments of each document follow one another from its
-- first token to its last, the segments of each sequence from its first place on, and no sequence is longer than it
-- may be.
-- Conserves: rows, tokens.
-- Views: tokens, this (segments). Parameter: $sequence_length.
WITH ordered AS (
    SELECT
        doc,
        token_start,
        token_count,
        lag(token_start + token_count, 1, 0) OVER (PARTITION BY doc ORDER BY token_start) AS follows_token,
        position,
        lag(position + token_count, 1, 0) OVER (PARTITION BY shard, sequence ORDER BY position) AS follows_position
    FROM this
),
covered AS (
    SELECT
        doc,
        sum(token_count)::BIGINT AS token_count,
        bool_and(token_start = follows_token AND position = follows_position AND token_count > 0) AS contiguous,
        max(position + token_count) AS longest
    FROM ordered
    GROUP BY doc
),
compared AS (
    SELECT
        count(*) FILTER (
            WHERE covered.doc IS NULL OR tokens.doc IS NULL OR covered.token_count <> tokens.token_count
                OR NOT covered.contiguous OR covered.longest > $sequence_length
        ) AS wrong,
        coalesce(sum(tokens.token_count) FILTER (WHERE present), 0)::BIGINT AS corpus_tokens,
        coalesce(sum(tokens.token_count) FILTER (WHERE NOT present), 0)::BIGINT AS taken_down_tokens,
        coalesce(sum(covered.token_count), 0)::BIGINT AS packed_tokens
    FROM (SELECT doc, token_count, ids_hash IS NOT NULL AS present FROM tokens) AS tokens
    FULL JOIN covered ON covered.doc = tokens.doc
)
SELECT
    wrong = 0 AND corpus_tokens + taken_down_tokens = packed_tokens AS passed,
    corpus_tokens,
    taken_down_tokens,
    packed_tokens,
    wrong AS documents_covered_wrongly
FROM compared
