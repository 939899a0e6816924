-- Every document of the corpus has tokens, at least the end-of-document one.
-- Views: corpus, this (tokens).
SELECT
    count(*) = (SELECT count(*) FROM corpus)
        AND count(DISTINCT this.doc) = count(*)
        AND coalesce(min(this.token_count) >= 1, true)
        AND coalesce(bool_and(this.token_count = this.ids), true) AS passed,
    (SELECT count(*) FROM corpus) AS documents,
    count(*) AS rows,
    coalesce(sum(this.token_count), 0)::BIGINT AS tokens
FROM (SELECT doc, token_count, len(ids) AS ids FROM this) AS this
