"""Documents that are the same: keys of their texts or URLs, groups of equal keys, one survivor each.

A key is 128 bits of what two copies have in common: the canonical URL, or the text in its normal form (as in
Dolma 3's exact deduplication, whose hash has 128 bits too). Grouping knows nothing of what a key was made from.

Grouping goes through `lake.shuffle`: tasks over groups of parts order a row for each key (key, rank by the rule, doc)
by bucket of the key, tasks over buckets find the groups of each.

Memory: about 60 bytes for each member of a group; of a task, 64 MiB for the first kind, and up to 500 million keys as
much for the second. Scratch disk: 32 bytes a document, and 24 a member of a group.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit

from curation_assets.deduplication.canonical_urls import UrlForm, canonical_urls
from curation_assets.deduplication.clusters import CLUSTERS
from curation_assets.deduplication.forest import microseconds, preference
from curation_assets.deduplication.hashes.murmur3 import KEY, hash_strings, key_array, murmur3_128
from curation_assets.deduplication.normal_form import GROWTH, composed, fold, folded_case
from curation_assets.filtering.characters import character_classes, string_buffers
from curation_assets.lake.parts import read_batches
from curation_assets.lake.query import database
from curation_assets.lake.shuffle import (
    Bucket,
    Map,
    Scattered,
    buckets,
    by_bucket,
    groups_of,
    in_turn,
    read_bucket,
    scatter,
    temporary_folder,
)

Survivor = Literal["earliest", "latest", "longest"]
"""Which document of a group is kept: of the earliest date (Common Crawl's first capture), of the latest (Dolma 3), or
the longest one (datatrove's example for URLs); among equals the one of the smallest doc."""

Part = str | os.PathLike[str]

_RUN_ROWS = 1 << 19
_BUCKET_ROWS = 1 << 19
_MOST_BUCKETS = 1 << 10


@njit(cache=True, nogil=True)
def _hash_folded(offsets: np.ndarray, data: np.ndarray, case: np.ndarray, classes: np.ndarray, out: np.ndarray) -> None:
    longest = 0
    for i in range(len(out)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    folded = np.empty(GROWTH * longest, np.uint8)
    for i in range(len(out)):
        length, _ = fold(data, offsets[i], offsets[i + 1], case, classes, folded)
        out[i, 0], out[i, 1] = murmur3_128(folded, 0, length)


def text_keys(texts: pa.LargeStringArray, *, fold_case: bool = False) -> pa.FixedSizeBinaryArray:
    """The 128-bit key of each text in its normal form (NFC, white space folded); null for null.

    fold_case: texts that differ only in case have one key too.
    """
    texts = composed(texts)
    offsets, data = string_buffers(texts)
    out = np.empty((len(texts), 2), np.uint64)
    _hash_folded(offsets, data, folded_case(fold_case), character_classes(), out)
    return key_array(out, texts)


def url_keys(urls: pa.Array, form: UrlForm | None = None) -> pa.FixedSizeBinaryArray:
    """The 128-bit key of each canonical URL; null for null."""
    return hash_strings(canonical_urls(urls, form).cast(pa.large_string()))


def _require_distinct(parts: Sequence[Part]) -> None:
    if len({os.fspath(part) for part in parts}) < len(parts):
        raise ValueError("a part is given twice: all of it would be its own duplicate")


@contextlib.contextmanager
def key_files(parts: Sequence[Part], preceding: Sequence[Part] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database whose view `keys` is all the parts.

    Its view `preceding` is the parts of other snapshots, whose docs mean nothing here.

    Raises:
        ValueError: a part is given twice.
    """
    _require_distinct(parts)
    views = {"keys": [os.fspath(part) for part in parts], "preceding": [os.fspath(part) for part in preceding]}
    with database(views) as con:
        if not preceding:
            con.execute("CREATE TEMP VIEW preceding AS FROM keys WHERE false")
        # Statements sort their rows by a unique key.
        con.execute("SET preserve_insertion_order = false")
        yield con


@dataclass(frozen=True)
class KeyJob:
    """The keys of some parts, to be ordered by bucket; picklable."""

    parts: Sequence[Part]
    survivor: Survivor
    buckets: int
    target: Path

    def runs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of key (two), rank and doc, int64[n, 4], ordered by bucket; and where those of each bucket end."""
        batches = (batch for part in self.parts for batch in self.batches(Path(part)))
        for together in in_turn(batches, len, _RUN_ROWS):
            rows = np.concatenate(together)
            yield by_bucket(rows, (rows[:, 0].view(np.uint64) >> np.uint64(32)) % np.uint64(self.buckets), self.buckets)

    def batches(self, part: Path) -> Iterator[np.ndarray]:
        """The rows of a part."""
        value = "length" if self.survivor == "longest" else "date"
        for batch in read_batches(part, ["doc", "key", value], _RUN_ROWS):
            batch = batch.filter(batch["key"].is_valid())
            keys = np.frombuffer(batch["key"].buffers()[1] or b"", np.int64).reshape(-1, 2)
            keys = keys[batch["key"].offset :][: batch.num_rows]
            yield np.column_stack([keys, _ranks(batch[value], self.survivor), batch["doc"]])


def _ranks(values: pa.Array, survivor: Survivor) -> np.ndarray:
    """Dates or lengths as numbers of which the smallest survives; the unknown come last."""
    if survivor == "longest":
        return -values.cast(pa.int64()).fill_null(-1).to_numpy()
    return preference(microseconds(values), survivor)


def scatter_keys(job: KeyJob) -> Scattered:
    """Write the rows of some parts; the function that worker processes run."""
    return scatter(job.target, job.runs())


@dataclass(frozen=True)
class GroupJob:
    """The rows of some buckets; picklable."""

    buckets: Sequence[Bucket]
    target: Path


def find_groups(job: GroupJob) -> Path:
    """Write doc, survivor and size (int64[n, 3]) of the members of groups; the function that worker processes run."""
    with job.target.open("wb") as file:
        for bucket in job.buckets:
            file.write(_members(read_bucket(bucket, np.int64, 4)).data)
    return job.target


def _members(rows: np.ndarray) -> np.ndarray:
    # Most keys are alone by their first half already.
    rows = rows[np.argsort(rows[:, 0])]
    same = rows[1:, 0] == rows[:-1, 0]
    rows = rows[np.append(same, False) | np.append(False, same)[: len(rows)]]
    rows = rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0]))]
    first = np.flatnonzero(np.append(True, (rows[1:, :2] != rows[:-1, :2]).any(axis=1))[: len(rows)])
    sizes = np.diff(first, append=len(rows))
    members = np.column_stack([rows[:, 3], np.repeat(rows[first, 3], sizes), np.repeat(sizes, sizes)])
    return members[members[:, 2] > 1]


