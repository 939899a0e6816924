"""The token ids of each shard, brought together from all parts by two stages of tasks (`lake.shuffle`).

Sequences are shuffled over the snapshot, so every shard has documents of nearly every part. To look them up shard by
shard would open each part's file for each shard: of a snapshot of 90,000 parts and 4,000 shards, 180 million times. So
the segments are first ordered by group of parts; then tasks, one a group, read their parts once, from start to end, and
write the ids ordered by shard; the task that writes a shard reads its slice of each group.

Memory: of this process 1 MiB of segments and 24 bytes for each shard and group; of a task, the ids of its group (128
MiB, or one part where that has more) and of its shard. Scratch disk: the ids once more, and 32 bytes a segment.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation_assets.lake.shuffle import (
    Bucket,
    Map,
    Scattered,
    buckets,
    by_bucket,
    groups_of,
    read_bucket,
    scatter,
    temporary_folder,
)
from curation_assets.packing.shards import ShardError, TokenStore, copy_runs

_GROUP_BYTES = 1 << 27
_BLOCK_ROWS = 1 << 20
_MOST_GROUPS = 1 << 14


@dataclass(frozen=True)
class GatheredIds:
    """The ids of one shard's segments, group after group of parts; picklable."""

    ids: Bucket
    first_parts: np.ndarray
    """int64: the first part of each group."""

    def gather(self, doc: np.ndarray, token_start: np.ndarray, token_count: np.ndarray, out: np.ndarray) -> None:
        """As `TokenStore.gather`, for all segments of the shard in their order."""
        ids = read_bucket(self.ids, out.dtype, 1)[:, 0]
        count = token_count.astype(np.int64)
        if not len(ids) == len(out) == count.sum():
            raise ShardError(f"segments hold {count.sum()} tokens, {len(ids)} were gathered")
        ids.flags.writeable = False  # as those of token files: one type, one compiled kernel
        order = np.argsort(np.searchsorted(self.first_parts, doc >> 32, side="right"), kind="stable")
        source = np.empty(len(order), np.int64)
        source[order] = np.cumsum(count[order]) - count[order]
        copy_runs(ids, source, np.cumsum(count) - count, count, out)


@dataclass(frozen=True)
class GroupJob:
    """The ids of some parts, to be ordered by shard; picklable."""

    segments: Bucket
    """Rows of shard (its number among those that are wanted), doc, token_start, token_count: int64, by shard."""
    tokens: Mapping[int, Path]
    shards: int
    dtype: np.dtype[Any]
    target: Path


def scatter_ids(job: GroupJob) -> Scattered:
    """Write the ids of some parts, shard after shard; the function that worker processes run."""
    shard, doc, start, count = read_bucket(job.segments, np.int64, 4).T
    ids = np.empty(count.sum(), job.dtype)
    TokenStore(job.tokens).gather(doc, start, count, ids)
    ends = np.bincount(shard, weights=count, minlength=job.shards).cumsum().astype(np.int64)
    return scatter(job.target, [(ids, ends)])


@contextlib.contextmanager
def gathered(
    segments: pa.Table,
    shards: Sequence[int],
    tokens: Mapping[int, tuple[Path, int]],
    dtype: np.dtype[Any],
    scratch: Path,
    tasks: Map = map,
) -> Iterator[list[GatheredIds]]:
    """Gather the ids of some shards; what is yielded can be read inside the context.

    Args:
        segments: table of `sequences.SEGMENTS`, sorted.
        shards: numbers of shards, ascending.
        tokens: part number to its file of tokens (see `TokenStore`), and the bytes of that.
        dtype: of the ids as they are stored.
        scratch: folder for temporary files that all tasks see; it is left as it was found.
        tasks: what runs the tasks, such as `Engine.map`.

    Raises:
        ShardError: as `TokenStore.gather`.
    """
    parts = sorted(tokens)
    sizes = [tokens[part][1] for part in parts]
    groups = groups_of(parts, sizes, max(_GROUP_BYTES, -(-sum(sizes) // _MOST_GROUPS)))
    first_parts = np.array([group[0] for group in groups], np.int64)

    def runs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in segments.to_batches(_BLOCK_ROWS):
            shard, *columns = (batch[name].to_numpy() for name in ("shard", "doc", "token_start", "token_count"))
            number = np.searchsorted(shards, shard)
            rows = np.column_stack([number, *columns])[np.isin(shard, shards)]
            group = np.searchsorted(first_parts, rows[:, 1] >> 32, side="right") - 1
            yield by_bucket(rows, np.maximum(group, 0), len(groups))

    with temporary_folder(scratch) as folder:
        by_group = buckets([scatter(folder / "segments", runs())]) if shards and groups else []
        jobs = [
            GroupJob(bucket, {part: tokens[part][0] for part in group}, len(shards), dtype, folder / f"ids-{i:05d}")
            for i, (bucket, group) in enumerate(zip(by_group, groups, strict=False))
            if bucket.size()
        ]
        nothing = Bucket([], np.empty((0, 3), np.int64))
        yield [GatheredIds(ids, first_parts) for ids in buckets(tasks(scatter_ids, jobs)) or [nothing] * len(shards)]
