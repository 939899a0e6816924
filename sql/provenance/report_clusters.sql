-- How many kept documents stand for clusters of how many near-duplicates, themselves included.
-- View: verdicts.
SELECT cluster_size AS size, count(*) AS clusters
FROM verdicts
WHERE verdict = 'kept'
GROUP BY size
ORDER BY size
