"""The sequences of a shard as a table: what every format but Megatron-LM's is written from.

One row a sequence, with the fields that trainers read: `input_ids`, and `seq_lengths` (TRL's name for the lengths of
the documents in a packed sequence), from which position ids, `cu_seqlens` and block-diagonal masks follow.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.packing.shards import SEGMENTS_FILE, ShardError

BATCH_TOKENS = 1 << 22
"""Tokens that are handled at a time, which is also what a row group of a Parquet file holds: 16 MiB of ids."""


def _field(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, metadata={"description": description})


SEQUENCES = pa.schema(
    [
        _field("shard", pa.int32(), "number of the shard, the same in every format"),
        _field("sequence", pa.int32(), "index of the sequence inside its shard, the same in every format"),
        _field("input_ids", pa.list_(pa.int32()), "token ids, not padded"),
        _field("seq_lengths", pa.list_(pa.int32()), "tokens of each piece of a document, in order of position"),
        _field("docs", pa.list_(pa.int64()), "key of the document of each piece"),
        _field("token_starts", pa.list_(pa.int64()), "where each piece begins inside its document, in tokens"),
    ]
)
"""One row a sequence."""


def sequence_rows(ids: np.ndarray, segments: pa.Table, batch_tokens: int = BATCH_TOKENS) -> Iterator[pa.RecordBatch]:
    """The sequences of a shard in batches of about `batch_tokens` tokens, and one sequence at least.

    Args:
        ids: uint16 or int32 [tokens of the shard], as in its `.bin` file; may be mapped.
        segments: rows of `sequences.SEGMENTS` of one shard, sorted by sequence and position.
        batch_tokens: where a batch ends: at the first sequence with which it has so many tokens.

    Yields:
        Rows of `SEQUENCES`, in order.

    Raises:
        ShardError: ids and segments are not of the same shard.
    """
    sequence = segments["sequence"].to_numpy()
    counts = segments["token_count"].to_numpy()
    first = np.flatnonzero(np.diff(sequence, prepend=-1))
    """Row of each sequence's first segment."""
    segment_ends = np.append(first, len(sequence))
    token_ends = np.append(0, np.cumsum(counts, dtype=np.int64))[segment_ends]
    if token_ends[-1] != len(ids):
        raise ShardError(f"segments hold {token_ends[-1]} tokens, the shard {len(ids)}")
    columns = {name: segments[name].to_numpy() for name in ("doc", "token_start")}
    start = 0
    while start < len(first):
        stop = int(np.searchsorted(token_ends, token_ends[start] + batch_tokens))
        stop = min(max(stop, start + 1), len(first))
        pieces = slice(segment_ends[start], segment_ends[stop])
        of_tokens, of_pieces = (
            pa.array((ends[start : stop + 1] - ends[start]).astype(np.int32)) for ends in (token_ends, segment_ends)
        )
        tokens = np.asarray(ids[token_ends[start] : token_ends[stop]]).astype(np.int32, copy=False)
        yield pa.record_batch(
            [
                pa.array(segments["shard"].to_numpy()[first[start:stop]]),
                pa.array(sequence[first[start:stop]]),
                pa.ListArray.from_arrays(of_tokens, pa.array(tokens)),
                pa.ListArray.from_arrays(of_pieces, pa.array(counts[pieces])),
                pa.ListArray.from_arrays(of_pieces, pa.array(columns["doc"][pieces])),
                pa.ListArray.from_arrays(of_pieces, pa.array(columns["token_start"][pieces])),
            ],
            schema=SEQUENCES,
        )
        start = stop


def shard_ids(folder: Path, name: str, dtype: np.dtype[Any] | str) -> np.ndarray:
    """The ids of a Megatron-LM shard, mapped and read-only: `dtype` [tokens]."""
    file = folder / f"{name}.bin"
    return np.memmap(file, dtype, "r") if file.stat().st_size else np.empty(0, dtype)


def shard_segments(folder: Path, shard: int) -> pa.Table:
    """The rows of a folder's `segments.parquet` that are of one shard."""
    return pq.read_table(folder / SEGMENTS_FILE, filters=[("shard", "=", shard)])
