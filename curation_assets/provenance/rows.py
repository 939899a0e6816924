"""The rows of one document in any table of the lake, found by its key alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.lake.lake import LakeError, Partition
from curation_assets.lake.parts import ROW_BITS, part_name


def part_path(partition: Partition, doc: int) -> Path:
    """The file of a table that holds a document. Raises `LakeError` when there is none."""
    for suffix in ("parquet", "arrow"):
        path = partition.folder / part_name(doc >> ROW_BITS, suffix)
        if path.exists():
            return path
    raise LakeError(f"{partition.name} has no part for document {doc}")


def rows_of_document(partition: Partition, doc: int, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Every row of a Parquet table, sorted by `doc`, that a document has; only its row group is read."""
    with pq.ParquetFile(part_path(partition, doc)) as file:
        place = file.schema_arrow.get_field_index("doc")
        spans = [file.metadata.row_group(group).column(place).statistics for group in range(file.num_row_groups)]
        groups = [group for group, span in enumerate(spans) if span is None or span.min <= doc <= span.max]
        names = None if columns is None else ["doc", *columns]
        table = file.read_row_groups(groups, columns=names, use_threads=False)
    rows = np.flatnonzero(table["doc"].to_numpy() == doc)
    return table.take(pa.array(rows)).to_pylist()


def row_of_document(partition: Partition, doc: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
    """The one row of a document. Raises `LakeError` when the table has none."""
    rows = rows_of_document(partition, doc, columns)
    if not rows:
        raise LakeError(f"{partition.name} has no document {doc}")
    return rows[0]
