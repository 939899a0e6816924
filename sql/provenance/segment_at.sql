-- The segment that holds one token of a sequence.
-- View: segments. Parameters: $shard, $sequence, $token.
SELECT doc, position, token_start, token_count
FROM segments
WHERE shard = $shard AND sequence = $sequence AND position <= $token AND $token < position + token_count
