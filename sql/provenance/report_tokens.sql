-- How many kept documents have how many tokens, the end-of-document token included.
-- View: tokens.
SELECT token_count AS tokens, count(*) AS documents
FROM tokens
WHERE ids_hash IS NOT NULL
GROUP BY token_count
ORDER BY token_count
