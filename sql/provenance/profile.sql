-- A snapshot under a recipe in a few hundred rows: what was lost and dropped where, languages, and how lengths and
-- scores are distributed. `documents` of `of` are in a class. What was taken down is told apart: it is no loss, so what
-- is kept and dropped is so of the others.
-- Views: verdicts, languages, signals, tokens; scores (doc, value): of the classifier, if there is one;
--        decisions (position, name): gates and methods in the recipe's order.
-- Parameters: $warc_files, how many there were; $signals, which are told.
WITH totals AS (
    SELECT
        count(*) AS records,
        count(*) FILTER (WHERE station IS DISTINCT FROM 'acquisition') AS texts,
        count(*) FILTER (WHERE station = 'takedowns') AS taken_down,
        count(*) FILTER (WHERE verdict = 'kept') AS kept
    FROM verdicts
),
lost AS (
    SELECT verdict, count(*) AS documents
    FROM verdicts
    WHERE station = 'acquisition'
    GROUP BY verdict
),
dropped AS (
    SELECT position, count(*) AS documents
    FROM verdicts
    WHERE verdict <> 'kept' AND position >= 0
    GROUP BY position
),
flow AS (
    SELECT
        decisions.position,
        decisions.name,
        coalesce(dropped.documents, 0) AS documents,
        texts - taken_down - coalesce(
            sum(dropped.documents) OVER (ORDER BY decisions.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS reached
    FROM decisions
    LEFT JOIN dropped USING (position)
    CROSS JOIN totals
),
labels AS (
    SELECT coalesce(languages.language, 'none') AS language, verdicts.verdict = 'kept' AS kept
    FROM verdicts
    JOIN languages USING (doc)
    WHERE verdicts.station IS DISTINCT FROM 'acquisition'
),
measured AS (
    SELECT 'language_score' AS measure, language_score::DOUBLE AS value FROM languages WHERE language IS NOT NULL
    UNION ALL
    SELECT 'tokens', token_count::DOUBLE FROM tokens WHERE ids_hash IS NOT NULL
    UNION ALL
    SELECT 'quality_score', value FROM scores
    UNION ALL
    FROM (UNPIVOT (SELECT COLUMNS(lambda name: list_contains($signals, name))::DOUBLE FROM signals)
        ON COLUMNS(*) INTO NAME measure VALUE value)
),
binned AS (
    -- Twentieths up to 1, then quarters of an octave; nothing and less than nothing apart.
    SELECT
        measure,
        CASE
            WHEN value < 0 THEN '<0'
            WHEN value = 0 THEN '0'
            WHEN value < 1 THEN format('{:.4g}-{:.4g}', floor(value * 20) / 20, (floor(value * 20) + 1) / 20)
            ELSE format('{:.4g}-{:.4g}', 2 ** (floor(4 * log2(value)) / 4), 2 ** ((floor(4 * log2(value)) + 1) / 4))
        END AS class,
        min(value) AS lowest,
        count(*) AS documents
    FROM measured
    WHERE value IS NOT NULL
    GROUP BY ALL
),
rows AS (
    SELECT 0 AS part, 0 AS place, 'records' AS measure, 'per WARC file' AS class, records AS documents, $warc_files AS "of" FROM totals
    UNION ALL
    SELECT 1, 0, 'kept', 'of records', kept, records - taken_down FROM totals
    UNION ALL
    SELECT 1, 1, 'kept', 'of texts', kept, texts - taken_down FROM totals
    UNION ALL
    SELECT 2, row_number() OVER (ORDER BY verdict), 'lost', verdict, documents, records FROM lost, totals
    UNION ALL
    SELECT 2, 1 << 30, 'taken_down', 'takedown', taken_down, texts FROM totals WHERE taken_down > 0
    UNION ALL
    SELECT 3, position, 'dropped', name, documents, reached FROM flow
    UNION ALL
    SELECT 4, row_number() OVER (ORDER BY count(*) DESC, language), 'languages', language, count(*), any_value(texts)
    FROM labels, totals GROUP BY language
    UNION ALL
    SELECT 5, row_number() OVER (ORDER BY count(*) DESC, language), 'languages_kept', language, count(*), any_value(totals.kept)
    FROM labels, totals WHERE labels.kept GROUP BY language
    UNION ALL
    SELECT
        6,
        row_number() OVER (ORDER BY measure, lowest),
        measure,
        class,
        documents,
        sum(documents) OVER (PARTITION BY measure)
    FROM binned
)
SELECT measure, class, documents::BIGINT AS documents, "of"::BIGINT AS "of", documents / nullif("of", 0) AS share
FROM rows
ORDER BY part, place
