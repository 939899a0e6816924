-- One row per response record of a part, whatever became of it: of the gate that a document fails first and the
-- deduplications that dropped it, the earliest in recipe order decides.
-- A takedown comes before all of them; only a record without text, which nothing can be taken from, keeps its reason.
-- Views: documents, takedowns, filter_verdicts (one part each);
--        removals: what the other methods say of the documents that they looked at.
WITH compared AS (
    SELECT
        doc,
        arg_min(
            {
                position: position,
                verdict: verdict,
                station: station,
                value: value,
                "limit": "limit",
                detail: cluster_snapshot,
                duplicate_of: duplicate_of
            },
            position
        ) FILTER (WHERE NOT survivor) AS removal,
        -- Of the latest comparison that a document took part in.
        arg_max(cluster_size, position) FILTER (WHERE cluster_size IS NOT NULL) AS cluster_size
    FROM removals
    GROUP BY doc
),
decided AS (
    SELECT
        documents.doc,
        documents.record_id,
        documents.url,
        -- Structs are compared by their first field, the position, and what is NULL is not compared.
        least(
            CASE WHEN takedowns.doc IS NOT NULL AND gates.station IS DISTINCT FROM 'acquisition' THEN {
                position: -1,
                verdict: 'takedown',
                station: 'takedowns',
                value: NULL::DOUBLE,
                "limit": NULL::DOUBLE,
                detail: takedowns.detail,
                duplicate_of: NULL::BIGINT
            } END,
            CASE WHEN gates.verdict IS NOT NULL THEN {
                position: gates.position,
                verdict: gates.verdict,
                station: gates.station,
                value: gates.value,
                "limit": gates."limit",
                detail: gates.detail,
                duplicate_of: NULL::BIGINT
            } END,
            compared.removal
        ) AS first,
        gates.failed_gates,
        coalesce(compared.cluster_size, 1)::INTEGER AS cluster_size
    FROM documents
    JOIN filter_verdicts AS gates USING (doc)
    LEFT JOIN compared USING (doc)
    LEFT JOIN takedowns USING (doc)
)
SELECT
    doc,
    record_id,
    url,
    coalesce(first.verdict, 'kept') AS verdict,
    first.station AS station,
    first.position AS position,
    first.value AS value,
    first."limit" AS "limit",
    first.detail AS detail,
    failed_gates,
    -- The cluster is named by its survivor.
    first.duplicate_of AS duplicate_of,
    cluster_size
FROM decided
ORDER BY doc
