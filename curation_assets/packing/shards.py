"""Training shards in Megatron-LM's indexed format, filled from token parts on disk.

A shard is two files (Megatron-LM, `megatron/core/datasets/indexed_dataset.py`; all little-endian):

`NAME.bin`: token ids, one packed sequence after the other, no padding, no header.

`NAME.idx`:

| bytes | what |
|---|---|
| 9 | `MMIDIDX\\0\\0` |
| 8 | version, uint64: 1 |
| 1 | type of an id, uint8: 8 = uint16, 4 = int32 |
| 8 | number of sequences n, uint64 |
| 8 | number of document indices, uint64: n + 1 |
| 4 n | tokens of each sequence, int32 |
| 8 n | byte offset of each sequence in the .bin file, int64 |
| 8 (n + 1) | document indices, int64: 0 … n (each packed sequence is a document to Megatron) |

Megatron has no code for uint32. Ids below 2³¹ are the same bits in int32, so a vocabulary above 65,536 is
stored as int32. Where documents begin inside a sequence is in `segments.parquet`.
"""

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.lake.lake import temporary_path
from curation_assets.packing.sequences import Strategy, count_sequences, cuts, fill
from curation_assets.packing.tokenizer import Tokenizer

INDEX_MAGIC = b"MMIDIDX\x00\x00"
INDEX_VERSION = 1
INDEX_HEADER = struct.Struct("<9sQBQQ")
DTYPE_CODES: Mapping[np.dtype[Any], int] = {np.dtype("<u2"): 8, np.dtype("<i4"): 4}

# The files of a folder of shards beside the shards.
MANIFEST_FILE = "manifest.json"
SEGMENTS_FILE = "segments.parquet"
TOKENIZER_FILE = "tokenizer.json"

MANIFEST_FORMAT = "curation-assets training shards"
MANIFEST_VERSION = 1


def shard_name(shard: int) -> str:
    """Name of a shard's files without suffix."""
    return f"shard-{shard:05d}"


def shard_number(name: str) -> int:
    """The number in a shard's name."""
    return int(name.removeprefix("shard-"))


class ShardError(ValueError):
    """Shards, segments or tokens that do not belong together, or are damaged; the message names the file."""


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and hexadecimal SHA-256 of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardInfo:
    """What a shard holds: its name, counts, and its files by name."""

    name: str
    sequences: int
    tokens: int
    files: Mapping[str, FileInfo]


@dataclass(frozen=True)
class _Batch:
    docs: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray


class TokenSource(Protocol):
    """Where the ids of a shard come from."""

    def gather(self, doc: np.ndarray, token_start: np.ndarray, token_count: np.ndarray, out: np.ndarray) -> None:
        """See `TokenStore.gather`."""
        ...


