-- What became of the records of a host and of those below it, counted by verdict, by gate failed, and by host.
-- Views: verdicts, documents. Parameters: $host; $samples, URLs shown of each.
WITH pages AS MATERIALIZED (
    SELECT documents.host, verdicts.url, verdicts.verdict, verdicts.station, verdicts.position, verdicts.failed_gates
    FROM documents
    JOIN verdicts USING (doc)
    WHERE documents.host = $host OR ends_with(documents.host, '.' || $host)
),
verdict_counts AS (
    SELECT 'verdict' AS kind, verdict AS name, station, coalesce(position, 1000000) AS position, url FROM pages
),
gate_counts AS (
    SELECT 'gate' AS kind, unnest(failed_gates) AS name, NULL AS station, 0 AS position, url FROM pages
),
host_counts AS (
    SELECT 'host' AS kind, host AS name, NULL AS station, 0 AS position, url FROM pages
)
SELECT kind, name, station, min(position) AS position, count(*) AS documents, min(url, $samples) AS samples
FROM (FROM verdict_counts UNION ALL FROM gate_counts UNION ALL FROM host_counts)
GROUP BY kind, name, station
ORDER BY kind, position, documents DESC, name
