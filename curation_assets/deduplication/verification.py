"""Candidate pairs verified by exact Jaccard index of their shingle sets.

Every band key that documents share proposes pairs: each of its documents with each of the first LEADERS among them, in
order of doc. With up to LEADERS + 1 documents to a key these are all pairs; more of them only share a key because they
are copies of each other, for which one comparison is enough, or because the key says little. A pair whose documents are
in one cluster already is not looked at again: that changes no cluster, so the result depends on neither the order of
keys nor of parts.

Memory: 17 bytes per document beyond what `clusters` needs. The sets of the candidates (documents that share a key with
another) are copied to one scratch file, 8 bytes a distinct shingle, about 4 kB for a page of 500 words; it is mapped
into memory, and given back file by file of keys.
"""

import contextlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.deduplication.forest import root, unite
from curation_assets.filtering.characters import inner

LEADERS = 32
"""Documents of a key that all the others are compared with."""

_BATCH_ROWS = 256

Source = str | os.PathLike[str] | pa.NativeFile


class Sets(NamedTuple):
    """Shingle sets of numbered documents, ascending."""

    values: np.ndarray
    """uint64."""
    starts: np.ndarray
    """int64[n]."""
    stops: np.ndarray
    """int64[n]: the set of document i is ``values[starts[i] : stops[i]]``."""
    mapping: mmap.mmap | None
    """What `values` is a view of."""


@inner
def jaccard_index(values: np.ndarray, a: int, a_end: int, b: int, b_end: int, least: float) -> float:
    """Jaccard index of two sets, values[a:a_end] and values[b:b_end], ascending; 0 where it is below `least`."""
    sizes = a_end - a + b_end - b
    smaller = min(a_end - a, b_end - b)
    if smaller == 0 or smaller / (sizes - smaller) < least:
        return 0.0
    shared = 0
    while a < a_end and b < b_end:
        x, y = values[a], values[b]
        shared += x == y
        a += x <= y
        b += y <= x
    index = shared / (sizes - shared)
    return index if index >= least else 0.0


@njit(cache=True, nogil=True)
def _join_verified(
    rows: np.ndarray,
    parent: np.ndarray,
    values: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    least: float,
    leaders: int,
) -> None:
    """Unite the verified pairs of rows (key, number << 16 | band) that are sorted by key, band and doc."""
    first = 0
    for i in range(1, rows.shape[0]):
        if rows[i, 0] != rows[first, 0] or (rows[i, 1] ^ rows[first, 1]) & np.uint64(0xFFFF):
            first = i
        a = int(np.int64(rows[i, 1] >> np.uint64(16)))
        for k in range(first, min(i, first + leaders)):
            b = int(np.int64(rows[k, 1] >> np.uint64(16)))
            together = root(parent, a) == root(parent, b)
            if not together and jaccard_index(values, starts[a], stops[a], starts[b], stops[b], least) > 0:
                unite(parent, a, b)


def candidate_rows(rows: np.ndarray, docs: np.ndarray | None = None) -> np.ndarray:
    """The rows (uint64[n, 2]: key, number << 16 | band) whose key and band another row has, sorted by key, band, doc.

    docs: int64, by number; without them numbers count as docs.
    """
    keys, bands = rows[:, 0], rows[:, 1] & np.uint64(0xFFFF)
    rows = rows[np.lexsort((numbers(rows) if docs is None else docs[numbers(rows)], bands, keys))]
    starts = group_starts(rows)
    sizes = np.diff(starts, append=len(rows))
    return rows[np.repeat(sizes, sizes) > 1]


def numbers(rows: np.ndarray) -> np.ndarray:
    """Document numbers of rows, int64[n]."""
    return (rows[:, 1] >> np.uint64(16)).astype(np.int64)


