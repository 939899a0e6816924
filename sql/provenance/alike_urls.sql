-- The URLs of one host that resemble a URL most.
-- View: verdicts. Parameters: $name, the URL; $prefixes (`https://host/`), of which each begins with one.
SELECT url
FROM verdicts
WHERE list_bool_or(list_transform($prefixes, lambda prefix: starts_with(url, prefix)))
GROUP BY url
ORDER BY jaro_winkler_similarity(left(url, 500), left($name, 500)) DESC, url
LIMIT $count
