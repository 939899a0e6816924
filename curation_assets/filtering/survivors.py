"""The documents that a station has to look at: those that nothing before it has dropped, with the text they have there.

A text changes on its way: lines are dropped, spans are cut, addresses are masked. Each change is recorded as edits of
the text before it, so the text at any station is what was extracted with the edits before it, applied in order.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.characters import text_bytes
from curation_assets.filtering.edits import apply_edits, as_edits
from curation_assets.lake.lake import Key
from curation_assets.lake.parts import read_batches, read_table, rows_of, values_of, with_docs
from curation_assets.lake.station import Inputs

Edits = tuple[tuple[str, str], ...]
"""Input and column of each table of edits, in the order in which they apply."""


def named(edits: Mapping[Key, str]) -> Edits:
    """Tables of edits and their columns, with each table as the input that `edit_inputs` makes it."""
    return tuple((key[-1], column) for key, column in edits.items())


def edit_inputs(edits: Mapping[Key, str]) -> dict[str, Key]:
    """Tables of edits as inputs of a station."""
    return {key[-1]: key for key in edits}


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
    inputs: Inputs,
    edits: Edits,
    keep: np.ndarray,
    columns: tuple[str, ...] = (),
    count: Callable[[str, int], None] = lambda name, amount: None,
    rows: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream the documents of one part whose keys are in `keep`, with their text after some edits.

    `inputs` has `documents` and the tables of `edits`, whose rows may be missing for documents that have none; `keep`
    is a sorted int64 array of `doc`. Yields batches with `doc`, `text` (large_string) and the further `columns` of
    the documents table, in order of `doc`. `count` is told the bytes that their texts have before any edit, as
    "extracted_bytes". At most the first `rows` rows of the part are looked at.
    """
    tables = [(read_table(inputs[name], ["doc", column]), column) for name, column in edits]
    for batch in read_batches(inputs["documents"], ["doc", "text", *columns]):
        if rows is not None and batch.num_rows and rows_of(batch["doc"])[0] >= rows:
            return
        chosen = with_docs(batch, keep)
        if not chosen.num_rows:
            continue
        text = chosen.column("text").cast(pa.large_string())
        count("extracted_bytes", text_bytes(text).sum())
        for table, column in tables:
            text = apply_edits(text, edits_of(table, column, chosen["doc"].to_numpy()))
        yield chosen.set_column(chosen.schema.get_field_index("text"), "text", text)


def edits_of(table: pa.Table, column: str, docs: np.ndarray) -> pa.ListArray:
    """The edits (type `EDITS`) that a table sorted by `doc` holds for some documents; null for those it lacks."""
    return as_edits(values_of(docs, table["doc"].to_numpy(), table[column]))
