"""Parts as Parquet files: written in row groups of bounded size, read in batches."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.lake.disk import explained
from curation_assets.lake.lake import File, Stats, file_sha256, temporary_path

FINGERPRINT = b"curation.fingerprint"
STATS = b"curation.stats"
ROW_BITS = 32
"""`doc` is `part << ROW_BITS | row`."""

Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)

BATCH_ROWS = 1024
"""Rows that a station works on at a time."""


def part_name(part: int, suffix: str = "parquet") -> str:
    """The file name of a part."""
    return f"part-{part:05d}.{suffix}"


def part_number(path: Path) -> int:
    """The part of a file that has a name of `part_name`."""
    return int(path.stem.removeprefix("part-"))


class PartWriter:
    """A part that appears under its name only when it is whole: Parquet (zstd level 3), or Arrow IPC by its suffix.

    Parquet is for tables that people query; uncompressed Arrow (`.arrow`) is for what is memory-mapped and read at
    random. A context manager: on an exception the temporary file is removed and nothing appears. The folder must be
    there: one that is gone tells a worker which was lost, and goes on, that its run is over.
    """

    def __init__(self, path: Path, schema: pa.Schema, fingerprint: str) -> None:
        self.schema = schema
        self.stats: Stats = {}
        self.observed: Stats = {}
        self._path = path
        self._fingerprint = fingerprint
        self._temporary = temporary_path(path)
        with explained(path):
            self._sink = pa.OSFile(str(self._temporary), "wb")
            try:
                self._writer = self._open()
            except BaseException:
                self._sink.close()
                self._temporary.unlink()
                raise

    def _open(self) -> pq.ParquetWriter | pa.RecordBatchFileWriter:
        """Begin the file, which writes its first bytes."""
        if self._path.suffix == ".arrow":
            schema = self.schema.with_metadata({FINGERPRINT: self._fingerprint})
            return pa.ipc.new_file(self._sink, schema, options=pa.ipc.IpcWriteOptions())
        return pq.ParquetWriter(self._sink, self.schema, compression="zstd", compression_level=3)

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Append rows; their columns must be the schema's, in any order."""
        table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
        if table.num_rows:
            table = table.select(self.schema.names).cast(self.schema)
            with explained(self._path):
                self._writer.write_table(table)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter of the part."""
        self.stats[name] = self.stats.get(name, 0) + int(amount)

    def observe(self, name: str, amount: int = 1) -> None:
        """Add to a counter of how the part came about, such as retries; it is no part of what is written."""
        self.observed[name] = self.observed.get(name, 0) + int(amount)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with explained(self._path):
                    self._finish()
        finally:
            self._abandon()

    def _finish(self) -> None:
        stats = json.dumps(self.stats, sort_keys=True).encode()
        if isinstance(self._writer, pq.ParquetWriter):
            self._writer.add_key_value_metadata({FINGERPRINT: self._fingerprint.encode(), STATS: stats})
        else:
            # An Arrow file's schema is written first; counters known only at the end ride on an empty batch.
            self._writer.write_batch(pa.RecordBatch.from_pylist([], self.schema), custom_metadata={STATS: stats})
        self._writer.close()
        self._sink.close()
        with self._temporary.open("rb") as file:
            os.fsync(file.fileno())
        self._temporary.replace(self._path)

    def _abandon(self) -> None:
        """Let go of what is not finished; nothing to do after `_finish`."""
        for resource in (self._writer, self._sink):
            # What a full disk did not take when it was written, it does not take now.
            with suppress(OSError, pa.ArrowException):
                resource.close()
        if isinstance(self._writer, pq.ParquetWriter):
            self._writer.is_open = False
        self._temporary.unlink(missing_ok=True)


class Footer(NamedTuple):
    """What a finished part says of itself."""

    rows: int
    fingerprint: str | None
    """None for a file that is no part."""
    stats: Stats


def footer(path: Path) -> Footer:
    """Read it without reading the rows. Raises `pa.ArrowInvalid` when a part cannot be read."""
    rows, metadata = 0, {}
    if path.suffix == ".parquet":
        read = pq.read_metadata(path)
        rows, metadata = read.num_rows, read.metadata or {}
    elif path.suffix == ".arrow":
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            rows = sum(reader.get_batch(index).num_rows for index in range(reader.num_record_batches))
            _, last = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
            metadata = {**(reader.schema.metadata or {}), **(dict(last.items()) if last else {})}
    known = metadata.get(FINGERPRINT)
    return Footer(rows, None if known is None else known.decode(), json.loads(metadata.get(STATS, b"{}")))


def describe(path: Path, fingerprint: str = "") -> File:
    """The manifest's entry for a finished file. A part tells its own fingerprint; other files are given one.

    Raises `pa.ArrowInvalid` when a part cannot be read.
    """
    found = footer(path)
    return File(
        name=path.name,
        bytes=path.stat().st_size,
        rows=found.rows,
        sha256=file_sha256(path),
        fingerprint=fingerprint if found.fingerprint is None else found.fingerprint,
        stats=found.stats,
    )


def read_batches(path: Path, columns: list[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Stream some columns of a part in batches of at most `rows` rows, and never more than were written at once.

    Writers bound what they write by bytes; a batch that joined several row groups could be many times that.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read some columns of a part whole; for the narrow ones."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns, use_threads=False)


def rows_of(docs: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Row numbers inside their part, int64, of document keys."""
    return docs.to_numpy() & ((1 << ROW_BITS) - 1)


def split_by_part(table: pa.Table, paths: Sequence[Path]) -> Iterator[tuple[Path, pa.Table]]:
    """Each file of a part with the rows of a table, sorted by `doc`, that belong to that part."""
    docs = table["doc"].to_numpy()
    for path in paths:
        part = part_number(path)
        first, last = np.searchsorted(docs, [part << ROW_BITS, (part + 1) << ROW_BITS])
        yield path, table.slice(first, last - first)


def with_docs(rows: Rows, docs: np.ndarray) -> Rows:
    """The rows whose `doc` is one of `docs` (int64); neither holds a document twice."""
    return rows.filter(pa.array(np.isin(rows["doc"].to_numpy(), docs, assume_unique=True)))


def values_of(docs: np.ndarray, known: np.ndarray, values: pa.ChunkedArray) -> pa.Array:
    """The value of each of `docs` (int64), from the values of the documents `known`, sorted; null for unknown ones."""
    rows = np.searchsorted(known, docs)
    there = rows < len(known)
    there[there] = known[rows[there]] == docs[there]
    taken = values.take(pa.array(rows, mask=~there))
    return taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken
