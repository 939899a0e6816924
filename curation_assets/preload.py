"""Imported once by the fork server: every worker starts with the kernels, Arrow and DuckDB in place.

Not Polars: it starts a thread when it is imported, and a process with threads must not be forked. Arrow's and
jemalloc's threads are made for it.
"""

import duckdb

from curation_assets.kernels import part_kernels

part_kernels()

__all__ = ["duckdb"]
