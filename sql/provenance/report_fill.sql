-- How many packed sequences hold how many tokens, and of how many documents, in every $stride-th shard.
-- View: segments. Parameter: $stride.
WITH sequences AS (
    SELECT sum(token_count)::BIGINT AS tokens, count(*) AS segments
    FROM segments
    WHERE shard % $stride = 0
    GROUP BY shard, sequence
)
SELECT tokens, count(*) AS sequences, sum(segments)::BIGINT AS segments
FROM sequences
GROUP BY tokens
ORDER BY tokens
