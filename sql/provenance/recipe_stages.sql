-- What each station of each recipe dropped and left, in the recipes' order.
-- Views: files (filename, recipe: whose verdicts a file holds), stages (recipe, position, station).
-- Parameters: $paths, the files; $recipes, their names in the order wanted.
WITH counted AS (
    -- What is kept has no station.
    SELECT recipe, station, count(*) AS documents
    FROM read_parquet($paths, filename => true)
    JOIN files USING (filename)
    GROUP BY recipe, station
),
totals AS (
    SELECT
        recipe,
        sum(documents)::BIGINT AS records,
        sum(documents) FILTER (WHERE station IS DISTINCT FROM 'acquisition')::BIGINT AS texts
    FROM counted
    GROUP BY recipe
),
flow AS (
    SELECT
        stages.recipe,
        stages.position,
        stages.station,
        coalesce(counted.documents, 0) AS dropped,
        sum(dropped) OVER (PARTITION BY stages.recipe ORDER BY stages.position)::BIGINT AS dropped_so_far
    FROM stages
    LEFT JOIN counted ON counted.recipe = stages.recipe AND counted.station = stages.station
)
SELECT
    flow.recipe,
    position,
    station,
    records - dropped_so_far + dropped AS documents,
    dropped,
    records - dropped_so_far AS "left",
    (records - dropped_so_far) / records AS share_of_records,
    (records - dropped_so_far) / nullif(texts, 0) AS share_of_texts
FROM flow
JOIN totals ON totals.recipe = flow.recipe
ORDER BY list_position($recipes, flow.recipe), position
