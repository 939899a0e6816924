-- Texts of each language, and those of them that are kept, with their tokens.
-- Views: verdicts, languages, tokens.
SELECT
    coalesce(languages.language, '') AS language,
    count(*) AS texts,
    count(*) FILTER (WHERE verdict = 'kept') AS kept,
    coalesce(sum(token_count), 0)::BIGINT AS tokens
FROM verdicts
JOIN languages USING (doc)
LEFT JOIN (SELECT doc, token_count FROM tokens WHERE ids_hash IS NOT NULL) AS tokens USING (doc)
WHERE station IS DISTINCT FROM 'acquisition'
GROUP BY ALL
ORDER BY kept DESC, texts DESC, language
