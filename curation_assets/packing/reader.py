"""Memory-mapped reading of training shards, for a training loop.

A folder of shards holds `manifest.json`, `segments.parquet`, `tokenizer.json` and, for each shard, `NAME.bin`
and `NAME.idx` (format: `packing.shards`). Several folders (snapshots, recipes) read as one if they share a
tokenizer.
"""

import hashlib
import json
from collections.abc import Iterator
from collections.abc import Sequence as Series
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curation_assets.packing.shards import (
    DTYPE_CODES,
    INDEX_HEADER,
    INDEX_MAGIC,
    INDEX_VERSION,
    MANIFEST_FILE,
    MANIFEST_FORMAT,
    MANIFEST_VERSION,
    SEGMENTS_FILE,
    ShardError,
    describe_file,
)
from curation_assets.packing.shuffle import permutation


@dataclass(frozen=True)
class Sequence:
    """One training sequence of `n` tokens in `k` segments, each a piece of one document.

    Attributes:
        tokens: uint16 or int32 [n], a read-only view of the file.
        position_ids: int32 [n], restarting at 0 with each segment.
        boundaries: int32 [k + 1], first token of each segment and then n: the `cu_seqlens` of variable-length
            attention.
        docs: int64 [k], the document of each segment.
        token_starts: int64 [k], offset of each segment inside its document.
    """

    tokens: np.ndarray
    position_ids: np.ndarray
    boundaries: np.ndarray
    docs: np.ndarray
    token_starts: np.ndarray

    def padded(self, length: int, token: int) -> np.ndarray:
        """Tokens as int64 [`length`], filled up with `token`.

        Raises:
            ValueError: the sequence is longer than `length`.
        """
        if len(self.tokens) > length:
            raise ValueError(f"a sequence of {len(self.tokens)} tokens does not fit into {length}")
        out = np.full(length, token, np.int64)
        out[: len(self.tokens)] = self.tokens
        return out


