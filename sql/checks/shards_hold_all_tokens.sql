-- The shard files hold what was packed and not taken down: their sizes on disk are those of its tokens and sequences,
-- and the segments beside them are the plan's, without those of documents that are gone and without holes. The ids that
-- were read from the files when they were written add up to those of the documents.
-- Conserves: rows, bytes, tokens.
-- Views: packed_sequences, tokens, this (the segments), files (name, bytes: as they lie on disk), stats, tokens_stats.
WITH remaining AS (
    SELECT
        shard,
        (dense_rank() OVER (PARTITION BY shard ORDER BY sequence) - 1)::INTEGER AS sequence,
        (sum(token_count) OVER (PARTITION BY shard, sequence ORDER BY position) - token_count)::INTEGER AS position,
        doc,
        token_start,
        token_count
    FROM packed_sequences
    WHERE doc NOT IN (SELECT doc FROM tokens WHERE ids_hash IS NULL)
),
packed AS (
    SELECT
        coalesce(sum(token_count), 0)::BIGINT AS tokens,
        count(DISTINCT (shard, sequence)) AS sequences,
        -- A shard that nothing is left of is an empty one.
        (SELECT count(DISTINCT shard) FROM packed_sequences) AS shards
    FROM remaining
),
written AS (
    SELECT
        coalesce(sum(bytes) FILTER (WHERE name LIKE '%.bin'), 0)::BIGINT AS bin_bytes,
        coalesce(sum(bytes) FILTER (WHERE name LIKE '%.idx'), 0)::BIGINT AS idx_bytes,
        count(*) FILTER (WHERE name LIKE '%.bin') AS shards
    FROM files
)
SELECT
    written.shards = packed.shards
        AND written.bin_bytes = packed.tokens * (SELECT coalesce(max(value), 0) FROM stats WHERE name = 'token_bytes')
        -- A header of 34 bytes and one closing document index a shard; 4 + 8 + 8 bytes a sequence.
        AND written.idx_bytes = packed.shards * 42 + packed.sequences * 20
        AND (SELECT coalesce(max(value), 0) FROM stats WHERE name = 'id_sum')
            = (SELECT coalesce(max(value), 0) FROM tokens_stats WHERE name = 'id_sum')
        AND (SELECT count(*) FROM (FROM remaining EXCEPT ALL FROM this)) = 0
        AND (SELECT count(*) FROM (FROM this EXCEPT ALL FROM remaining)) = 0 AS passed,
    packed.tokens AS packed_tokens,
    packed.sequences AS packed_sequences,
    written.bin_bytes,
    written.idx_bytes
FROM packed, written
