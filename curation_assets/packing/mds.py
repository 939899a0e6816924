"""Shards in MosaicML's MDS format, written and read without its library.

The library (`mosaicml-streaming` 0.13) asks for NumPy below 2.2 and for torch, so no extra of this package can name
it; the format is simple enough to need neither. The bytes are those that its `MDSWriter` writes for the same samples
(shown by `docs/check_formats.py`). A shard (`streaming/base/format/mds/writer.py`; all little-endian):

| bytes | what |
|---|---|
| 4 | number of samples n, uint32 |
| 4 (n + 1) | where each sample begins in the file and where the last one ends, uint32 |
| | the configuration: JSON, the same as in `index.json` |
| | samples: sizes of the columns of variable size, uint32 each, then all columns, both in order of name |

An array of one dimension is a byte (4 | 0, 1, 2 for a length of 1, 2, 4 bytes), its length, and its values.
`index.json` beside the shards lists them; a sample's number is its place in that list.

The ids are in `tokens`, as wide as in the `.bin` file: the name that LLM Foundry's `StreamingTextDataset` reads.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation_assets.lake.lake import temporary_path
from curation_assets.packing.rows import SEQUENCES
from curation_assets.packing.shards import ShardError, copy_runs

INDEX_FILE = "index.json"
LARGEST = 2**32 - 1
"""Bytes of a shard: the offsets are uint32."""

NAMES = ("docs", "seq_lengths", "sequence", "shard", "token_starts", "tokens")
"""Columns of a sample as they lie in the file."""
COLUMN_OF = {name: name for name in NAMES} | {"tokens": "input_ids"}
"""For each, the column of `rows.SEQUENCES`."""
ARRAYS = tuple(name for name in NAMES if pa.types.is_list(SEQUENCES.field(COLUMN_OF[name]).type))
HEAD = 5
"""Most bytes before an array's values."""


def columns_of(dtype: np.dtype[Any] | str) -> dict[str, str]:
    """Encoding of each column, for ids of a type (uint16 or int32); what `MDSWriter` would be given."""
    kinds = {name: SEQUENCES.field(COLUMN_OF[name]).type for name in NAMES}
    encodings = {name: f"ndarray:{kind.value_type}" if name in ARRAYS else str(kind) for name, kind in kinds.items()}
    return encodings | {"tokens": f"ndarray:{np.dtype(dtype).name}"}


def _configuration(dtype: np.dtype[Any] | str) -> dict[str, Any]:
    encodings = columns_of(dtype)
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": None,
        "column_names": list(NAMES),
        "column_encodings": [encodings[name] for name in NAMES],
        "column_sizes": [None if name in ARRAYS else 4 for name in NAMES],
    }


def _configuration_text(dtype: np.dtype[Any] | str) -> bytes:
    return json.dumps(_configuration(dtype), sort_keys=True).encode()


def _heads(lengths: np.ndarray) -> np.ndarray:
    """What stands before the values of arrays of these lengths: uint8 [n, HEAD], of which fewer are used by short."""
    heads = np.empty((len(lengths), HEAD), np.uint8)
    heads[:, 0] = 4 | np.digitize(lengths, [1 << 8, 1 << 16])
    heads[:, 1:] = lengths.astype("<u4")[:, None].view(np.uint8)
    return heads