def groups(
    parts: Sequence[Part], survivor: Survivor = "earliest", scratch: Part | None = None, tasks: Map = map
) -> pa.Table:
    """Group the documents of a snapshot by their keys.

    Args:
        parts: Parquet files with the columns doc (int64, not negative, unique over all parts), date (timestamp,
            nullable), key (of type `murmur3.KEY`; a document whose key is null is in no group) and, for the longest
            survivor, length (integer, nullable). Other columns are not read.
        survivor: which document of a group is kept.
        scratch: folder for temporary files, made if it does not exist; the system's by default. It is left as it was
            found.
        tasks: what runs the tasks, such as `Engine.map`; `scratch` must be seen by all of them.

    Returns:
        A table of schema CLUSTERS. Documents whose key no other has are not in it.

    Raises:
        ValueError: the length is needed and not there, a key is of another type, a part is given twice, or a grouped
            doc occurs twice.
    """
    _require_distinct(parts)
    sizes = []
    for part in parts:
        with pq.ParquetFile(part) as file:
            names, key = file.schema_arrow.names, file.schema_arrow.field("key").type
            sizes.append(file.metadata.num_rows)
        if survivor == "longest" and "length" not in names:
            raise ValueError("keys without a length have no longest document")
        if key != KEY:
            raise ValueError(f"keys of {part} are {key}, not {KEY}")
    number = min(-(-sum(sizes) // _BUCKET_ROWS) or 1, _MOST_BUCKETS)
    with temporary_folder(scratch) as folder:
        jobs = [
            KeyJob(some, survivor, number, folder / f"rows-{i:05d}")
            for i, some in enumerate(groups_of(parts, sizes, _RUN_ROWS * 3 // 4))
        ]
        found = buckets(tasks(scatter_keys, jobs))
        together = in_turn(found, Bucket.size, _BUCKET_ROWS // 2)
        files = list(tasks(find_groups, [GroupJob(some, folder / f"groups-{i}") for i, some in enumerate(together)]))
        members = np.empty((sum(file.stat().st_size for file in files) // 24, 3), np.int64)
        at = 0
        for file in files:
            own = np.fromfile(file, np.int64).reshape(-1, 3)
            members[at : at + len(own)] = own
            at += len(own)
    doc, cluster, size = members[np.argsort(members[:, 0])].T
    if np.any(doc[1:] == doc[:-1]):
        raise ValueError(f"doc {doc[:-1][doc[1:] == doc[:-1]][0]} occurs more than once in the parts")
    return pa.table([doc, cluster, pa.array(size).cast(pa.int32()), doc == cluster], schema=CLUSTERS)
