-- One row per response record of a part, whatever became of it.
-- Views: documents, filter_verdicts (one part each), duplicate_clusters (the part's members of clusters).
-- Parameter: $minhash_position, the place of deduplication after the last gate.
SELECT
    documents.doc,
    documents.record_id,
    documents.url,
    coalesce(filter_verdicts.verdict, CASE WHEN NOT duplicate_clusters.survivor THEN 'minhash_duplicate' END, 'kept')
        AS verdict,
    CASE
        WHEN filter_verdicts.verdict IS NOT NULL THEN filter_verdicts.station
        WHEN NOT duplicate_clusters.survivor THEN 'minhash'
    END AS station,
    CASE
        WHEN filter_verdicts.verdict IS NOT NULL THEN filter_verdicts.position
        WHEN NOT duplicate_clusters.survivor THEN $minhash_position
    END::INTEGER AS position,
    CASE
        WHEN filter_verdicts.verdict IS NOT NULL THEN filter_verdicts.value
        WHEN NOT duplicate_clusters.survivor THEN duplicate_clusters.cluster_size
    END::DOUBLE AS value,
    CASE
        WHEN filter_verdicts.verdict IS NOT NULL THEN filter_verdicts."limit"
        WHEN NOT duplicate_clusters.survivor THEN 1
    END::DOUBLE AS "limit",
    filter_verdicts.detail,
    filter_verdicts.failed_gates,
    -- The cluster is named by its survivor.
    CASE WHEN NOT duplicate_clusters.survivor THEN duplicate_clusters.cluster END AS duplicate_of,
    coalesce(duplicate_clusters.cluster_size, 1)::INTEGER AS cluster_size
FROM documents
JOIN filter_verdicts USING (doc)
LEFT JOIN duplicate_clusters USING (doc)
ORDER BY documents.doc
