"""From band keys to clusters of near-duplicates, and one survivor each. Text is never needed here.

Documents that share a band key are linked; clusters are the connected components (Broder et al. 1997,
"Syntactic clustering of the web"). A cluster can therefore hold two documents that resemble a third but not
each other.

The join is a file layout. One pass over the parts writes a row (key, document, band) for each band of each
document into one of R files, by key. Then each file is read alone: a hash table remembers the first
document of each key, and every later one is joined to it in a union-find forest. The result depends on
neither the order of parts nor R.

Memory: 24 bytes per document (doc, date, parent), 12 more at the end, about 40 per member of a cluster, and one
file's rows and hash table: 25 MiB up to 19 million documents of 14 bands, where R reaches its limit of 512, and
about 110 MiB for 100 million. Scratch disk: 16 bytes per document and band.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.filtering.characters import inner

CLUSTERS = pa.schema(
    [
        pa.field("doc", pa.int64(), nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),
        pa.field("cluster_size", pa.int32(), nullable=False),
        pa.field("survivor", pa.bool_(), nullable=False),
    ]
)
"""One row for each member of a cluster of two or more, sorted by doc. `cluster` is the survivor's doc."""

_FILE_ROWS = 1 << 19
_MOST_FILES = 512  # open at once
_MOST_BANDS = 1 << 16  # a row holds the document's number and the band in one integer
_BATCH_ROWS = 1 << 15
_DATE = pa.timestamp("us", "UTC")
_NO_DATE = np.iinfo(np.int64).max

Source = str | os.PathLike[str] | pa.NativeFile


