-- One row per response record of a part, whatever became of it: of the gate that a document fails first and the
-- deduplications that dropped it, the earliest in recipe order decides.
-- A takedown comes before all of them; only a record without text, which nothing can be taken from, keeps its reason.
-- Views: documents, takedowns, filter_verdicts (one part each);
--        gate_values: what every gate measured, as filter_verdicts.sql has it;
--        removals: what the other methods say of the documents that they looked at.
WITH decisions AS (
    SELECT doc, verdict, station, position, value, "limit", detail, NULL::BIGINT AS duplicate_of
    FROM filter_verdicts
    WHERE verdict IS NOT NULL
    UNION ALL
    SELECT doc, verdict, station, position, value, "limit", cluster_snapshot, duplicate_of
    FROM removals
    WHERE NOT survivor
    UNION ALL
    SELECT takedowns.doc, 'takedown', 'takedowns', -1, NULL, NULL, takedowns.detail, NULL
    FROM takedowns
    JOIN filter_verdicts USING (doc)
    WHERE filter_verdicts.station IS DISTINCT FROM 'acquisition'
),
decided AS (
    SELECT doc, arg_min(decisions, position) AS first
    FROM decisions
    GROUP BY doc
),
clusters AS (
    -- Of the latest comparison that a document took part in.
    SELECT doc, arg_max(cluster_size, position) AS cluster_size
    FROM removals
    WHERE cluster_size IS NOT NULL
    GROUP BY doc
)
SELECT
    documents.doc,
    documents.record_id,
    documents.url,
    coalesce(decided.first.verdict, 'kept') AS verdict,
    decided.first.station AS station,
    decided.first.position AS position,
    decided.first.value AS value,
    decided.first."limit" AS "limit",
    decided.first.detail AS detail,
    filter_verdicts.failed_gates,
    gate_values.gate_values,
    -- The cluster is named by its survivor.
    decided.first.duplicate_of AS duplicate_of,
    coalesce(clusters.cluster_size, 1)::INTEGER AS cluster_size
FROM documents
JOIN filter_verdicts USING (doc)
JOIN gate_values USING (doc)
LEFT JOIN decided USING (doc)
LEFT JOIN clusters USING (doc)
ORDER BY documents.doc
