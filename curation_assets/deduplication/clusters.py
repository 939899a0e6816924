"""From band keys to clusters of near-duplicates, and one survivor each. Text is never needed here.

Documents that share a band key are linked; clusters are the connected components (Broder et al. 1997,
"Syntactic clustering of the web"). A cluster can therefore hold two documents that resemble a third but not
each other.

The join is a file layout (`lake.shuffle`), and its two first stages are tasks that need not know of each other:

1. over groups of parts: a row (key, document, band) for each band of each document, ordered by bucket of the key, in
   one file a task; documents are numbered within the task;
2. over buckets: a hash table remembers the first document of each key, and the pairs of it and each later one are
   written to a file;
3. here: the pairs are united in a union-find forest, and each tree chooses its survivor.

The result depends on neither the order of parts nor the sizes and the number of tasks.

Memory of this process: 24 bytes per document (doc, date, parent), 17 more at the end, and about 40 per member of a
cluster. Of a task: 64 MiB in stage 1; in stage 2 one bucket's rows and hash table, 25 MiB up to 38 million documents
of 14 bands, where the buckets reach their limit of 1,024, and 200 MiB for 260 million. Scratch disk: 16 bytes per
document and band, 16 per document and 16 per pair: 240 with 14 bands and no duplicates, 7.2 kB with RefinedWeb's 450
bands.

Candidate pairs can be verified by exact Jaccard index: see `verification`, which also says what that costs.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.deduplication.forest import Survivor, flatten, microseconds, prefer, preference, unite
from curation_assets.deduplication.verification import Source, candidate_rows, shingle_batches, verified_join
from curation_assets.filtering.characters import inner
from curation_assets.lake.shuffle import (
    Bucket,
    Map,
    Scattered,
    buckets,
    groups_of,
    in_turn,
    read_bucket,
    scatter,
    temporary_folder,
)

CLUSTERS = pa.schema(
    [
        pa.field("doc", pa.int64(), nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),
        pa.field("cluster_size", pa.int32(), nullable=False),
        pa.field("survivor", pa.bool_(), nullable=False),
    ]
)
"""One row for each member of a cluster of two or more, sorted by doc. `cluster` is the survivor's doc."""

_RUN_ROWS = 1 << 21
_BUCKET_ROWS = 1 << 19
_MOST_BUCKETS = 1 << 10  # every task reads a slice of every run
_MOST_BANDS = 1 << 16  # a row holds the document's number and the band in one integer


