-- Of each recipe, what every station drops and leaves adds up to what came to it, the first one saw all response
-- records, and the last one leaves the corpus. All recipes judged the same number of records.
-- Conserves: rows.
-- Views: this (recipe_comparison), stats (documents.<recipe>, corpus.<recipe>: as verdicts and corpus have counted).
WITH flow AS (
    SELECT *, lag("left") OVER (PARTITION BY recipe ORDER BY position) AS before
    FROM this
),
found AS (
    SELECT
        recipe,
        arg_min(documents, position) AS documents,
        sum(dropped) AS dropped,
        arg_max("left", position) AS kept,
        count(*) FILTER (WHERE documents <> dropped + "left" OR documents <> coalesce(before, documents)) AS broken
    FROM flow
    GROUP BY recipe
),
expected AS (
    SELECT
        split_part(name, '.', 2) AS recipe,
        max(value) FILTER (WHERE name LIKE 'documents.%') AS documents,
        max(value) FILTER (WHERE name LIKE 'corpus.%') AS kept
    FROM stats
    WHERE name LIKE '%.%'
    GROUP BY ALL
)
SELECT
    count(*) FILTER (
        WHERE found.recipe IS NULL OR expected.recipe IS NULL
            OR found.documents IS DISTINCT FROM expected.documents
            OR found.kept IS DISTINCT FROM expected.kept
            OR found.dropped + found.kept <> found.documents
            OR found.broken > 0
    ) = 0
        AND count(DISTINCT found.documents) = 1 AS passed,
    count(DISTINCT found.recipe) AS recipes,
    min(found.documents) AS fewest_documents,
    max(found.documents) AS most_documents
FROM found
FULL JOIN expected USING (recipe)