def write_mds(
    path: Path, batches: Iterable[pa.RecordBatch], samples: int, dtype: np.dtype[Any] | str
) -> dict[str, Any]:
    """Write one shard, a batch at a time.

    Args:
        path: of the file.
        batches: rows of `rows.SEQUENCES`.
        samples: how many rows there are in all.
        dtype: of the ids: uint16 or int32.

    Returns:
        The shard's entry in the index; see `mds_index`.

    Raises:
        ShardError: the shard would be 4 GiB or larger, or has another number of rows.
    """
    configuration = _configuration(dtype)
    text = _configuration_text(dtype)
    ends = [np.array([4 + 4 * (samples + 1) + len(text)], np.int64)]
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.seek(int(ends[0][0]))
            for batch in batches:
                content, sizes = _encode(batch, np.dtype(dtype))
                ends.append(ends[-1][-1] + np.cumsum(sizes))
                if ends[-1][-1] > LARGEST:
                    raise ShardError(f"{path.name}: MDS shards hold less than 4 GiB; lower packing.shard_tokens")
                file.write(content.data)
            offsets = np.concatenate(ends)
            if len(offsets) != samples + 1:
                raise ShardError(f"{path.name}: {len(offsets) - 1} rows, but {samples} sequences")
            file.seek(0)
            file.write(np.uint32(samples).tobytes() + offsets.astype("<u4").tobytes() + text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    raw = {"basename": path.name, "bytes": int(offsets[-1]), "hashes": {}}
    return {"samples": samples, "raw_data": raw, "zip_data": None, **configuration}


def mds_index(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Contents of `index.json` for what `write_mds` returned, in order of the shards."""
    return json.dumps({"version": 2, "shards": entries}, sort_keys=True).encode()


class MdsShard:
    """A shard that `write_mds` wrote, mapped.

    Raises:
        ShardError: the file is damaged or of other columns.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = np.asarray(np.memmap(path, np.uint8, "r"))
            (count,) = np.frombuffer(self._content, "<u4", 1).tolist()
            self._offsets = np.frombuffer(self._content, "<u4", count + 1, 4).astype(np.int64)
            begin, end = 4 * (count + 2), int(self._offsets[0])
            text = self._content[begin:end].tobytes()
            self.dtype = np.dtype(json.loads(text)["column_encodings"][-1].removeprefix("ndarray:"))
            known = text == _configuration_text(self.dtype)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ShardError(f"{path}: not an MDS shard: {error}") from error
        if not known or self._offsets[-1] != len(self._content) or (np.diff(self._offsets) < 0).any():
            raise ShardError(f"{path}: damaged, or not an MDS shard of packed sequences")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def rows(self, start: int, stop: int) -> pa.RecordBatch:
        """Samples `start` to `stop` as rows of `rows.SEQUENCES`. Raises `ShardError` where they are damaged."""
        begins = self._offsets[start:stop]
        count = len(begins)
        sizes = np.empty((count, len(ARRAYS)), "<u4")
        self._copy(begins, np.full(count, sizes.itemsize * len(ARRAYS)), sizes)
        at = begins + sizes.itemsize * len(ARRAYS)
        found: dict[str, pa.Array] = {}
        for name in NAMES:
            kind = SEQUENCES.field(COLUMN_OF[name]).type
            if name not in ARRAYS:
                values = np.empty(count, kind.to_pandas_dtype())
                self._copy(at, np.full(count, 4), values)
                found[name] = pa.array(values)
                at = at + 4
                continue
            size = sizes[:, ARRAYS.index(name)].astype(np.int64)
            dtype = self.dtype if name == "tokens" else np.dtype(kind.value_type.to_pandas_dtype())
            self._check(at, size)
            width = (self._content[at] & 3).astype(np.int64)
            head = 1 + (1 << width)
            lengths, rest = np.divmod(size - head, dtype.itemsize)
            if (lengths < 1).any() or rest.any() or not self._begin_with(at, head, _heads(lengths)):
                raise ShardError(f"{self._path}: an array of {name} is damaged")
            values = np.empty(int(lengths.sum()), dtype)
            self._copy(at + head, size - head, values)
            ends = np.append(0, np.cumsum(lengths)).astype(np.int32)
            found[name] = pa.ListArray.from_arrays(pa.array(ends), pa.array(values).cast(kind.value_type))
            at = at + size
        if not np.array_equal(at, self._offsets[start + 1 : stop + 1]):
            raise ShardError(f"{self._path}: columns do not fill their sample")
        return pa.record_batch(
            [found[{of: name for name, of in COLUMN_OF.items()}[field.name]] for field in SEQUENCES], schema=SEQUENCES
        )

    def _begin_with(self, at: np.ndarray, head: np.ndarray, expected: np.ndarray) -> bool:
        found = np.zeros_like(expected)
        self._check(at, head)
        copy_runs(self._content, at, np.arange(len(at)) * HEAD, head, found.reshape(-1))
        return np.array_equal(found, np.where(np.arange(HEAD) < head[:, None], expected, 0))

    def _check(self, at: np.ndarray, size: np.ndarray) -> None:
        if len(at) and ((size < 1).any() or (at + size).max() > len(self._content)):
            raise ShardError(f"{self._path}: a sample reaches beyond the file")

    def _copy(self, at: np.ndarray, size: np.ndarray, out: np.ndarray) -> None:
        self._check(at, size)
        copy_runs(self._content, at, np.cumsum(size) - size, size, out.reshape(-1).view(np.uint8))


def _encode(batch: pa.RecordBatch, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Samples end to end, uint8, and the bytes of each."""
    count = batch.num_rows
    rows = np.arange(count)
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    """Bytes, where each sample's part of them begins, and its size."""
    sizes = np.empty((count, len(ARRAYS)), "<u4")
    pieces.append((sizes, rows * sizes.itemsize * len(ARRAYS), np.full(count, sizes.itemsize * len(ARRAYS))))
    for name in NAMES:
        column = batch[COLUMN_OF[name]]
        if name not in ARRAYS:
            pieces.append((column.to_numpy(), rows * 4, np.full(count, 4)))
            continue
        values = column.values.to_numpy()
        if name == "tokens":
            values = values.astype(dtype, copy=False)
        offsets = column.offsets.to_numpy().astype(np.int64)
        lengths = np.diff(offsets)
        heads = _heads(lengths)
        head = 1 + (1 << (heads[:, 0] & 3).astype(np.int64))
        pieces.append((heads, rows * HEAD, head))
        pieces.append((values, offsets[:-1] * values.itemsize, lengths * values.itemsize))
        sizes[:, ARRAYS.index(name)] = head + lengths * values.itemsize
    total = sum(size for *_, size in pieces)
    out = np.empty(int(np.sum(total)), np.uint8)
    at = np.cumsum(total) - total
    for source, start, size in pieces:
        copy_runs(np.ascontiguousarray(source).reshape(-1).view(np.uint8), start, at, size, out)
        at = at + size
    return out, np.asarray(total)
