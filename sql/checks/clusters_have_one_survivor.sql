-- Every compared document has one row; every cluster has one survivor, is named by it, and has the size it claims.
-- A cluster whose survivor is in an earlier snapshot has none here, and members there that count too.
-- Conserves: rows.
-- Views: keys (what was compared), this. Parameter: $across, whether earlier snapshots were compared.
WITH clusters AS (
    SELECT
        cluster,
        cluster_snapshot,
        count(*) AS members,
        count(*) FILTER (WHERE survivor) AS survivors,
        max(doc) FILTER (WHERE survivor) AS survivor,
        min(cluster_size) AS smallest,
        max(cluster_size) AS largest
    FROM this
    GROUP BY cluster, cluster_snapshot
),
compared AS (
    SELECT count(*) FILTER (WHERE expected.doc IS NULL OR made.doc IS NULL) AS wrong
    FROM (SELECT doc FROM keys) AS expected
    FULL JOIN (SELECT doc FROM this) AS made ON made.doc = expected.doc
)
SELECT
    coalesce(
        bool_and(
            CASE WHEN cluster_snapshot IS NULL THEN survivors = 1 AND survivor = cluster ELSE $across AND survivors = 0 END
                AND smallest = largest
                AND (members = largest OR ($across AND members < largest))
        ),
        true
    )
        AND (SELECT count(*) = count(DISTINCT doc) FROM this)
        AND (SELECT wrong = 0 FROM compared) AS passed,
    count(*) FILTER (WHERE members > 1) AS clusters,
    coalesce(sum(members) FILTER (WHERE members > 1), 0)::BIGINT AS members,
    (SELECT wrong FROM compared) AS missing_or_unknown
FROM clusters
