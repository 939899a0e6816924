-- How many documents each gate stopped, in recipe order, and how many were left after it.
-- View: verdicts.
WITH dropped AS (
    SELECT station, verdict, min(position) AS position, count(*) AS documents
    FROM verdicts
    WHERE verdict <> 'kept'
    GROUP BY station, verdict
)
SELECT
    station,
    verdict AS gate,
    documents AS dropped,
    (SELECT count(*) FROM verdicts) - (sum(documents) OVER (ORDER BY position, station, verdict))::BIGINT AS "left"
FROM dropped
ORDER BY position, station, verdict
