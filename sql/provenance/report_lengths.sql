-- How many texts have how many words, as extracted, and how many of them are kept.
-- Views: verdicts, signals.
SELECT words, count(*) AS texts, count(*) FILTER (WHERE verdict = 'kept') AS kept
FROM verdicts
JOIN signals USING (doc)
WHERE station IS DISTINCT FROM 'acquisition' AND words IS NOT NULL
GROUP BY words
ORDER BY words
