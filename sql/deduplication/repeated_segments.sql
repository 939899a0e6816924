-- Every occurrence of a segment (line or paragraph) but the first, in the order of documents and positions.
-- View: keys (doc, date, segments).
-- Parameter: $scope, 'page': the first in its document; 'snapshot': the first in the earliest document, then of
-- the smallest doc.
WITH occurrences AS (
    SELECT doc, date, unnest(segments) AS segment FROM keys
)
SELECT doc, segment.before, segment.start, segment.stop, segment."end"
FROM occurrences
QUALIFY row_number() OVER (
    PARTITION BY segment.key, CASE WHEN $scope = 'page' THEN doc END
    ORDER BY date NULLS LAST, doc, segment.start
) > 1
ORDER BY doc, segment.start
