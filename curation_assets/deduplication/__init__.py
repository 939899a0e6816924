"""Deduplication: keys per part, groups across the snapshot, a survivor rule, columns."""
