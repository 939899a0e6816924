-- Every cluster has at least two members, one survivor that names it, and the size it claims.
-- Views: signatures, this (duplicate_clusters).
WITH clusters AS (
    SELECT
        cluster,
        count(*) AS members,
        count(*) FILTER (WHERE survivor) AS survivors,
        max(doc) FILTER (WHERE survivor) AS survivor,
        min(cluster_size) AS smallest,
        max(cluster_size) AS largest
    FROM this
    GROUP BY cluster
)
SELECT
    coalesce(bool_and(members >= 2 AND survivors = 1 AND survivor = cluster AND smallest = members AND largest = members), true)
        AND (SELECT count(*) = count(DISTINCT doc) FROM this)
        AND (SELECT count(*) FROM this ANTI JOIN signatures USING (doc)) = 0 AS passed,
    count(*) AS clusters,
    coalesce(sum(members), 0)::BIGINT AS members,
    (SELECT count(*) FROM this ANTI JOIN signatures USING (doc)) AS unknown
FROM clusters
