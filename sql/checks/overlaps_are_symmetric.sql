-- Every two recipes have one row in each order, which say the same; a recipe shares with itself what its corpus holds.
-- Conserves: rows.
-- Views: this (recipe_overlaps), stats (corpus.<recipe>: as the corpus has counted).
WITH expected AS (
    SELECT split_part(name, '.', 2) AS recipe, value AS kept
    FROM stats
    WHERE name LIKE 'corpus.%'
),
pairs AS (
    SELECT one.recipe, other.recipe AS other, one.kept, other.kept AS other_kept
    FROM expected AS one
    CROSS JOIN expected AS other
)
SELECT
    count(*) FILTER (
        WHERE pairs.recipe IS NULL OR this.recipe IS NULL
            OR this.kept <> pairs.kept
            OR this.other_kept <> pairs.other_kept
            OR this.shared > least(this.kept, this.other_kept)
            OR (this.recipe = this.other AND this.shared <> this.kept)
            OR this.shared IS DISTINCT FROM mirrored.shared
            OR this.jaccard IS DISTINCT FROM mirrored.jaccard
            OR this.jaccard IS DISTINCT FROM this.shared / nullif(this.kept + this.other_kept - this.shared, 0)
    ) = 0
        AND (SELECT count(*) FROM this) = (SELECT count(*) FROM pairs) AS passed,
    (SELECT count(*) FROM this) AS rows,
    (SELECT count(*) FROM pairs) AS pairs
FROM pairs
FULL JOIN this ON this.recipe = pairs.recipe AND this.other = pairs.other
LEFT JOIN this AS mirrored ON mirrored.recipe = this.other AND mirrored.other = this.recipe
