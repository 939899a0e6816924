-- The profile tells of every document: lost + taken down + dropped + kept = records, every gate was reached by what those
-- before it left, and the classes of languages and of each distribution are all documents that have one.
-- Conserves: rows.
-- Views: verdicts, this (profile, in its order).
WITH placed AS (
    SELECT *, row_number() OVER () AS place
    FROM this
),
totals AS (
    SELECT
        any_value(records) AS records,
        coalesce(sum(documents) FILTER (WHERE measure IN ('lost', 'taken_down', 'dropped') OR (measure = 'kept' AND class = 'of records')), 0)
            AS told,
        coalesce(sum(documents) FILTER (WHERE measure = 'records'), 0) AS counted,
        any_value(records) - coalesce(sum(documents) FILTER (WHERE measure = 'lost'), 0) AS texts,
        any_value(taken_down) AS taken_down,
        coalesce(sum(documents) FILTER (WHERE measure = 'taken_down'), 0) = any_value(taken_down) AS taken_down_told
    FROM (SELECT count(*) AS records, count(*) FILTER (WHERE station = 'takedowns') AS taken_down FROM verdicts)
    LEFT JOIN this ON true
),
wanted AS (
    -- What a class is a share of.
    SELECT
        measure,
        documents,
        "of",
        CASE
            WHEN measure = 'lost' THEN records
            WHEN measure = 'taken_down' THEN texts
            WHEN measure = 'kept' AND class = 'of records' THEN records - taken_down
            WHEN measure = 'kept' THEN texts - taken_down
            WHEN measure = 'dropped' THEN texts - taken_down - coalesce(
                sum(documents) OVER (PARTITION BY measure ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
            )
            WHEN measure <> 'records' THEN sum(documents) OVER (PARTITION BY measure)
        END AS expected
    FROM placed, totals
)
SELECT
    any_value(told) = any_value(records)
        AND any_value(counted) = any_value(records)
        AND any_value(taken_down_told)
        AND count(*) FILTER (WHERE measure <> 'records' AND ("of" <> expected OR documents NOT BETWEEN 0 AND "of")) = 0 AS passed,
    any_value(records)::BIGINT AS records,
    any_value(told)::BIGINT AS told,
    count(*) FILTER (WHERE measure <> 'records' AND "of" <> expected) AS classes_that_do_not_add_up
FROM totals
LEFT JOIN wanted ON true
