-- Every listed WARC file has one part and was read to its end, and no two records share a byte. A file that is no WARC
-- is one region of no length, and is not read. Sizes of files on a server are not listed; there the bytes of a
-- transfer are counted against what the server announced, by the reader. A listed file that the source has not is an
-- empty part, and counted; of a local one no size is listed.
-- Conserves: rows, bytes.
-- Views: warc_files, this (documents), files (name), stats: the bytes that streams gave, and those of records.
WITH refused AS (
    SELECT DISTINCT warc_file FROM this WHERE verdict = 'warc_damaged' AND warc_offset = 0 AND warc_length = 0
),
listed AS (
    SELECT
        count(*) AS warc_files,
        count(*) FILTER (WHERE bytes IS NULL) AS of_unknown_size,
        coalesce(sum(bytes) FILTER (WHERE warc_file NOT IN (FROM refused)), 0)::BIGINT AS bytes
    FROM warc_files
),
counted AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE name = 'warc_bytes'), 0)::BIGINT AS read,
        coalesce(sum(value) FILTER (WHERE name = 'lost_files.warc_missing'), 0)::BIGINT AS missing,
        coalesce(sum(value) FILTER (WHERE name = 'lost_bytes.warc_missing'), 0)::BIGINT AS missing_bytes,
        coalesce(sum(value) FILTER (WHERE name = 'record_bytes'), 0)::BIGINT AS of_records
    FROM stats
),
placed AS (
    SELECT
        warc_length,
        warc_file,
        -- Rows lie in the order of their files, and so they are looked at: nothing is sorted.
        warc_file = lag(warc_file) OVER () AND warc_offset < lag(warc_offset + warc_length) OVER () AS overlapping
    FROM this
),
records AS (
    SELECT
        coalesce(sum(warc_length), 0)::BIGINT AS bytes,
        count(*) FILTER (WHERE overlapping OR warc_length < 0) AS overlapping,
        count(*) FILTER (WHERE warc_file NOT IN (SELECT warc_file FROM warc_files)) AS unlisted
    FROM placed
)
SELECT
    (SELECT count(*) FROM files) = listed.warc_files
        AND (listed.of_unknown_size > counted.missing OR counted.read + counted.missing_bytes = listed.bytes)
        AND records.bytes = counted.of_records
        AND records.bytes <= counted.read
        AND records.overlapping = 0
        AND records.unlisted = 0 AS passed,
    listed.bytes AS listed_bytes,
    counted.read AS read_bytes,
    records.bytes AS record_bytes,
    counted.read - records.bytes AS other_bytes,
    records.overlapping,
    records.unlisted
FROM listed, counted, records
