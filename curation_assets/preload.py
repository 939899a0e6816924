"""Imported once by the fork server: every worker starts with the kernels, Arrow and DuckDB in place.

Not Polars: it starts a thread when it is imported, and a process with threads must not be forked. Arrow's and
jemalloc's threads are made for it. And without what Arrow and Numba import where they find it and no worker needs:
it takes a quarter of the time, and 40 MB. It can be imported later, as anywhere.
"""

import sys
from collections.abc import Sequence

import duckdb

from curation_assets.kernels import part_kernels

UNUSED = ("pandas", "scipy.linalg", "cffi")


class Absent:
    """For the import system: some modules are not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        """Raises `ModuleNotFoundError` for one of them."""
        if name in UNUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
try:
    part_kernels()
finally:
    del sys.meta_path[0]

__all__ = ["duckdb"]
