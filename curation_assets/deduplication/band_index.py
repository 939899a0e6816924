"""The band index: near-duplicates across snapshots, without reading a snapshot's documents again.

Each snapshot contributes a segment, made once from its signatures: its documents with the component that they form
inside the snapshot, and each of its distinct keys once, in 256 row groups by hash of the key. The index is nothing but
the segments that are there. Replacing a snapshot means replacing its segment, taking one back means deleting it, and
what `match` answers is a function of the set of segments: neither the order in which they arrived nor how often a
snapshot was run leaves a trace.

The survivor of a cluster is, by the rule ``earliest``, its member of the first snapshot by name (Common Crawl's names
sort by time), there the one of the earliest date, then of the smallest doc; by ``latest``, of the last snapshot, there
the one of the latest date, then of the smallest doc. So what precedes a snapshot decides about its documents, and what
follows it can only make clusters larger or join two of them:

* matched against the segments that precede it (and its own), a snapshot keeps its verdicts when later ones arrive;
* matched against all, clusters and their sizes are those of the whole index (FineWeb2's, for rehydration), with
  exactly one survivor in each; every snapshot must be matched again when a segment arrives.

Verification (see `verification`) is chosen when a segment is written. A verified segment keeps a key's documents all,
and matching reads the shingles of those that share a key with another snapshot from the signatures.

Disk: 16 bytes per distinct key of a band (14 bands: 224 bytes per document that resembles no other; zstd leaves about
150) and 16 per document. Memory of a match: 24 bytes per document of all segments, 12 more at the end, and the rows of
one hash in all segments, 55 bytes each: 3 MB per million documents of 14 bands. Writing a segment takes 50 bytes per
document and scratch disk as `clusters`.
"""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.deduplication.clusters import Source, join, keyed, read_rows, unite_documents
from curation_assets.deduplication.forest import NO_DATE, Survivor, flatten, prefer, preference
from curation_assets.deduplication.verification import (
    candidate_rows,
    group_starts,
    numbers,
    shingle_batches,
    verified_join,
)
from curation_assets.lake.lake import temporary_path
from curation_assets.lake.shuffle import Map, temporary_folder

DOCUMENTS = "segment-documents.parquet"
"""Columns doc (int64), date (timestamp, nullable) and root (int64, the row of the first document of its component):
the documents that have keys, in order of doc."""

KEYS = "segment-keys.parquet"
"""Columns key (uint64) and place (uint64, row of `DOCUMENTS` << 16 | band), each distinct key of a band once, of its
first document; in a verified segment, of every document. Row group g holds the keys of hash g, sorted."""

ROW_GROUPS = 256

MATCHES = pa.schema(
    [
        pa.field("doc", pa.int64(), nullable=False),
        pa.field("cluster_snapshot", pa.string(), nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),
        pa.field("cluster_size", pa.int32(), nullable=False),
        pa.field("survivor", pa.bool_(), nullable=False),
    ]
)
"""One row for each document of the matched snapshot in a cluster of two or more, sorted by doc. The cluster is named by
its survivor: the snapshot and the doc there. `cluster_size` counts the members in all segments."""

_PARAMETERS = b"curation.segment"
_DATE = pa.timestamp("us", "UTC")
_DOCUMENTS = pa.schema([("doc", pa.int64()), ("date", _DATE), ("root", pa.int64())])
_KEYS = pa.schema([("key", pa.uint64()), ("place", pa.uint64())])


