-- Decoding gives the sampled documents back. Demanded of a tokenizer trained here; of a given one it is told.
-- Conserves: bytes.
-- View: stats.
SELECT
    coalesce(max(value) FILTER (WHERE name = 'irreversible_documents'), 0) = 0
        OR max(value) FILTER (WHERE name = 'given') = 1 AS passed,
    max(value) FILTER (WHERE name = 'vocabulary') AS vocabulary,
    max(value) FILTER (WHERE name = 'sampled_documents') AS sampled_documents,
    max(value) FILTER (WHERE name = 'irreversible_documents') AS irreversible_documents
FROM stats
