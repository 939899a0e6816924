-- Where a document lies in the shards.
-- View: segments. Parameter: $doc.
SELECT shard, sequence, position, token_start, token_count
FROM segments
WHERE doc = $doc
ORDER BY token_start
