-- How many documents fail each gate, whichever gate stopped them first.
-- View: verdicts.
SELECT gate, count(*) AS documents
FROM (SELECT unnest(failed_gates) AS gate FROM verdicts)
GROUP BY gate
ORDER BY gate
