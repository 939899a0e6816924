-- What was found to be personal data is masked: its replacement stands in the text.
-- Views: pii_spans, this (corpus).
SELECT
    count(*) FILTER (
        WHERE this.doc IS NULL
            OR NOT list_bool_and(list_transform(masks, lambda one: contains(this.text, one.replacement)))
    ) = 0 AS passed,
    count(*) AS documents_with_masks,
    coalesce(sum(len(masks)), 0)::BIGINT AS masks
FROM (FROM pii_spans WHERE len(masks) > 0) AS found
LEFT JOIN this USING (doc)