class TokenStore:
    """Random access to token ids by document: memory-mapped Arrow IPC files, one a part.

    A part file has the columns `doc` (int64, ascending) and `ids` (large_list of uint16 or uint32),
    uncompressed, so that nothing is read but the pages asked for.

    Args:
        paths: part number (`doc >> 32`) to its file, which is opened when it is needed.
        open_parts: the most files that are mapped at a time.
    """

    def __init__(self, paths: Mapping[int, Path], open_parts: int = 64) -> None:
        self._paths = dict(paths)
        self._open_parts = open_parts
        self._parts: OrderedDict[int, list[_Batch]] = OrderedDict()

    def gather(self, doc: np.ndarray, token_start: np.ndarray, token_count: np.ndarray, out: np.ndarray) -> None:
        """Write the ids of `n` segments end to end into `out`.

        Args:
            doc: int64 [n].
            token_start: int64 [n], offset of the first id inside the document.
            token_count: int32 [n].
            out: integers [sum of `token_count`], as wide as the stored ids.

        Raises:
            ShardError: a document is missing, or shorter than the segment says.
        """
        ends = np.cumsum(token_count, dtype=np.int64)
        starts = ends - token_count
        if (ends[-1] if len(ends) else 0) != len(out):
            raise ValueError(f"segments hold {ends[-1] if len(ends) else 0} tokens, the output {len(out)}")
        parts = doc >> 32
        order = np.argsort(parts, kind="stable")
        edges = np.flatnonzero(np.diff(parts[order])) + 1
        for rows in np.split(order, edges) if len(order) else []:
            self._gather_part(int(parts[rows[0]]), rows, doc, token_start, token_count, starts, out)

    def _gather_part(
        self,
        part: int,
        rows: np.ndarray,
        doc: np.ndarray,
        token_start: np.ndarray,
        token_count: np.ndarray,
        starts: np.ndarray,
        out: np.ndarray,
    ) -> None:
        for batch in self._part(part):
            at = np.searchsorted(batch.docs, doc[rows])
            found = at < len(batch.docs)
            found[found] = batch.docs[at[found]] == doc[rows[found]]
            inside, at = rows[found], at[found]
            source = batch.offsets[at] + token_start[inside]
            if ((token_start[inside] < 0) | (source + token_count[inside] > batch.offsets[at + 1])).any():
                raise ShardError(f"{self._paths[part]}: a segment reaches beyond its document")
            if batch.ids.dtype.itemsize != out.dtype.itemsize:
                raise ShardError(f"{self._paths[part]}: ids are {batch.ids.dtype}, wanted {out.dtype}")
            copy_runs(batch.ids.view(out.dtype), source, starts[inside], token_count[inside], out)
            rows = rows[~found]
        if len(rows):
            raise ShardError(f"{self._paths[part]}: document {doc[rows[0]]} is not in this part")

    def _part(self, part: int) -> list[_Batch]:
        batches = self._parts.pop(part, None)
        if batches is None:
            batches = self._read(part)
        self._parts[part] = batches
        if len(self._parts) > self._open_parts:
            self._parts.popitem(last=False)
        return batches

    def _read(self, part: int) -> list[_Batch]:
        if part not in self._paths:
            raise ShardError(f"no tokens for part {part}")
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(self._paths[part])))
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (OSError, pa.ArrowInvalid) as error:
            raise ShardError(f"{self._paths[part]}: not a readable Arrow file: {error}") from error
        views: list[_Batch] = []
        for batch in batches:
            ids = batch.column("ids")
            docs = batch.column("doc").to_numpy()
            if (np.diff(docs) <= 0).any():
                raise ShardError(f"{self._paths[part]}: documents are not in ascending order")
            views.append(_Batch(docs, ids.offsets.to_numpy(), ids.values.to_numpy()))
        return views


def write_shard(
    directory: Path,
    name: str,
    segments_of_shard: pa.Table,
    tokens: TokenSource,
    dtype: np.dtype[Any] | type[np.unsignedinteger],
    sequence_length: int,
) -> ShardInfo:
    """Write `NAME.bin` and `NAME.idx`; see the module for the format.

    Holds one shard's tokens in memory.

    Args:
        directory: existing folder.
        name: of both files, without suffix.
        segments_of_shard: rows of `sequences.SEGMENTS` of one shard, sorted by sequence and position.
        tokens: where the ids come from.
        dtype: of the ids: uint16, or uint32 (stored as int32).
        sequence_length: most tokens a sequence may have.

    Raises:
        ShardError: segments leave holes, overlap, are not sorted or reach beyond their document.
    """
    dtype = stored_dtype(dtype)
    lengths = _sequence_lengths(segments_of_shard, sequence_length)
    counts = segments_of_shard["token_count"].to_numpy()
    ids = np.empty(int(lengths.sum()), dtype)
    tokens.gather(segments_of_shard["doc"].to_numpy(), segments_of_shard["token_start"].to_numpy(), counts, ids)
    if dtype.kind == "i" and len(ids) and ids.min() < 0:
        raise ShardError(f"{name}: an id of 2^31 or more cannot be stored")
    return ShardInfo(
        name=name,
        sequences=len(lengths),
        tokens=len(ids),
        files={
            f"{name}.bin": _write(directory / f"{name}.bin", ids),
            f"{name}.idx": _write(directory / f"{name}.idx", _index(lengths, dtype)),
        },
    )


def stored_dtype(dtype: np.dtype[Any] | type[np.unsignedinteger]) -> np.dtype[Any]:
    """Type of an id on disk for a type in memory: uint16, and int32 for uint32."""
    kinds = {np.dtype(np.uint16): np.dtype("<u2"), np.dtype(np.uint32): np.dtype("<i4")}
    try:
        return kinds[np.dtype(dtype)]
    except KeyError:
        raise ValueError(f"ids are uint16 or uint32, not {np.dtype(dtype)}") from None


