-- Every occurrence of a segment (line or paragraph) but the first, in the order of documents and positions; and all of
-- those that snapshots before this one have.
-- Views: keys (doc, date, segments); preceding (segments): keys of other snapshots.
-- Parameter: $scope, 'page': the first in its document; else: the first in the earliest document, then of the smallest
-- doc.
WITH occurrences AS (
    SELECT doc, date, unnest(segments) AS segment FROM keys
),
known AS (
    SELECT DISTINCT segment.key AS key
    FROM (SELECT unnest(segments) AS segment FROM preceding)
)
SELECT doc, segment.before, segment.start, segment.stop, segment."end"
FROM occurrences
LEFT JOIN known ON known.key = segment.key
QUALIFY known.key IS NOT NULL OR row_number() OVER (
    PARTITION BY segment.key, CASE WHEN $scope = 'page' THEN doc END
    ORDER BY date NULLS LAST, doc, segment.start
) > 1
ORDER BY doc, segment.start
