-- Documents that passed the filters, and only they, have a row.
-- Views: filter_verdicts, this.
SELECT
    (SELECT count(*) FROM filter_verdicts WHERE verdict IS NULL) = count(*)
        AND count(DISTINCT this.doc) = count(*)
        AND count(*) FILTER (WHERE passed_filters.doc IS NULL) = 0 AS passed,
    (SELECT count(*) FROM filter_verdicts WHERE verdict IS NULL) AS survivors,
    count(*) AS rows
FROM this
LEFT JOIN (SELECT doc FROM filter_verdicts WHERE verdict IS NULL) AS passed_filters ON passed_filters.doc = this.doc
