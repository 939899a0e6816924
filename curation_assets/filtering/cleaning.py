"""The cleaned text of chosen documents: what was extracted, with its line edits applied."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation_assets.filtering.edits import apply_edits
from curation_assets.lake.parts import read_batches, read_table, rows_of


def read_cleaned(
    documents: Path, signals: Path, keep: np.ndarray, columns: tuple[str, ...] = ()
) -> Iterator[pa.RecordBatch]:
    """Stream the documents of one part whose keys are in `keep`, with text after line edits.

    `documents` and `signals` are the part's files; `keep` is a sorted int64 array of `doc`. Yields batches with
    `doc`, `text` (large_string, cleaned) and the further `columns` of the documents table, in order of `doc`.
    """
    edits = read_table(signals, ["doc", "line_edits"])
    for batch in read_batches(documents, ["doc", "text", *columns]):
        docs = batch.column("doc").to_numpy()
        wanted = np.isin(docs, keep, assume_unique=True)
        if not wanted.any():
            continue
        chosen = batch.filter(pa.array(wanted))
        rows = edits["line_edits"].take(pa.array(rows_of(chosen.column("doc")))).combine_chunks()
        text = apply_edits(chosen.column("text").cast(pa.large_string()), rows)
        yield chosen.set_column(chosen.schema.get_field_index("text"), "text", text)
