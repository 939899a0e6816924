-- The verdicts of the documents with one URL or record id, with where they lie in their WARC files.
-- Views: verdicts, documents. Parameter: $name.
SELECT
    verdicts.*,
    documents.date,
    documents.warc_file,
    documents.warc_offset,
    documents.warc_length,
    documents.http_status,
    documents.html_bytes,
    documents.title,
    (SELECT any_value(survivor.url) FROM verdicts AS survivor WHERE survivor.doc = verdicts.duplicate_of)
        AS duplicate_of_url
FROM verdicts
JOIN documents USING (doc)
WHERE verdicts.url = $name OR verdicts.record_id = $name OR verdicts.record_id = '<urn:uuid:' || $name || '>'
ORDER BY verdicts.doc
