-- The report's figures are those of the tables: every record once, the corpus, the tokens of the shards. Where all parts
-- were looked at, their rows are as many as the manifests say. All of its files hold something.
-- Conserves: rows, tokens.
-- Views: stats, verdicts_stats, corpus_stats, training_shards_stats (name, value), files (name, bytes).
WITH said AS (
    SELECT
        max(value) FILTER (WHERE name = 'records') AS records,
        max(value) FILTER (WHERE name = 'dropped') AS dropped,
        max(value) FILTER (WHERE name = 'kept') AS kept,
        max(value) FILTER (WHERE name = 'tokens') AS tokens,
        max(value) FILTER (WHERE name = 'parts') = max(value) FILTER (WHERE name = 'measured_parts') AS complete,
        max(value) FILTER (WHERE name = 'measured_kept') AS measured_kept
    FROM stats
),
counted AS (
    SELECT
        (SELECT coalesce(sum(value), 0) FROM verdicts_stats WHERE name = 'rows_in') AS records,
        (SELECT coalesce(sum(value), 0) FROM corpus_stats WHERE name = 'rows_out') AS kept,
        (SELECT coalesce(sum(value), 0) FROM training_shards_stats WHERE name = 'tokens') AS tokens
)
SELECT
    said.records = counted.records
        AND said.records = said.kept + said.dropped
        AND said.kept = counted.kept
        AND said.tokens = counted.tokens
        AND (NOT complete OR measured_kept = said.kept)
        AND (SELECT count(*) = 4 AND min(bytes) > 0 FROM files) AS passed,
    said.records::BIGINT AS records,
    said.kept::BIGINT AS kept,
    said.tokens::BIGINT AS tokens
FROM said, counted
