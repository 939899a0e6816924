-- Conserves: rows.
-- Views: this (warc_files).
SELECT
    count(*) > 0 AND count(DISTINCT part) = count(*) AND count(DISTINCT warc_file) = count(*) AS passed,
    count(*) AS files,
    count(DISTINCT warc_file) AS distinct_files
FROM this
