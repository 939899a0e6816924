"""Provenance: verdicts, and the way from any shard position to its WARC record and back."""
