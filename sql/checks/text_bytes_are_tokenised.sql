-- Bytes to tokens: all text of the corpus was read, and in the byte-level vocabulary of a tokenizer that was trained
-- here the tokens spell exactly as many bytes. A given tokenizer may normalise: of it that is not demanded. Tombstones have no text.
-- Conserves: bytes, tokens.
-- Views: corpus_stats, tokenizer_stats, stats, this (tokens).
WITH counted AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE name = 'text_bytes'), 0)::BIGINT AS text_bytes,
        coalesce(sum(value) FILTER (WHERE name = 'spelled_bytes'), 0)::BIGINT AS spelled_bytes,
        coalesce(sum(value) FILTER (WHERE name = 'tokens'), 0)::BIGINT AS tokens,
        (SELECT coalesce(sum(value), 0) FROM corpus_stats WHERE name = 'text_bytes')::BIGINT AS corpus_bytes,
        (SELECT max(value) = 1 FROM tokenizer_stats WHERE name = 'given') AS given
    FROM stats
)
SELECT
    text_bytes = corpus_bytes
        AND (given OR spelled_bytes = text_bytes)
        AND tokens = (SELECT coalesce(sum(token_count), 0) FROM this WHERE ids IS NOT NULL) AS passed,
    corpus_bytes,
    text_bytes,
    spelled_bytes,
    tokens
FROM counted
