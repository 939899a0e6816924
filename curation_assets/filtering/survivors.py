"""The documents that a station has to look at: those that nothing before it has dropped, with the text they have there.

A text changes on its way: lines are dropped, spans are cut, addresses are masked. Each change is recorded as edits of
the text before it, so the text at any station is what was extracted with the edits before it, applied in order.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.edits import apply_edits, as_edits
from curation_assets.lake.parts import read_batches, read_table
from curation_assets.lake.station import Inputs

Edits = tuple[tuple[str, str], ...]
"""Input and column of each table of edits, in the order in which they apply."""


class Place(BaseModel):
    """Where in the order of decisions a station stands."""

    model_config = ConfigDict(frozen=True)

    position: int
    """Gates before this position have been decided."""
    edits: Edits


def survivors(inputs: Inputs, place: Place) -> np.ndarray:
    """Keys, int64 and sorted, of the documents of one part that are left at a place.

    `inputs` has `filter_verdicts`, and `previous` where documents were deduplicated before: the latest such table.
    """
    verdicts = read_table(inputs["filter_verdicts"], ["doc", "position"])
    position = pc.field("position")
    docs = verdicts.filter(position.is_null() | (position > place.position))["doc"].to_numpy()
    if "previous" in inputs:
        previous = read_table(inputs["previous"], ["doc", "survivor"])
        docs = np.intersect1d(docs, previous.filter(previous["survivor"])["doc"].to_numpy(), assume_unique=True)
    return docs


def read_texts(
    inputs: Inputs, edits: Edits, keep: np.ndarray, columns: tuple[str, ...] = ()
) -> Iterator[pa.RecordBatch]:
    """Stream the documents of one part whose keys are in `keep`, with their text after some edits.

    `inputs` has `documents` and the tables of `edits`, whose rows may be missing for documents that have none; `keep`
    is a sorted int64 array of `doc`. Yields batches with `doc`, `text` (large_string) and the further `columns` of
    the documents table, in order of `doc`.
    """
    tables = [(read_table(inputs[name], ["doc", column]), column) for name, column in edits]
    for batch in read_batches(inputs["documents"], ["doc", "text", *columns]):
        docs = batch.column("doc").to_numpy()
        wanted = np.isin(docs, keep, assume_unique=True)
        if not wanted.any():
            continue
        chosen = batch.filter(pa.array(wanted))
        text = chosen.column("text").cast(pa.large_string())
        for table, column in tables:
            text = apply_edits(text, edits_of(table, column, docs[wanted]))
        yield chosen.set_column(chosen.schema.get_field_index("text"), "text", text)


def edits_of(table: pa.Table, column: str, docs: np.ndarray) -> pa.ListArray:
    """The edits (type `EDITS`) that a table sorted by `doc` holds for some documents; null for those it lacks."""
    known = table["doc"].to_numpy()
    rows = np.searchsorted(known, docs)
    there = rows < len(known)
    there[there] = known[rows[there]] == docs[there]
    taken = table[column].take(pa.array(rows, mask=~there))
    return as_edits(taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken)
