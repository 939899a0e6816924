"""Packing: tokenizer, tokens, packed sequences and training shards."""
