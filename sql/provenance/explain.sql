-- The verdicts of the documents with one URL or record id, with where they lie in their WARC files.
-- A duplicate's detail is the snapshot of its survivor where that is another one: its number means nothing here.
-- Views: verdicts, documents. Parameters: $name; $record, the same as a record id in lower case without brackets.
SELECT
    verdicts.*,
    documents.date,
    documents.warc_file,
    documents.warc_offset,
    documents.warc_length,
    documents.http_status,
    documents.html_bytes,
    documents.title,
    documents.consent,
    (SELECT any_value(survivor.url) FROM verdicts AS survivor WHERE survivor.doc = verdicts.duplicate_of AND verdicts.detail IS NULL)
        AS duplicate_of_url,
    (SELECT any_value(survivor.verdict) FROM verdicts AS survivor WHERE survivor.doc = verdicts.duplicate_of AND verdicts.detail IS NULL)
        AS duplicate_of_verdict
FROM verdicts
JOIN documents USING (doc)
WHERE verdicts.url = $name OR lower(trim(verdicts.record_id, '<>')) = $record
ORDER BY verdicts.doc
