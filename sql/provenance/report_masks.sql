-- Personal data that was masked in what is kept: spans and documents of each kind.
-- View: pii_spans.
SELECT kind, count(*) AS spans, count(DISTINCT doc) AS documents
FROM (SELECT doc, unnest(masks).kind AS kind FROM pii_spans)
GROUP BY kind
ORDER BY kind