def group_starts(rows: np.ndarray) -> np.ndarray:
    """Where the rows of each key and band start, in sorted rows: int64[groups]."""
    keys, bands = rows[:, 0], rows[:, 1] & np.uint64(0xFFFF)
    changes = (keys[1:] != keys[:-1]) | (bands[1:] != bands[:-1])
    return np.flatnonzero(np.concatenate([[True], changes])) if len(rows) else np.empty(0, np.int64)


def shingle_batches(parts: Sequence[Source]) -> Iterator[tuple[np.ndarray, pa.LargeListArray]]:
    """Docs (int64[n]) and shingle sets (large_list<uint64>[n]) of the documents whose bands are not null.

    Raises ValueError for a part without shingles.
    """
    for part in parts:
        with pq.ParquetFile(part) as file:
            if "shingles" not in file.schema_arrow.names:
                raise ValueError(f"{part} has no shingles to verify candidates with")
            for batch in file.iter_batches(_BATCH_ROWS, columns=["doc", "bands", "shingles"]):
                batch = batch.filter(batch.column("bands").is_valid())
                yield batch.column("doc").to_numpy(), batch.column("shingles").cast(pa.large_list(pa.uint64()))


@contextlib.contextmanager
def _stored(
    batches: Iterable[tuple[np.ndarray, pa.LargeListArray]], candidates: np.ndarray, path: Path
) -> Iterator[Sets]:
    """Copy the shingle sets of the candidates (bool, by number) to a scratch file and map it.

    batches: document numbers (int64[n], each number once) and their sets.
    """
    starts, stops = np.zeros(candidates.size, np.int64), np.zeros(candidates.size, np.int64)
    end = 0
    with path.open("wb") as out:
        for own, sets in batches:
            wanted = candidates[own]
            own, sets = own[wanted], sets.filter(pa.array(wanted))
            if sets.null_count:
                raise ValueError("a candidate has no shingles to be verified with")
            ends = end + np.cumsum(sets.value_lengths().to_numpy())
            stops[own] = ends
            starts[own] = np.concatenate([[end], ends[:-1]]) if len(ends) else ends
            end = int(ends[-1]) if len(ends) else end
            out.write(sets.flatten().to_numpy().data)
    if not end:
        yield Sets(np.frombuffer(b"", np.uint64), starts, stops, None)
        return
    # Closing the mapping would be an error while a view of it lives: it goes with the last one.
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    yield Sets(np.frombuffer(mapping, np.uint64), starts, stops, mapping)


@contextlib.contextmanager
def verified_join(
    scratch: Path,
    documents: int,
    batches: Callable[[], Iterable[tuple[np.ndarray, pa.LargeListArray]]],
    jaccard: float,
    parent: np.ndarray,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Collect candidate rows inside the context; at its end, unite their pairs of Jaccard index `jaccard` or more.

    Args:
        scratch: folder for temporary files.
        documents: how many there are.
        batches: called when all rows are known: the shingle sets of all documents, by number.
        jaccard: above 0, at most 1.
        parent: forest over the documents (see `forest`).

    Yields a function that takes rows as `candidate_rows` leaves them; all rows of a key and band in one call.
    Raises ValueError for an index out of range, or where a candidate's shingles are null.
    """
    if not 0 < jaccard <= 1:
        raise ValueError(f"the Jaccard index to verify is above 0 and at most 1, not {jaccard}")
    candidates = np.zeros(documents, np.bool_)
    files: list[Path] = []

    def add(rows: np.ndarray) -> None:
        candidates[numbers(rows)] = True
        files.append(scratch / f"candidates={len(files):03d}")
        rows.tofile(files[-1])

    yield add
    with _stored(batches(), candidates, scratch / "shingles") as sets:
        for file in files:
            rows = np.fromfile(file, np.uint64).reshape(-1, 2)
            file.unlink()
            _join_verified(rows, parent, sets.values, sets.starts, sets.stops, float(jaccard), LEADERS)
            if sets.mapping is not None:
                sets.mapping.madvise(mmap.MADV_DONTNEED)
    (scratch / "shingles").unlink()
