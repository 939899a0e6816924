-- How many kept documents have how many tokens, the end-of-document token included.
-- View: tokens.
SELECT token_count AS tokens, count(*) AS documents
FROM tokens
GROUP BY token_count
ORDER BY token_count
