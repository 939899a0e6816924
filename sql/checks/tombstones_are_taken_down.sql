-- A tombstone is of a document that is taken down, once, and has the tokens of one that was packed.
-- Conserves: rows, tokens.
-- Views: takedowns, this (tombstones), stats (name, value).
SELECT
    count(*) FILTER (WHERE takedowns.doc IS NULL OR this.token_count IS NULL OR this.token_count < 1) = 0
        AND count(DISTINCT this.doc) = count(*)
        AND coalesce(sum(this.token_count), 0)
            = (SELECT coalesce(max(value), 0) FROM stats WHERE name = 'tokens') AS passed,
    count(*) AS documents,
    coalesce(sum(this.token_count), 0)::BIGINT AS tokens
FROM this
LEFT JOIN (SELECT doc FROM takedowns) AS takedowns ON takedowns.doc = this.doc
