"""Curation assets: Common Crawl snapshots in, packed LLM training shards out."""
