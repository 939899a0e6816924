-- The documents of one part that takedowns hit, with the ids of all of them in order, and the first one's reason.
-- Views: documents (doc, record_id, url, host, canonical), rules (number, id, kind, value, detail; the value of a URL
-- is canonical), matched (doc, number: what patterns hit).
WITH hosts AS (
    -- A host and all those that it lies below.
    SELECT doc, unnest([array_to_string(labels[level:], '.') FOR level IN range(1, len(labels) + 1)]) AS host
    FROM (SELECT doc, string_split(host, '.') AS labels FROM documents WHERE host IS NOT NULL)
),
hits AS (
    SELECT doc, number FROM documents JOIN rules ON rules.kind = 'url' AND rules.value = documents.canonical
    UNION
    SELECT doc, number FROM hosts JOIN rules ON rules.kind = 'host' AND rules.value = hosts.host
    UNION
    SELECT doc, number FROM documents JOIN rules ON rules.kind = 'record' AND rules.value = lower(trim(record_id, '<>'))
    UNION
    SELECT doc, number FROM matched
)
SELECT
    documents.doc,
    any_value(documents.record_id) AS record_id,
    list(rules.id ORDER BY number) AS takedowns,
    arg_min(rules.detail, number) AS detail
FROM hits
JOIN documents USING (doc)
JOIN rules USING (number)
GROUP BY documents.doc
ORDER BY documents.doc
