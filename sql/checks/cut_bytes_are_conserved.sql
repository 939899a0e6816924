-- Bytes compared = bytes cut + bytes left: the spans of a document are sorted, disjoint and not empty, add up to what
-- was counted, and where `value` is the bytes left of a document, to what was compared.
-- Conserves: bytes.
-- Views: this (doc, survivor, value, spans), stats (bytes_in, bytes_cut). Parameter: $value_is_bytes.
WITH spans AS (
    SELECT doc, unnest(spans) AS span
    FROM this
),
ordered AS (
    SELECT
        (span."end"::BIGINT - span.start) AS bytes,
        span.start < span."end" AND span.start >= lag(span."end", 1, 0) OVER (PARTITION BY doc ORDER BY span.start) AS sound
    FROM spans
),
counted AS (
    SELECT
        coalesce(sum(value) FILTER (WHERE name = 'bytes_in'), 0)::BIGINT AS bytes_in,
        coalesce(sum(value) FILTER (WHERE name = 'bytes_cut'), 0)::BIGINT AS bytes_cut
    FROM stats
)
SELECT
    (SELECT coalesce(bool_and(sound), true) FROM ordered)
        AND (SELECT coalesce(sum(bytes), 0) FROM ordered) = bytes_cut
        AND bytes_cut <= bytes_in
        AND (NOT $value_is_bytes OR (SELECT coalesce(sum(value), 0) FROM this) = bytes_in - bytes_cut) AS passed,
    bytes_in,
    bytes_cut,
    bytes_in - bytes_cut AS bytes_left,
    (SELECT coalesce(sum(bytes), 0)::BIGINT FROM ordered) AS bytes_of_spans
FROM counted
