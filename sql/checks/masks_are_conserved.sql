-- The masks that were found are those of the table.
-- Views: this (pii_spans), stats (name, value).
SELECT
    coalesce(sum(len(masks)), 0)
        = (SELECT coalesce(sum(value), 0) FROM stats WHERE name = 'spans') AS passed,
    (SELECT coalesce(sum(value), 0)::BIGINT FROM stats WHERE name = 'spans') AS found,
    coalesce(sum(len(masks)), 0)::BIGINT AS masks
FROM this