class _Folder:
    """One folder: its mapped shards and where each sequence's segments lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = _read_manifest(path)
        for name, info in _files(self.manifest).items():
            _check_size(path / name, info["bytes"])
        packing = self.manifest["packing"]
        dtype = np.dtype(packing["dtype"]).newbyteorder("<")
        lengths: list[np.ndarray] = []
        pointers: list[np.ndarray] = []
        self._data: list[np.ndarray] = []
        for shard in self.manifest["shards"]:
            shard_lengths, shard_pointers = _read_index(path / f"{shard['name']}.idx", dtype)
            if (len(shard_lengths), int(shard_lengths.sum(dtype=np.int64))) != (
                shard["sequences"],
                shard["tokens"],
            ):
                raise ShardError(f"{path / shard['name']}.idx: counts differ from {MANIFEST_FILE}")
            file = path / f"{shard['name']}.bin"
            self._data.append(np.memmap(file, dtype, "r") if shard["tokens"] else np.empty(0, dtype))
            lengths.append(shard_lengths)
            pointers.append(shard_pointers // dtype.itemsize)
        self._first = np.concatenate([[0], np.cumsum([len(part) for part in lengths], dtype=np.int64)])
        self._lengths = np.concatenate([*lengths, np.empty(0, np.int32)])
        self._pointers = np.concatenate([*pointers, np.empty(0, np.int64)])
        self._read_segments(path / SEGMENTS_FILE)

    def _read_segments(self, file: Path) -> None:
        try:
            table = pq.read_table(file, columns=["position", "doc", "token_start"])
        except Exception as error:
            raise ShardError(f"{file}: not a readable Parquet file: {error}") from error
        self._positions = table["position"].to_numpy()
        self._docs = table["doc"].to_numpy()
        self._token_starts = table["token_start"].to_numpy()
        starts = np.flatnonzero(self._positions == 0)
        if len(starts) != len(self):
            raise ShardError(f"{file}: {len(starts)} sequences, but the shards hold {len(self)}")
        self._segments = np.append(starts, len(self._positions))

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: int) -> Sequence:
        shard = int(np.searchsorted(self._first, index, "right")) - 1
        at, length = int(self._pointers[index]), int(self._lengths[index])
        segments = slice(int(self._segments[index]), int(self._segments[index + 1]))
        boundaries = np.append(self._positions[segments], np.int32(length))
        return Sequence(
            tokens=self._data[shard][at : at + length],
            position_ids=np.arange(length, dtype=np.int32) - np.repeat(boundaries[:-1], np.diff(boundaries)),
            boundaries=boundaries,
            docs=self._docs[segments],
            token_starts=self._token_starts[segments],
        )


class ShardReader:
    """Training sequences of one or more folders of shards, by index or in a seeded order.

    Sizes of all files are checked against the manifests when it opens; `verify` checks every byte.

    Args:
        directory: a folder of shards, or several to be read one after the other.

    Attributes:
        manifests: of the folders, in order.
        end_of_document: id of the token that ends a document.
        sequence_length: the most tokens a sequence has.
        fingerprint: of the manifests: the same exactly for the same data in the same order.

    Raises:
        ShardError: a file is missing, damaged or not of this format, or the tokenizers of the folders differ.
    """

    def __init__(self, directory: str | Path | Series[str | Path]) -> None:
        paths = [directory] if isinstance(directory, str | Path) else list(directory)
        if not paths:
            raise ShardError("no folder of shards given")
        self._folders = [_Folder(Path(path)) for path in paths]
        self.manifests: list[dict[str, Any]] = [folder.manifest for folder in self._folders]
        tokenizer = self.manifests[0]["tokenizer"]
        for folder in self._folders[1:]:
            if folder.manifest["tokenizer"] != tokenizer:
                raise ShardError(
                    f"{folder.path} was made with another tokenizer than {self._folders[0].path}: "
                    "their ids mean different things"
                )
        self.end_of_document = int(tokenizer["end_of_document"])
        self.sequence_length = max(m["packing"]["sequence_length"] for m in self.manifests)
        canonical = json.dumps(self.manifests, sort_keys=True, separators=(",", ":"))
        self.fingerprint = hashlib.sha256(canonical.encode()).hexdigest()
        self._first = np.concatenate([[0], np.cumsum([len(f) for f in self._folders], dtype=np.int64)])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int) -> Sequence:
        """Sequence by index; negative indices count from the end.

        Raises:
            IndexError: there are not so many.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        index %= len(self)
        folder = int(np.searchsorted(self._first, index, "right")) - 1
        return self._folders[folder][index - int(self._first[folder])]

    def iterate(
        self, seed: int, epoch: int = 0, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> "SequenceIterator":
        """One epoch in the order that `seed` and `epoch` give, or the part of it that falls to one rank.

        Every rank gets the same number of sequences: the last `len(self) % world_size` of the epoch's order
        are left out.

        Args:
            seed: of the order.
            epoch: each has an order of its own.
            rank: which process this is, 0 … `world_size` - 1.
            world_size: how many processes share the epoch.
            start: sequences of this rank to skip, as if they had been read.

        Raises:
            ValueError: rank or start out of range.
        """
        return SequenceIterator(self, seed, epoch, rank, world_size, start)

    def verify(self) -> None:
        """Read every file and compare it with its recorded SHA-256.

        Raises:
            ShardError: a file differs; the message names it.
        """
        for folder in self._folders:
            for name, info in _files(folder.manifest).items():
                if describe_file(folder.path / name).sha256 != info["sha256"]:
                    raise ShardError(f"{folder.path / name}: content differs from its recorded SHA-256")


class SequenceIterator(Iterator[Sequence]):
    """One rank's pass over one epoch; its state can be saved and continued exactly.

    See `ShardReader.iterate`.
    """

    def __init__(self, reader: ShardReader, seed: int, epoch: int, rank: int, world_size: int, start: int) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}")
        self._reader = reader
        self._set(seed, epoch, rank, world_size, start)

    def _set(self, seed: int, epoch: int, rank: int, world_size: int, start: int) -> None:
        share = len(self._reader) // world_size
        if not 0 <= start <= share:
            raise ValueError(f"start {start} of an epoch with {share} sequences a rank")
        self._identity = {"seed": seed, "epoch": epoch, "rank": rank, "world_size": world_size}
        order = permutation(len(self._reader), seed, epoch)
        self._order = order[rank : share * world_size : world_size]
        self._next = start

    def __len__(self) -> int:
        """Sequences still to come."""
        return len(self._order) - self._next

    def __next__(self) -> Sequence:
        if self._next >= len(self._order):
            raise StopIteration
        index = int(self._order[self._next])
        self._next += 1
        return self._reader[index]

    def state_dict(self) -> dict[str, Any]:
        """Where this iterator stands, as plain values that JSON can hold."""
        return {**self._identity, "start": self._next, "data": self._reader.fingerprint}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state: the next sequence is the one that would have come next then.

        Raises:
            ShardError: the state was saved over other data.
            ValueError: the state is of another rank or number of ranks.
        """
        if state["data"] != self._reader.fingerprint:
            raise ShardError("the saved state belongs to other shards, or to the same in another order")
        for name in ("rank", "world_size"):
            if state[name] != self._identity[name]:
                raise ValueError(f"the saved state has {name} {state[name]}, this one {self._identity[name]}")
        self._set(state["seed"], state["epoch"], state["rank"], state["world_size"], state["start"])


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST_FILE
    try:
        manifest = json.loads(file.read_bytes())
    except OSError as error:
        raise ShardError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ShardError(f"{file}: not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != MANIFEST_FORMAT:
        raise ShardError(f"{file}: not a manifest of training shards")
    if manifest.get("version") != MANIFEST_VERSION:
        raise ShardError(f"{file}: version {manifest.get('version')}, this reader knows {MANIFEST_VERSION}")
    return manifest


def _files(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    files = dict(manifest["files"])
    for shard in manifest["shards"]:
        files.update(shard["files"])
    return files


def _check_size(file: Path, expected: int) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise ShardError(f"{file}: cannot be read: {error.strerror}") from error
    if size != expected:
        raise ShardError(f"{file}: {size} bytes, but {MANIFEST_FILE} says {expected}")


def _read_index(file: Path, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (tokens) and pointers (bytes) of the sequences of an .idx file."""
    content = file.read_bytes()
    if len(content) < INDEX_HEADER.size:
        raise ShardError(f"{file}: too short for an index")
    magic, version, code, count, documents = INDEX_HEADER.unpack_from(content)
    if magic != INDEX_MAGIC or version != INDEX_VERSION or code != DTYPE_CODES[dtype]:
        raise ShardError(f"{file}: not an index of {dtype.name} ids in Megatron's version {INDEX_VERSION}")
    if len(content) != INDEX_HEADER.size + 12 * count + 8 * documents:
        raise ShardError(f"{file}: {count} sequences do not fit its {len(content)} bytes")
    lengths = np.frombuffer(content, "<i4", count, INDEX_HEADER.size)
    pointers = np.frombuffer(content, "<i8", count, INDEX_HEADER.size + 4 * count)
    return lengths, pointers
