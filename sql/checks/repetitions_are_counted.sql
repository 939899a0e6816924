-- A weight drops nothing: every document may be used at least once, and the repetitions add up to those counted.
-- Conserves: rows.
-- Views: this (rehydration_weights), stats.
SELECT
    coalesce(min(repetitions), 1) >= 1
        AND coalesce(sum(repetitions), 0) = (SELECT coalesce(sum(value), 0) FROM stats WHERE name = 'repeated_documents')
        AS passed,
    count(*) AS documents,
    coalesce(sum(repetitions), 0)::BIGINT AS repetitions
FROM this
