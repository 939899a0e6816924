-- For every two recipes, in both orders and each with itself, how many documents both keep.
-- Views: files (filename, recipe: whose verdicts a file holds), recipes (recipe, bit: another power of two for each).
-- Parameter: $paths, the files.
WITH kept AS (
    -- The recipes that keep a document, in one number: an aggregate of fixed size, which can be spilled to disk.
    SELECT doc, bit_or(bit) AS keepers
    FROM read_parquet($paths, filename => true)
    JOIN files USING (filename)
    JOIN recipes USING (recipe)
    WHERE verdict = 'kept'
    GROUP BY doc
),
alike AS (
    SELECT keepers, count(*) AS documents
    FROM kept
    GROUP BY keepers
),
pairs AS (
    SELECT
        one.recipe,
        other.recipe AS other,
        one.bit,
        other.bit AS other_bit,
        coalesce(sum(documents) FILTER (WHERE keepers & one.bit <> 0), 0)::BIGINT AS kept,
        coalesce(sum(documents) FILTER (WHERE keepers & other.bit <> 0), 0)::BIGINT AS other_kept,
        coalesce(sum(documents) FILTER (WHERE keepers & one.bit <> 0 AND keepers & other.bit <> 0), 0)::BIGINT AS shared
    FROM recipes AS one
    CROSS JOIN recipes AS other
    LEFT JOIN alike ON true
    GROUP BY ALL
)
SELECT recipe, other, kept, other_kept, shared, shared / nullif(kept + other_kept - shared, 0) AS jaccard
FROM pairs
ORDER BY bit, other_bit
