"""Imported once by the fork server, so that every worker starts with the heavy libraries in place."""

import duckdb
import numpy
import polars
import pyarrow
import pyarrow.parquet

__all__ = ["duckdb", "numpy", "polars", "pyarrow"]