@inner
def _slot(key: np.uint64, band: np.uint64) -> np.uint64:
    """Spread a key, whatever its distribution, over 64 bits."""
    value = (key ^ (band * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(29))


@njit(cache=True, nogil=True)
def _scatter(keys: np.ndarray, first: int, rows: np.ndarray, ends: np.ndarray) -> None:
    """Order the rows of a run by bucket.

    keys: uint64[n, bands] of the documents numbered from `first`. rows: uint64[n * bands, 2] gets (key,
    number << 16 | band); the rows of bucket b end at ends[b] (int64[buckets], zero at the start) and begin where
    those of bucket b - 1 end.
    """
    buckets = np.uint64(len(ends))
    count, bands = keys.shape
    for i in range(count):
        for band in range(bands):
            ends[_slot(keys[i, band], np.uint64(band)) % buckets] += 1
    total = 0
    for b in range(len(ends)):
        size = ends[b]
        ends[b] = total
        total += size
    for i in range(count):
        for band in range(bands):
            b = _slot(keys[i, band], np.uint64(band)) % buckets
            rows[ends[b], 0] = keys[i, band]
            rows[ends[b], 1] = np.uint64((first + i) << 16 | band)
            ends[b] += 1


@njit(cache=True, nogil=True)
def _link(rows: np.ndarray, size: int) -> int:
    """Replace rows by pairs: each document of a key and band with the first one. Returns how many.

    `size`, a power of two, exceeds the rows.
    """
    mask = np.uint64(size - 1)
    used = np.zeros(size, np.bool_)
    table = np.empty((size, 2), np.uint64)
    pairs = 0
    for i in range(rows.shape[0]):
        key, value = rows[i, 0], rows[i, 1]
        band = value & np.uint64(0xFFFF)
        # The low bits of the slot chose the bucket.
        slot = (_slot(key, band) >> np.uint64(20)) & mask
        while used[slot] and (table[slot, 0] != key or (table[slot, 1] & np.uint64(0xFFFF)) != band):
            slot = (slot + np.uint64(1)) & mask
        if used[slot]:
            rows[pairs, 0] = table[slot, 1] >> np.uint64(16)
            rows[pairs, 1] = value >> np.uint64(16)
            pairs += 1
        else:
            used[slot] = True
            table[slot, 0] = key
            table[slot, 1] = value
    return pairs


@njit(cache=True, nogil=True)
def _unite_pairs(pairs: np.ndarray, parent: np.ndarray) -> None:
    for i in range(pairs.shape[0]):
        unite(parent, int(np.int64(pairs[i, 0])), int(np.int64(pairs[i, 1])))


def link(rows: np.ndarray) -> np.ndarray:
    """Pairs of numbers (uint64[m, 2]) that connect the documents of each key of a band; `rows` are overwritten.

    rows: uint64[n, 2] of key and number << 16 | band.
    """
    return rows[: _link(rows, 1 << (len(rows) * 4 // 3).bit_length())]


def join(rows: np.ndarray, parent: np.ndarray) -> None:
    """Unite the documents that share a key of a band. `rows`, as for `link`, are overwritten."""
    _unite_pairs(link(rows), parent)


@dataclass(frozen=True)
class KeyJob:
    """Stage 1 for some parts; picklable."""

    parts: Sequence[Source]
    bands: int
    buckets: int
    rows: Path
    """Gets the rows of the keys."""
    documents: Path
    """Gets the doc and the date of each document with keys: int64[n, 2]."""

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Doc and date (int64[n, 2], microseconds) and keys (uint64[n, bands]) of documents with keys."""
        for part in self.parts:
            with pq.ParquetFile(part) as file:
                if (bands := _bands(part, file)) != self.bands:
                    raise ValueError(f"parts have {self.bands} and {bands} bands")
                for batch in file.iter_batches(
                    _RUN_ROWS // 4 // bands + 1, columns=["doc", "date", "bands"], use_threads=False
                ):
                    batch = batch.filter(batch.column("bands").is_valid())
                    dates = microseconds(batch.column("date"))
                    keys = batch.column("bands").flatten().cast(pa.uint64()).to_numpy()
                    yield np.stack([batch.column("doc"), dates], axis=1), keys.reshape(-1, bands)

    def runs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows of the keys, ordered by bucket, and where those of each bucket end."""
        keys = np.empty((_RUN_ROWS // self.bands + 1, self.bands), np.uint64)
        first = filled = 0
        with self.documents.open("wb") as file:
            for documents, batch in self.batches():
                file.write(documents.data)
                while len(batch):
                    taken = batch[: len(keys) - filled]
                    keys[filled : filled + len(taken)] = taken
                    filled += len(taken)
                    batch = batch[len(taken) :]
                    if filled == len(keys):
                        yield self.run(keys, first)
                        first, filled = first + filled, 0
        yield self.run(keys[:filled], first)

    def run(self, keys: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
        """One of `runs`."""
        rows, ends = np.empty((keys.size, 2), np.uint64), np.zeros(self.buckets, np.int64)
        _scatter(keys, first, rows, ends)
        return rows, ends


def scatter_keys(job: KeyJob) -> Scattered:
    """Stage 1; the function that worker processes run."""
    return scatter(job.rows, job.runs())


def _bands(part: Source, file: pq.ParquetFile) -> int:
    kind = file.schema_arrow.field("bands").type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size >= _MOST_BANDS:
        raise ValueError(f"bands of {part} are {kind}, not a fixed_size_list<uint64>")
    return kind.list_size


@dataclass(frozen=True)
class BucketJob:
    """Stage 2 for some buckets; picklable."""

    buckets: Sequence[Bucket]
    first: np.ndarray
    """int64[files]: the number of the first document of each file."""
    target: Path

    def rows(self) -> Iterator[np.ndarray]:
        """The rows of each bucket; see `read_rows`."""
        return (read_rows(bucket, self.first) for bucket in self.buckets)


def read_rows(bucket: Bucket, first: np.ndarray) -> np.ndarray:
    """The rows of a bucket, uint64[n, 2] of key and number << 16 | band; `first` as a `BucketJob` has it."""
    rows = read_bucket(bucket, np.uint64, 2)
    at = 0
    for file, start, end in bucket.slices.tolist():
        rows[at : at + end - start, 1] += np.uint64(first[file] << 16)
        at += end - start
    return rows


def find_pairs(job: BucketJob) -> Path:
    """Stage 2; the function that worker processes run."""
    return _stored(job.target, (link(rows) for rows in job.rows()))


def find_candidates(job: BucketJob) -> Path:
    """Stage 2 where pairs are verified, as `verification.candidate_rows` by number."""
    return _stored(job.target, (candidate_rows(rows) for rows in job.rows()))


def _stored(target: Path, rows: Iterator[np.ndarray]) -> Path:
    with target.open("wb") as file:
        for one in rows:
            file.write(one.data)
    return target


class Keyed(NamedTuple):
    """The documents with keys of some parts, numbered in the order of parts, and their keys in buckets."""

    docs: np.ndarray
    """int64[n]."""
    dates: np.ndarray
    """int64[n]: microseconds, NO_DATE for null."""
    bands: int
    """Keys of a document; 0 without documents."""
    folder: Path
    """For temporary files."""
    buckets: list[Bucket]
    """All rows of a key and band are in one bucket."""
    first: np.ndarray
    """As a `BucketJob` has it."""

    def jobs(self) -> list[BucketJob]:
        """Stage 2."""
        together = in_turn(self.buckets, Bucket.size, _BUCKET_ROWS // 2)
        return [BucketJob(some, self.first, self.folder / f"pairs-{i:05d}") for i, some in enumerate(together)]


@contextlib.contextmanager
def keyed(
    parts: Sequence[Source],
    scratch: str | os.PathLike[str] | None = None,
    number: int | None = None,
    tasks: Map = map,
) -> Iterator[Keyed]:
    """Stage 1; see `cluster`. The files are gone afterwards.

    The number of buckets grows with that of the documents unless it is given.
    """
    sizes, bands = [], 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            bands = bands or _bands(part, file)
            sizes.append(file.metadata.num_rows)
    number = number or min(-(-sum(sizes) * bands // _BUCKET_ROWS) or 1, _MOST_BUCKETS)
    with temporary_folder(scratch) as folder:
        jobs = [
            KeyJob(some, bands, number, folder / f"rows-{i:05d}", folder / f"documents-{i:05d}")
            for i, some in enumerate(groups_of(parts, sizes, _RUN_ROWS * 3 // 4 // max(bands, 1)))
        ]
        found = buckets(tasks(scatter_keys, jobs))
        counts = [job.documents.stat().st_size // 16 for job in jobs]
        ends = np.cumsum(counts, dtype=np.int64)
        docs, dates = np.empty((2, sum(counts)), np.int64)
        for job, count, end in zip(jobs, counts, ends, strict=True):
            docs[end - count : end], dates[end - count : end] = np.fromfile(job.documents, np.int64).reshape(-1, 2).T
        yield Keyed(docs, dates, bands if len(docs) else 0, folder, found, ends - counts)


def unite_documents(
    found: Keyed, parts: Sequence[Source], jaccard: float | None, parent: np.ndarray, tasks: Map = map
) -> None:
    """Unite the documents of some parts in a forest: all candidate pairs, or those of this Jaccard index."""
    if jaccard is None:
        for path in tasks(find_pairs, found.jobs()):
            _unite_pairs(np.fromfile(path, np.uint64).reshape(-1, 2), parent)
            path.unlink()
        return

    def batches() -> Iterator[tuple[np.ndarray, pa.LargeListArray]]:
        count = 0
        for docs, sets in shingle_batches(parts):
            yield np.arange(count, count + len(docs)), sets
            count += len(docs)

    with verified_join(found.folder, found.docs.size, batches, jaccard, parent) as add:
        for path in tasks(find_candidates, found.jobs()):
            add(candidate_rows(np.fromfile(path, np.uint64).reshape(-1, 2), found.docs))
            path.unlink()


def cluster(
    parts: Sequence[Source],
    scratch: str | os.PathLike[str] | None = None,
    *,
    survivor: Survivor = "earliest",
    jaccard: float | None = None,
    tasks: Map = map,
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
        tasks: what runs the tasks, such as `Engine.map`; `scratch` must be seen by all of them.

    Returns:
        A table of schema CLUSTERS. Documents without a near-duplicate are not in it.

    Raises:
        ValueError: bands are of another type, differ in size between parts, or a clustered doc occurs twice; a
            candidate's shingles are missing; an unknown survivor.
    """
    with keyed(parts, scratch, tasks=tasks) as found:
        order = preference(found.dates, survivor)
        parent = np.arange(found.docs.size)
        unite_documents(found, parts, jaccard, parent, tasks)
    return members_of(found.docs, order, parent)


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
