-- The Parquet files, as any tool reads them, hold the training shards: as many tokens, the ids' sum, and each sequence
-- cut into the pieces that segments.parquet says, with the same numbers of shard and sequence.
-- Conserves: rows, bytes, tokens.
-- Views: training_shards (its segments), training_shards_stats, this.
WITH held AS (
    SELECT
        count(*) AS sequences,
        coalesce(sum(len(input_ids)), 0)::BIGINT AS tokens,
        coalesce(sum(list_sum(input_ids)), 0)::BIGINT AS id_sum,
        count(*) FILTER (WHERE len(input_ids) IS DISTINCT FROM list_sum(seq_lengths)) AS torn
    FROM this
),
unnested AS (
    SELECT
        shard,
        sequence,
        unnest(range(len(seq_lengths))) AS piece,
        unnest(seq_lengths) AS token_count,
        unnest(docs) AS doc,
        unnest(token_starts) AS token_start
    FROM this
),
pieces AS (
    SELECT
        shard,
        sequence,
        (sum(token_count) OVER (PARTITION BY shard, sequence ORDER BY piece) - token_count)::INTEGER AS position,
        doc,
        token_start,
        token_count
    FROM unnested
),
planned AS (
    SELECT shard, sequence, position, doc, token_start, token_count FROM training_shards
)
SELECT
    held.torn = 0
        AND held.sequences = (SELECT coalesce(max(value), 0) FROM training_shards_stats WHERE name = 'sequences')
        AND held.tokens = (SELECT coalesce(max(value), 0) FROM training_shards_stats WHERE name = 'tokens')
        AND held.id_sum = (SELECT coalesce(max(value), 0) FROM training_shards_stats WHERE name = 'id_sum')
        AND (SELECT count(*) FROM (FROM pieces EXCEPT ALL FROM planned)) = 0
        AND (SELECT count(*) FROM (FROM planned EXCEPT ALL FROM pieces)) = 0 AS passed,
    held.sequences,
    held.tokens,
    held.id_sum,
    held.torn AS sequences_of_another_length
FROM held