def write_segment(
    parts: Sequence[Source],
    folder: str | os.PathLike[str],
    scratch: str | os.PathLike[str] | None = None,
    *,
    jaccard: float | None = None,
    parameters: Mapping[str, Any] | None = None,
    tasks: Map = map,
) -> None:
    """Write a snapshot's segment: the files `DOCUMENTS` and `KEYS` in a folder, which is made if need be.

    The bytes do not depend on the order of parts. Files that are there are replaced one after the other: a reader
    that must never see half of a new segment needs a folder that is published whole, as the lake's partitions are.

    Args:
        parts: as for `clusters.cluster`.
        folder: the segment's.
        scratch: as for `clusters.cluster`.
        jaccard: as for `clusters.cluster`; `match` then verifies by the same index.
        parameters: what the signatures were made with (seed, shingles, hash function, ...), kept in the files'
            metadata: `match` refuses segments in which anything differs.
        tasks: as for `clusters.cluster`.

    Raises:
        ValueError: as `clusters.cluster`, and for a doc that occurs twice.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with keyed(parts, scratch, ROW_GROUPS, tasks) as found:
        parent = np.arange(found.docs.size)
        unite_documents(found, parts, jaccard, parent, tasks)
        flatten(parent, np.zeros(parent.size, np.int32))
        order = np.argsort(found.docs)
        docs = found.docs[order]
        if np.any(docs[1:] == docs[:-1]):
            raise ValueError(f"doc {docs[:-1][docs[1:] == docs[:-1]][0]} occurs more than once in the parts")
        rows = np.empty(order.size, np.int64)
        rows[order] = np.arange(order.size)
        first = np.full(order.size, order.size)
        np.minimum.at(first, parent, rows)
        dates = found.dates[order]
        date = pa.array(dates, mask=dates == NO_DATE).cast(pa.timestamp("us")).cast(_DATE)
        documents = pa.table([docs, date, first[parent[order]]], schema=_DOCUMENTS)
        made_with = json.dumps({**(parameters or {}), "bands": found.bands, "jaccard": jaccard}, sort_keys=True)
        groups = (_keys(read_rows(bucket, found.first), rows, jaccard is None) for bucket in found.buckets)
        _write(folder / DOCUMENTS, documents.schema, [documents], made_with)
        _write(folder / KEYS, _KEYS, groups, made_with)


def _keys(keyed: np.ndarray, rows: np.ndarray, distinct: bool) -> pa.Table:
    """A row group: keys with places, sorted, of all documents or of the first one only. rows: int64, by number."""
    bands = keyed[:, 1] & np.uint64(0xFFFF)
    places = rows[numbers(keyed)].astype(np.uint64) << np.uint64(16) | bands
    keyed = np.stack([keyed[:, 0], places], axis=1)[np.lexsort((places, bands, keyed[:, 0]))]
    if distinct:
        keyed = keyed[group_starts(keyed)]
    return pa.table([keyed[:, 0], keyed[:, 1]], schema=_KEYS)


def _write(path: Path, schema: pa.Schema, groups: Iterable[pa.Table], parameters: str) -> None:
    """Write a Parquet file, of one row group a table, under a temporary name first."""
    temporary = temporary_path(path)
    try:
        schema = schema.with_metadata({_PARAMETERS: parameters})
        with pq.ParquetWriter(temporary, schema, compression="zstd", compression_level=3) as writer:
            for table in groups:
                writer.write_table(table, max(table.num_rows, 1))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def match(
    segments: Mapping[str, str | os.PathLike[str]],
    snapshot: str,
    survivor: Survivor = "earliest",
    *,
    signatures: Mapping[str, Sequence[Source]] | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> pa.Table:
    """Cluster the documents of all given segments and tell what becomes of those of one snapshot.

    Args:
        segments: the folder of each snapshot's segment, the matched one's included; which to give is explained above.
        snapshot: the one to answer for.
        survivor: the rule, see above.
        signatures: the parts of each snapshot that its segment was made of, with their shingles; only for verified
            segments.
        scratch: folder for temporary files, only for verified segments; as for `clusters.cluster`.

    Returns:
        A table of schema MATCHES. Documents without a near-duplicate in any segment are not in it.

    Raises:
        KeyError: no segment is given for the snapshot, or no signatures for a verified segment.
        ValueError: segments were made with different parameters; shingles are missing; an unknown survivor.
    """
    if snapshot not in segments:
        raise KeyError(f"no segment of {snapshot}")
    names = sorted(segments, reverse=survivor == "latest")
    folders = [Path(segments[name]) for name in names]
    jaccard = _verification(folders)
    bounds, docs, order, parent = _documents(folders, survivor)
    if jaccard is None:
        for rows in _shared_hashes(folders, bounds):
            join(rows, parent)
    else:

        def batches() -> Iterator[tuple[np.ndarray, pa.LargeListArray]]:
            for name, (first, stop) in zip(names, itertools.pairwise(bounds), strict=True):
                for found, sets in shingle_batches((signatures or {})[name]):
                    places = first + np.searchsorted(docs[first:stop], found)
                    if np.any(places == stop) or np.any(docs[places] != found):
                        raise ValueError(f"the segment of {name} was not made of these signatures")
                    yield places, sets

        with temporary_folder(scratch) as folder, verified_join(folder, docs.size, batches, jaccard, parent) as add:
            # Numbers are in the order of snapshots and docs already.
            everything = np.arange(docs.size)
            for rows in _shared_hashes(folders, bounds):
                add(_across(candidate_rows(rows, everything), bounds))
    size = np.zeros(parent.size, np.int32)
    flatten(parent, size)
    best = np.full(parent.size, -1, np.int64)
    # In survivor order, so that a snapshot's documents only replace each other.
    for first, stop in itertools.pairwise(bounds):
        prefer(parent, order, docs, first + np.flatnonzero(size[parent[first:stop]] > 1), first, best)
    first, stop = bounds[names.index(snapshot) :][:2]
    members = first + np.flatnonzero(size[parent[first:stop]] > 1)
    chosen = best[parent[members]]
    origin = np.searchsorted(bounds, chosen, side="right") - 1
    return pa.table(
        [
            docs[members],
            pa.array(names, pa.string()).take(pa.array(origin)),
            docs[chosen],
            size[parent[members]],
            chosen == members,
        ],
        schema=MATCHES,
    )


def _verification(folders: Sequence[Path]) -> float | None:
    """The Jaccard index that segments were verified by, once it is sure that all were made in the same way."""
    made_with = {}
    for folder in folders:
        footer = pq.read_metadata(folder / DOCUMENTS)
        if footer.num_rows:
            made_with[(footer.metadata or {})[_PARAMETERS].decode()] = folder
    if len(made_with) > 1:
        raise ValueError(f"segments differ in how they were made: {sorted(made_with)}")
    return json.loads(next(iter(made_with)))["jaccard"] if made_with else None


def _documents(folders: Sequence[Path], survivor: Survivor) -> tuple[list[int], np.ndarray, np.ndarray, np.ndarray]:
    """Where each segment's documents start (and, last, their number); their docs, preference and forest, int64 each."""
    bounds = list(
        itertools.accumulate((pq.read_metadata(folder / DOCUMENTS).num_rows for folder in folders), initial=0)
    )
    docs, order, parent = np.empty((3, bounds[-1]), np.int64)
    for folder, (first, stop) in zip(folders, itertools.pairwise(bounds), strict=True):
        table = pq.read_table(folder / DOCUMENTS)
        docs[first:stop] = table["doc"].to_numpy()
        order[first:stop] = preference(table["date"].cast(pa.int64()).fill_null(NO_DATE).to_numpy(), survivor)
        parent[first:stop] = table["root"].to_numpy() + first
    return bounds, docs, order, parent


def _across(rows: np.ndarray, bounds: Sequence[int]) -> np.ndarray:
    """Of sorted rows, those of the keys that documents of two segments have."""
    if not len(rows):
        return rows
    starts = group_starts(rows)
    segment = np.searchsorted(bounds, numbers(rows), side="right")
    last = np.append(starts[1:], len(rows)) - 1
    return rows[np.repeat(segment[starts] != segment[last], last + 1 - starts)]


def _shared_hashes(folders: Sequence[Path], bounds: Sequence[int]) -> Iterator[np.ndarray]:
    """The rows of all segments, hash by hash: uint64[n, 2] of key and number << 16 | band.

    The documents of segment i are numbered from bounds[i].
    """
    files = [pq.ParquetFile(folder / KEYS) for folder in folders]
    try:
        for group in range(ROW_GROUPS):
            rows = []
            for file, first in zip(files, bounds, strict=False):
                if group < file.num_row_groups:
                    table = file.read_row_group(group, use_threads=False)
                    place = table["place"].to_numpy() + np.uint64(first << 16)
                    rows.append(np.stack([table["key"].to_numpy(), place], axis=1))
            if len(rows) > 1:
                yield np.concatenate(rows)
    finally:
        for file in files:
            file.close()
