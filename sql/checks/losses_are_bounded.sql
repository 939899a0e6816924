-- What was lost stays within the recipe's limits: bytes of damaged, cut and missing WARC files, records that should have
-- given text, whole files.
-- Conserves: nothing; it bounds what the other checks only count.
-- Views: files (one for each WARC file), stats: `lost_bytes.<cause>`, `lost_files.<cause>`, `dropped.<cause>`.
WITH counted AS (
    SELECT
        name,
        value,
        split_part(name, '.', 1) AS kind,
        split_part(name, '.', 2) AS cause
    FROM stats
),
lost AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE kind = 'lost_bytes' AND cause NOT IN (SELECT unnest($record_causes))), 0)::BIGINT
            AS bytes,
        coalesce(sum(value) FILTER (WHERE kind = 'dropped' AND cause IN (SELECT unnest($record_causes))), 0)::BIGINT
            AS records,
        coalesce(sum(value) FILTER (WHERE kind = 'lost_files'), 0)::BIGINT AS files,
        coalesce(sum(value) FILTER (WHERE name IN ('warc_bytes', 'unread_bytes')), 0)::BIGINT AS of_bytes,
        coalesce(sum(value) FILTER (WHERE name = 'responses'), 0)::BIGINT AS of_records
    FROM counted
),
told AS (
    SELECT coalesce(string_agg(cause || ': ' || amount, '; ' ORDER BY cause), 'nothing') AS causes
    FROM (
        SELECT
            cause,
            string_agg(format('{:,} ', value) || replace(replace(kind, 'lost_', ''), 'dropped', 'records'), ', ' ORDER BY kind)
                AS amount
        FROM counted
        WHERE value > 0
            AND (kind IN ('lost_bytes', 'lost_files') OR (kind = 'dropped' AND cause IN (SELECT unnest($record_causes))))
        GROUP BY cause
    )
)
SELECT
    bytes <= $bytes_limit * of_bytes
        AND records <= $records_limit * of_records
        AND files <= $files_limit * (SELECT count(*) FROM files) AS passed,
    told.causes AS lost,
    bytes AS lost_bytes,
    of_bytes,
    $bytes_limit::DOUBLE AS bytes_limit,
    records AS lost_records,
    of_records,
    $records_limit::DOUBLE AS records_limit,
    lost.files AS lost_files,
    (SELECT count(*) FROM files) AS of_files,
    $files_limit::DOUBLE AS files_limit,
    'mend the source, leave files out (setting exclude_warcs), or raise the recipe''s limit (--set loss.files=0.05)'
        AS way_out
FROM lost, told
