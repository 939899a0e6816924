-- The MDS files, read again after they were written, hold the training shards: as many sequences and tokens, the ids'
-- sum, and no sequence that differs in an id, a boundary or a document; and they still are as large as then.
-- Conserves: rows, bytes, tokens.
-- Views: training_shards (its segments), training_shards_stats, stats, files (name, bytes: as they lie on disk).
WITH written AS (
    SELECT
        count(*) FILTER (WHERE name LIKE '%.mds') AS shards,
        coalesce(sum(bytes) FILTER (WHERE name LIKE '%.mds'), 0)::BIGINT AS bytes,
        count(*) FILTER (WHERE name = 'index.json' AND bytes > 0) AS indices
    FROM files
),
compared AS (
    SELECT stats.name, stats.value AS found, shards.value AS expected
    FROM stats
    JOIN training_shards_stats AS shards USING (name)
    WHERE name IN ('sequences', 'tokens', 'id_sum')
)
SELECT
    written.indices = 1
        AND written.shards = (SELECT count(DISTINCT shard) FROM training_shards)
        AND written.bytes = (SELECT coalesce(max(value), 0) FROM stats WHERE name = 'mds_bytes')
        AND (SELECT count(*) = 3 AND bool_and(found = expected) FROM compared)
        AND (SELECT coalesce(max(value), 1) FROM stats WHERE name = 'sequences_changed') = 0 AS passed,
    written.shards,
    written.bytes,
    (SELECT max(value) FROM stats WHERE name = 'sequences_changed') AS sequences_changed
FROM written