def describe_file(path: Path) -> FileInfo:
    """Size and SHA-256 of a file as it lies on disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileInfo(bytes=file.tell(), sha256=digest.hexdigest())


def shard_manifest(
    *,
    snapshot: str,
    recipe: str,
    recipe_fingerprint: str,
    tokenizer: Tokenizer,
    sequence_length: int,
    strategy: Strategy,
    seed: int,
    shards: Sequence[ShardInfo],
    segments: pa.Table,
    files: Mapping[str, FileInfo],
) -> dict[str, Any]:
    """Contents of `manifest.json`: what `reader.ShardReader` needs and what a person wants to know.

    Args:
        snapshot: name of the snapshot.
        recipe: name of the recipe.
        recipe_fingerprint: of everything that decided the content.
        tokenizer: what encoded the tokens.
        sequence_length: as packed.
        strategy: as packed.
        seed: as packed.
        shards: in order of their numbers.
        segments: the whole table of `sequences.SEGMENTS`.
        files: the other files of the folder by name: `segments.parquet` and `tokenizer.json`.

    Raises:
        ShardError: shards, segments or tokenizer disagree.
    """
    if files[TOKENIZER_FILE].sha256 != tokenizer.fingerprint:
        raise ShardError(f"{TOKENIZER_FILE} is not the tokenizer that encoded the tokens")
    tokens = sum(shard.tokens for shard in shards)
    sequences = sum(shard.sequences for shard in shards)
    packed = int(segments["token_count"].to_numpy().sum(dtype=np.int64))
    if (tokens, sequences) != (packed, count_sequences(segments)):
        raise ShardError(
            f"shards hold {tokens} tokens in {sequences} sequences, the segments say {packed} "
            f"in {count_sequences(segments)}"
        )
    cut = cuts(segments, sequence_length)
    return {
        "format": MANIFEST_FORMAT,
        "version": MANIFEST_VERSION,
        "snapshot": snapshot,
        "recipe": {"name": recipe, "fingerprint": recipe_fingerprint},
        "tokenizer": {
            "fingerprint": tokenizer.fingerprint,
            "vocabulary_size": tokenizer.vocabulary_size,
            "end_of_document": tokenizer.end_of_document,
            "end_of_document_name": tokenizer.end_of_document_name,
        },
        "packing": {
            "sequence_length": sequence_length,
            "strategy": strategy,
            "seed": seed,
            "dtype": stored_dtype(tokenizer.dtype).name,
        },
        "counts": {
            "documents": segments.num_rows - cut.cuts,
            "segments": segments.num_rows,
            "sequences": sequences,
            "tokens": tokens,
            "fill": round(fill(segments, sequence_length), 6),
            **asdict(cut),
        },
        "shards": [asdict(shard) for shard in shards],
        "files": {name: asdict(info) for name, info in sorted(files.items())},
    }


def _sequence_lengths(segments: pa.Table, sequence_length: int) -> np.ndarray:
    sequence = segments["sequence"].to_numpy()
    position = segments["position"].to_numpy()
    counts = segments["token_count"].to_numpy()
    if not len(sequence):
        return np.empty(0, np.int32)
    first = np.flatnonzero(position == 0)
    expected_sequence = np.repeat(np.arange(len(first)), np.diff(first, append=len(sequence)))
    lengths = np.add.reduceat(counts, first, dtype=np.int64) if len(first) else np.empty(0, np.int64)
    before = np.cumsum(counts, dtype=np.int64) - counts
    if (
        len(first) == 0
        or first[0] != 0
        or (counts < 1).any()
        or not np.array_equal(sequence, expected_sequence)
        or not np.array_equal(position, before - np.repeat(before[first], np.diff(first, append=len(sequence))))
    ):
        raise ShardError("segments are not sorted by sequence and position without holes or overlaps")
    if lengths.max() > sequence_length:
        raise ShardError(f"a sequence has {lengths.max()} tokens, more than {sequence_length}")
    return lengths.astype(np.int32)


def _index(lengths: np.ndarray, dtype: np.dtype[Any]) -> bytes:
    count = len(lengths)
    pointers = (np.cumsum(lengths, dtype=np.int64) - lengths) * dtype.itemsize
    return b"".join(
        [
            INDEX_HEADER.pack(INDEX_MAGIC, INDEX_VERSION, DTYPE_CODES[dtype], count, count + 1),
            lengths.astype("<i4").tobytes(),
            pointers.astype("<i8").tobytes(),
            np.arange(count + 1, dtype="<i8").tobytes(),
        ]
    )


def _write(path: Path, content: bytes | np.ndarray) -> FileInfo:
    data = content if isinstance(content, bytes) else content.view(np.uint8).data
    temporary = temporary_path(path)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return FileInfo(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@njit(cache=True, nogil=True)
def copy_runs(
    source: np.ndarray, source_start: np.ndarray, target_start: np.ndarray, count: np.ndarray, out: np.ndarray
) -> None:
    """Copy runs of elements: `count[i]` of them from `source_start[i]` to `target_start[i]`; bounds are not checked."""
    for i in range(len(count)):
        at, to = source_start[i], target_start[i]
        for k in range(count[i]):
            out[to + k] = source[at + k]
