-- A URL to try `explain` on: the first duplicate, else the first dropped, else the first document.
-- View: verdicts.
SELECT url
FROM verdicts
WHERE url IS NOT NULL
ORDER BY duplicate_of IS NULL, verdict = 'kept', doc
LIMIT 1
