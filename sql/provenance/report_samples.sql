-- A few documents of each verdict: those of the smallest hashes, first of parts and then of documents, so that the same
-- ones are shown whatever the order of rows, and few parts are read for their texts.
-- What was taken down is not shown.
-- View: verdicts. Parameter: $samples.
WITH picked AS (
    SELECT unnest(arg_min(doc, {'part': md5_number_lower((doc >> 32)::VARCHAR), 'doc': md5_number_lower(doc::VARCHAR)}, $samples)) AS doc
    FROM verdicts
    WHERE verdict <> 'takedown'
    GROUP BY verdict
)
SELECT doc, url, verdict, station, value, "limit", detail, cluster_size
FROM verdicts
JOIN picked USING (doc)
ORDER BY position, verdict, md5_number_lower((doc >> 32)::VARCHAR), md5_number_lower(doc::VARCHAR), doc
