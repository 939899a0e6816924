"""Acquisition: from a snapshot's list of WARC files to one row per response record."""
