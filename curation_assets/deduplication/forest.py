"""A union-find forest over numbered documents, and the survivor of each of its trees.

`parent` (int64[n]) starts as ``arange(n)``; a document that is its own parent is a root.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.filtering.characters import inner

Survivor = Literal["earliest", "latest"]
"""Which member of a cluster is kept: that of the earliest or of the latest date. A null date comes last either way;
of equal dates, the smallest doc is kept."""

NO_DATE = np.iinfo(np.int64).max


def microseconds(dates: pa.Array) -> np.ndarray:
    """Timestamps as int64 microseconds since 1970, NO_DATE for null."""
    return dates.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(NO_DATE).to_numpy()


@inner
def root(parent: np.ndarray, i: int) -> int:
    """The root of document i; shortens its path."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@inner
def unite(parent: np.ndarray, i: int, j: int) -> None:
    """Put two documents in one tree."""
    a, b = root(parent, i), root(parent, j)
    # The smaller number becomes the root: with path halving the trees stay flat.
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@njit(cache=True, nogil=True)
def flatten(parent: np.ndarray, size: np.ndarray) -> None:
    """Point every document at its root, and add the documents of each root to `size` (int32[n])."""
    for i in range(parent.size):
        parent[i] = root(parent, i)
        size[parent[i]] += 1


@njit(cache=True, nogil=True)
def prefer(
    parent: np.ndarray, order: np.ndarray, docs: np.ndarray, members: np.ndarray, first: int, best: np.ndarray
) -> None:
    """Choose the member with the smallest `order`, then the smallest doc, of each root of a flat forest.

    `best` (int64[n], -1 at the start) keeps what it has where it is below `first`.
    """
    for i in members:
        j = best[parent[i]]
        if j < 0 or (j >= first and (order[i] < order[j] or (order[i] == order[j] and docs[i] < docs[j]))):
            best[parent[i]] = i


def preference(dates: np.ndarray, survivor: Survivor) -> np.ndarray:
    """Dates (int64 microseconds, NO_DATE for null) as numbers of which the smallest survives."""
    if survivor == "earliest":
        return dates
    if survivor != "latest":
        raise ValueError(f"the survivor is 'earliest' or 'latest', not {survivor!r}")
    return np.where(dates == NO_DATE, NO_DATE, -dates)
