-- The documents of one part that are taken down and had been packed.
-- Views: takedowns (one part), hits (what takedowns found in the shards of this recipe and snapshot).
SELECT takedowns.doc, max(hits.token_count)::INTEGER AS token_count
FROM takedowns
JOIN hits ON hits.doc = takedowns.doc AND hits.record_id IS NOT DISTINCT FROM takedowns.record_id
WHERE hits.token_count IS NOT NULL
GROUP BY takedowns.doc
ORDER BY takedowns.doc