@inner
def _slot(key: np.uint64, band: np.uint64) -> np.uint64:
    """Spread a key, whatever its distribution, over 64 bits."""
    value = (key ^ (band * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(29))


@njit(cache=True, nogil=True)
def _scatter(keys: np.ndarray, first: int, files: int, rows: np.ndarray, ends: np.ndarray) -> None:
    """Order the rows of a batch by file.

    keys: uint64[n, bands] of the documents numbered from `first`. rows: uint64[n * bands, 2] gets (key,
    number << 16 | band); the rows of file f end at ends[f] (int64[files], zero at the start) and begin where
    those of file f - 1 end.
    """
    count, bands = keys.shape
    for i in range(count):
        for band in range(bands):
            ends[_slot(keys[i, band], np.uint64(band)) % np.uint64(files)] += 1
    total = 0
    for f in range(files):
        size = ends[f]
        ends[f] = total
        total += size
    for i in range(count):
        for band in range(bands):
            f = _slot(keys[i, band], np.uint64(band)) % np.uint64(files)
            rows[ends[f], 0] = keys[i, band]
            rows[ends[f], 1] = np.uint64((first + i) << 16 | band)
            ends[f] += 1


@inner
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _join(rows: np.ndarray, size: int, parent: np.ndarray) -> None:
    """Link the documents of each key and band to the first one; `size`, a power of two, exceeds the rows."""
    mask = np.uint64(size - 1)
    used = np.zeros(size, np.bool_)
    table = np.empty((size, 2), np.uint64)
    for i in range(rows.shape[0]):
        key, value = rows[i, 0], rows[i, 1]
        band = value & np.uint64(0xFFFF)
        # The low bits of the slot chose the file.
        slot = (_slot(key, band) >> np.uint64(20)) & mask
        while used[slot] and (table[slot, 0] != key or (table[slot, 1] & np.uint64(0xFFFF)) != band):
            slot = (slot + np.uint64(1)) & mask
        if used[slot]:
            a = _root(parent, int(np.int64(table[slot, 1] >> np.uint64(16))))
            b = _root(parent, int(np.int64(value >> np.uint64(16))))
            # The smaller number becomes the root: with path halving the trees stay flat.
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b
        else:
            used[slot] = True
            table[slot, 0] = key
            table[slot, 1] = value


@njit(cache=True, nogil=True)
def _roots(parent: np.ndarray, size: np.ndarray) -> None:
    """Point every document at its root and count the documents of each root."""
    for i in range(parent.size):
        parent[i] = _root(parent, i)
        size[parent[i]] += 1


@njit(cache=True, nogil=True)
def _survivors(root: np.ndarray, dates: np.ndarray, docs: np.ndarray, members: np.ndarray, best: np.ndarray) -> None:
    """For each root, the member of the earliest date, then of the smallest doc; `best` is -1 at the start."""
    for i in members:
        j = best[root[i]]
        if j < 0 or dates[i] < dates[j] or (dates[i] == dates[j] and docs[i] < docs[j]):
            best[root[i]] = i


def _batches(parts: Sequence[Source]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Doc (int64[n]), microseconds of date (int64[n]), keys (uint64[n, bands]) of documents with keys."""
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["doc", "date", "bands"]):
                batch = batch.filter(batch.column("bands").is_valid())
                bands = batch.column("bands")
                if not pa.types.is_fixed_size_list(bands.type) or bands.type.list_size >= _MOST_BANDS:
                    raise ValueError(f"bands of {part} are {bands.type}, not a fixed_size_list<uint64>")
                dates = batch.column("date").cast(_DATE).cast(pa.int64())
                keys = bands.flatten().cast(pa.uint64()).to_numpy()
                yield (
                    batch.column("doc").to_numpy(),
                    dates.fill_null(_NO_DATE).to_numpy(),
                    keys.reshape(-1, bands.type.list_size),
                )


def cluster(parts: Sequence[Source], scratch: str | os.PathLike[str] | None = None) -> pa.Table:
    """Cluster the documents of a snapshot by their band keys.

    The survivor of a cluster is its member of the earliest date (a null date comes last), then of the
    smallest doc.

    Args:
        parts: Parquet files (paths, or open Arrow files of any store) with the columns doc (int64, unique
            over all parts), date (timestamp, nullable) and bands (fixed_size_list<uint64>, of one size in all
            parts; a document whose bands are null clusters with nothing). Other columns are not read.
        scratch: folder for temporary files, made if it does not exist; the system's by default. It is left as
            it was found.

    Returns:
        A table of schema CLUSTERS. Documents without a near-duplicate are not in it.

    Raises:
        ValueError: bands are of another type, differ in size between parts, or a clustered doc occurs twice.
    """
    total = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            total += file.metadata.num_rows
    docs = np.empty(total, np.int64)
    dates = np.empty(total, np.int64)
    count = 0
    with _temporary_folder(scratch) as folder:
        buckets: list[Path] = []
        with contextlib.ExitStack() as stack:
            files: list[BinaryIO] = []
            bands = 0
            for batch_docs, batch_dates, keys in _batches(parts):
                if not files:
                    bands = keys.shape[1]
                    wanted = -(-total * bands // _FILE_ROWS)
                    buckets = [folder / f"bucket={f:03d}" for f in range(min(wanted, _MOST_FILES))]
                    files = [stack.enter_context(bucket.open("wb")) for bucket in buckets]
                if keys.shape[1] != bands:
                    raise ValueError(f"parts have {bands} and {keys.shape[1]} bands")
                docs[count : count + len(batch_docs)] = batch_docs
                dates[count : count + len(batch_docs)] = batch_dates
                rows = np.empty((keys.size, 2), np.uint64)
                ends = np.zeros(len(files), np.int64)
                _scatter(keys, count, len(files), rows, ends)
                for file, start, end in zip(files, [0, *ends[:-1]], ends, strict=True):
                    file.write(rows[start:end].data)
                count += len(batch_docs)
        parent = np.arange(count)
        for bucket in buckets:
            rows = np.fromfile(bucket, np.uint64).reshape(-1, 2)
            _join(rows, 1 << (len(rows) * 4 // 3).bit_length(), parent)
            bucket.unlink()
    return _members(docs[:count], dates[:count], parent)


@contextlib.contextmanager
def _temporary_folder(parent: str | os.PathLike[str] | None) -> Iterator[Path]:
    """A temporary folder under another one, which is made if need be and then removed as well."""
    outer = Path(parent or tempfile.gettempdir())
    made = not outer.exists()
    outer.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=outer) as folder:
            yield Path(folder)
    finally:
        if made:
            outer.rmdir()


def _members(docs: np.ndarray, dates: np.ndarray, parent: np.ndarray) -> pa.Table:
    """Table of the members of clusters, from a union-find forest over documents."""
    size = np.zeros(parent.size, np.int32)
    _roots(parent, size)
    members = np.flatnonzero(size[parent] > 1)
    best = np.full(parent.size, -1, np.int64)
    _survivors(parent, dates, docs, members, best)
    members = members[np.argsort(docs[members])]
    doc = docs[members]
    if np.any(doc[1:] == doc[:-1]):
        raise ValueError(f"doc {doc[:-1][doc[1:] == doc[:-1]][0]} occurs more than once in the parts")
    survivor = docs[best[parent[members]]]
    return pa.table([doc, survivor, size[parent[members]], doc == survivor], schema=CLUSTERS)
