-- The documents with one of some URLs or record ids.
-- View: verdicts. Parameters: $urls, $records: all the ways in which what is looked for may be written.
SELECT doc, url
FROM verdicts
WHERE list_contains($urls, url) OR list_contains($records, record_id)
ORDER BY doc
