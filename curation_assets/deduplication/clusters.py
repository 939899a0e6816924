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
about 110 MiB for 100 million. Scratch disk: 16 bytes per document and band: 224 with 14 bands, 7.2 kB with
RefinedWeb's 450, of which 600,000 documents reach the limit.

Candidate pairs can be verified by exact Jaccard index: see `verification`, which also says what that costs.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.deduplication.forest import NO_DATE, Survivor, flatten, prefer, preference, unite
from curation_assets.deduplication.verification import Source, candidate_rows, shingle_batches, verified_join
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
_BATCH_KEYS = 1 << 19
_DATE = pa.timestamp("us", "UTC")


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
            unite(parent, int(np.int64(table[slot, 1] >> np.uint64(16))), int(np.int64(value >> np.uint64(16))))
        else:
            used[slot] = True
            table[slot, 0] = key
            table[slot, 1] = value


def join(rows: np.ndarray, parent: np.ndarray) -> None:
    """Unite the documents that share a key of a band. rows: uint64[n, 2] of key and number << 16 | band."""
    _join(rows, 1 << (len(rows) * 4 // 3).bit_length(), parent)


def _batches(parts: Sequence[Source]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Doc (int64[n]), microseconds of date (int64[n]), keys (uint64[n, bands]) of documents with keys."""
    for part in parts:
        with pq.ParquetFile(part) as file:
            kind = file.schema_arrow.field("bands").type
            if not pa.types.is_fixed_size_list(kind) or kind.list_size >= _MOST_BANDS:
                raise ValueError(f"bands of {part} are {kind}, not a fixed_size_list<uint64>")
            rows = max(_BATCH_KEYS // kind.list_size, 1)
            for batch in file.iter_batches(rows, columns=["doc", "date", "bands"]):
                batch = batch.filter(batch.column("bands").is_valid())
                dates = batch.column("date").cast(_DATE).cast(pa.int64())
                keys = batch.column("bands").flatten().cast(pa.uint64()).to_numpy()
                yield (
                    batch.column("doc").to_numpy(),
                    dates.fill_null(NO_DATE).to_numpy(),
                    keys.reshape(-1, kind.list_size),
                )


class Scattered(NamedTuple):
    """The documents with keys of some parts, numbered as they were read, and their keys in files."""

    docs: np.ndarray
    """int64[n]."""
    dates: np.ndarray
    """int64[n]: microseconds, NO_DATE for null."""
    bands: int
    """Keys of a document; 0 without documents."""
    folder: Path
    """For temporary files."""
    buckets: list[Path]
    """Files of uint64[rows, 2]: key and number << 16 | band. All rows of a key and band are in one file."""


@contextlib.contextmanager
def scattered(
    parts: Sequence[Source], scratch: str | os.PathLike[str] | None = None, files: int | None = None
) -> Iterator[Scattered]:
    """Distribute the keys of parts over files by key; see `cluster`. The files are gone afterwards.

    The number of `files` grows with that of the documents unless it is given.
    """
    total = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            total += file.metadata.num_rows
    docs = np.empty(total, np.int64)
    dates = np.empty(total, np.int64)
    count = bands = 0
    with temporary_folder(scratch) as folder:
        buckets: list[Path] = []
        with contextlib.ExitStack() as stack:
            opened: list[BinaryIO] = []
            for batch_docs, batch_dates, keys in _batches(parts):
                if not opened:
                    bands = keys.shape[1]
                    wanted = files or min(-(-total * bands // _FILE_ROWS), _MOST_FILES)
                    buckets = [folder / f"bucket={f:03d}" for f in range(wanted)]
                    opened = [stack.enter_context(bucket.open("wb")) for bucket in buckets]
                if keys.shape[1] != bands:
                    raise ValueError(f"parts have {bands} and {keys.shape[1]} bands")
                docs[count : count + len(batch_docs)] = batch_docs
                dates[count : count + len(batch_docs)] = batch_dates
                rows = np.empty((keys.size, 2), np.uint64)
                ends = np.zeros(len(opened), np.int64)
                _scatter(keys, count, len(opened), rows, ends)
                for file, start, end in zip(opened, [0, *ends[:-1]], ends, strict=True):
                    file.write(rows[start:end].data)
                count += len(batch_docs)
        yield Scattered(docs[:count], dates[:count], bands, folder, buckets)


def read_rows(bucket: Path) -> np.ndarray:
    """The rows of a file of `Scattered`: uint64[n, 2]."""
    return np.fromfile(bucket, np.uint64).reshape(-1, 2)


def unite_documents(keyed: Scattered, parts: Sequence[Source], jaccard: float | None, parent: np.ndarray) -> None:
    """Unite the documents of some scattered parts in a forest: all candidate pairs, or those of this Jaccard index."""
    if jaccard is None:
        for bucket in keyed.buckets:
            join(read_rows(bucket), parent)
        return

    def batches() -> Iterator[tuple[np.ndarray, pa.LargeListArray]]:
        count = 0
        for docs, sets in shingle_batches(parts):
            yield np.arange(count, count + len(docs)), sets
            count += len(docs)

    with verified_join(keyed.folder, keyed.docs.size, batches, jaccard, parent) as add:
        for bucket in keyed.buckets:
            add(candidate_rows(read_rows(bucket), keyed.docs))


def cluster(
    parts: Sequence[Source],
    scratch: str | os.PathLike[str] | None = None,
    *,
    survivor: Survivor = "earliest",
    jaccard: float | None = None,
) -> pa.Table:
    """Cluster the documents of a snapshot by their band keys.

    Args:
        parts: Parquet files (paths, or open Arrow files of any store) with the columns doc (int64, unique
            over all parts), date (timestamp, nullable) and bands (fixed_size_list<uint64>, of one size in all
            parts; a document whose bands are null clusters with nothing). Other columns are not read.
        scratch: folder for temporary files, made if it does not exist; the system's by default. It is left as
            it was found.
        survivor: which member of a cluster is kept. (Dolma 3 keeps the latest; datatrove an arbitrary one.)
        jaccard: unite only pairs of this Jaccard index or more, computed exactly from the column shingles
            (large_list<uint64>, ascending, not null where bands are not); without it, every candidate pair.

    Returns:
        A table of schema CLUSTERS. Documents without a near-duplicate are not in it.

    Raises:
        ValueError: bands are of another type, differ in size between parts, or a clustered doc occurs twice; a
            candidate's shingles are missing; an unknown survivor.
    """
    with scattered(parts, scratch) as keyed:
        order = preference(keyed.dates, survivor)
        parent = np.arange(keyed.docs.size)
        unite_documents(keyed, parts, jaccard, parent)
    return members_of(keyed.docs, order, parent)


@contextlib.contextmanager
def temporary_folder(parent: str | os.PathLike[str] | None) -> Iterator[Path]:
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


def members_of(docs: np.ndarray, order: np.ndarray, parent: np.ndarray) -> pa.Table:
    """Table of the members of clusters, from a union-find forest over documents."""
    size = np.zeros(parent.size, np.int32)
    flatten(parent, size)
    members = np.flatnonzero(size[parent] > 1)
    best = np.full(parent.size, -1, np.int64)
    prefer(parent, order, docs, members, 0, best)
    members = members[np.argsort(docs[members])]
    doc = docs[members]
    if np.any(doc[1:] == doc[:-1]):
        raise ValueError(f"doc {doc[:-1][doc[1:] == doc[:-1]][0]} occurs more than once in the parts")
    survivor = docs[best[parent[members]]]
    return pa.table([doc, survivor, size[parent[members]], doc == survivor], schema=CLUSTERS)
