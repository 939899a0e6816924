-- Every compared document has one row; the spans of each are sorted, disjoint and not empty.
-- Conserves: rows.
-- Views: keys (what was compared), this.
WITH compared AS (
    SELECT count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL) AS wrong
    FROM (SELECT doc FROM keys) AS expected
    FULL JOIN (SELECT doc FROM this) AS made ON made.doc = expected.doc
),
spans AS (
    SELECT doc, unnest(spans) AS span
    FROM this
),
ordered AS (
    SELECT span.start < span."end" AND span.start >= lag(span."end", 1, 0) OVER (PARTITION BY doc ORDER BY span.start) AS sound
    FROM spans
)
SELECT
    (SELECT wrong = 0 FROM compared)
        AND (SELECT count(*) = count(DISTINCT doc) AND count(*) FILTER (WHERE survivor IS NULL OR value IS NULL) = 0 FROM this)
        AND (SELECT coalesce(bool_and(sound), true) FROM ordered) AS passed,
    (SELECT wrong FROM compared) AS missing_or_unknown,
    (SELECT count(*) FROM ordered) AS spans
