-- Compared = survivors + dropped, in the table as in the counters of the manifest.
-- Conserves: rows.
-- Views: this (a table with `survivor`), stats.
WITH counted AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE name = 'rows_in'), 0)::BIGINT AS compared,
        coalesce(sum(value) FILTER (WHERE name = 'rows_out'), 0)::BIGINT AS survivors,
        coalesce(sum(value) FILTER (WHERE name LIKE 'dropped.%'), 0)::BIGINT AS dropped
    FROM stats
),
held AS (
    SELECT
        count(*) AS compared,
        count(*) FILTER (WHERE survivor) AS survivors,
        count(*) FILTER (WHERE NOT survivor) AS dropped
    FROM this
)
SELECT
    held.compared = counted.compared
        AND held.survivors = counted.survivors
        AND held.dropped = counted.dropped
        AND held.compared = held.survivors + held.dropped AS passed,
    held.*
FROM held, counted
