-- The documents of every key that two or more have, each with the one that survives.
-- View: keys (doc, date, key, and length if the rule needs it).
-- Parameter: $survivor, the rule: earliest, latest or longest; then the smallest doc.
WITH columns AS (
    -- A column that the files lack is null.
    SELECT NULL::BIGINT AS length WHERE false
    UNION ALL BY NAME
    FROM keys
),
candidates AS (
    SELECT
        doc,
        key,
        -- The smallest survives. A document without a date or length comes last.
        CASE $survivor
            WHEN 'earliest' THEN coalesce(epoch_us(date), 9223372036854775807)
            WHEN 'latest' THEN -coalesce(epoch_us(date), -9223372036854775807)
            WHEN 'longest' THEN -coalesce(length, -1)
        END AS rank
    FROM columns
    WHERE key IS NOT NULL
),
groups AS (
    SELECT
        key,
        count(*) AS cluster_size,
        -- Rank and doc in one 127-bit number: an aggregate of fixed size, which can be spilled to disk.
        (min(rank::HUGEINT * 9223372036854775808 + doc) & 9223372036854775807)::BIGINT AS cluster
    FROM candidates
    GROUP BY key
    HAVING count(*) > 1
)
SELECT doc, cluster, cluster_size::INTEGER AS cluster_size, doc = cluster AS survivor
FROM candidates
JOIN groups USING (key)
ORDER BY doc
