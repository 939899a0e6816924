"""Filtering: annotations of documents (URL, language, quality signals, PII) and the gates over them."""
