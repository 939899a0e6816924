"""Mirrors for benchmarks: folders in Common Crawl's layout."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from curation_assets.acquisition.archive_layout import list_path


def write_list(mirror: Path, snapshot: str, paths: Iterable[str | Path]) -> None:
    """Make these files, given by their paths below the mirror, those of a snapshot."""
    listing = mirror / list_path(snapshot)
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_bytes(gzip.compress("".join(f"{path}\n" for path in paths).encode(), mtime=0))
