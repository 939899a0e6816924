-- What the shard files hold, by their own indexes, is what was packed.
-- Views: packed_sequences, this (the copied segments), stats.
SELECT
    packed.tokens = written.tokens AND packed.sequences = written.sequences AND packed.segments = copied.segments AS passed,
    packed.tokens AS packed_tokens,
    written.tokens AS written_tokens,
    packed.sequences AS packed_sequences,
    written.sequences AS written_sequences
FROM
    (SELECT coalesce(sum(token_count), 0)::BIGINT AS tokens, count(DISTINCT (shard, sequence)) AS sequences, count(*) AS segments
     FROM packed_sequences) AS packed,
    (SELECT count(*) AS segments FROM this) AS copied,
    (SELECT coalesce(sum(value) FILTER (WHERE name = 'tokens'), 0)::BIGINT AS tokens,
            coalesce(sum(value) FILTER (WHERE name = 'sequences'), 0)::BIGINT AS sequences FROM stats) AS written
