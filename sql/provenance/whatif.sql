-- What became of the documents of one part, and what would become of them under other gates: how many go each way.
-- A gate that did not change decides as it did. A document that no method has looked at stops where one would.
-- Views: verdicts, filter_verdicts (one part each): what was decided;
--        redecided: what the gates that changed say now;
--        looked (doc, position, survivor): what the methods said of the documents that they looked at;
--        steps (position, station, name, changed): the gates and methods now.
-- Parameters: $methods (positions of the methods now, in order), $samples (documents shown of each way).
WITH failures AS (
    SELECT doc, steps.position
    FROM (SELECT doc, unnest(failed_gates) AS name FROM filter_verdicts) AS failed
    JOIN steps USING (name)
    WHERE NOT steps.changed
    UNION ALL
    SELECT doc, position
    FROM redecided
    WHERE position >= 0
),
failed AS (
    SELECT doc, min(position) AS position
    FROM failures
    GROUP BY doc
),
compared AS (
    -- A method looks at what those before it left: the methods that looked at a document are the first ones.
    SELECT doc, count(*) AS methods, min(position) FILTER (WHERE NOT survivor) AS position
    FROM looked
    GROUP BY doc
),
stops AS (
    SELECT
        verdicts.*,
        ($methods::INTEGER[])[coalesce(compared.methods, 0) + 1] AS unseen,
        CASE
            WHEN verdicts.station IN ('acquisition', 'takedowns') THEN -1
            ELSE least(failed.position, compared.position, unseen)
        END AS stop
    FROM verdicts
    LEFT JOIN failed USING (doc)
    LEFT JOIN compared USING (doc)
),
ways AS (
    SELECT
        stops.*,
        CASE stop WHEN -1 THEN stops.station ELSE steps.station END AS now_station,
        CASE stop WHEN -1 THEN stops.verdict ELSE coalesce(steps.name, 'kept') END AS now,
        coalesce(stop = unseen, false) AS unknown,
        redecided.value AS now_value,
        redecided."limit" AS now_limit
    FROM stops
    LEFT JOIN steps ON steps.position = stop
    LEFT JOIN redecided ON redecided.doc = stops.doc AND redecided.position = stop
)
SELECT
    station AS was_station,
    verdict AS was,
    now_station,
    now,
    unknown,
    count(*) AS documents,
    count(*) FILTER (WHERE cluster_size > 1) AS clusters,
    sum(cluster_size - 1)::BIGINT AS duplicates,
    -- The same documents whatever the parts: those of the smallest hashes.
    arg_min(
        {'rank': md5_number_lower(doc::VARCHAR), 'doc': doc, 'value': value, 'limit': "limit", 'now_value': now_value, 'now_limit': now_limit},
        md5_number_lower(doc::VARCHAR),
        $samples
    ) FILTER (WHERE now <> verdict OR unknown) AS samples
FROM ways
GROUP BY ALL
ORDER BY ALL
