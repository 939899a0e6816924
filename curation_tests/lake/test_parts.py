"""Rows by part and by document."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curation_assets.lake.parts import ROW_BITS, part_name, part_number, split_by_part, values_of, with_docs

docs = st.sets(st.builds(lambda part, row: part << ROW_BITS | row, st.integers(0, 5), st.integers(0, 9))).map(sorted)


def table_of(docs: list[int], cut: int) -> pa.Table:
    """A table of two chunks, whose values are the documents."""
    chunks = [pa.array(some, pa.int64()) for some in (docs[:cut], docs[cut:])]
    column = pa.chunked_array(chunks, pa.int64())
    return pa.table({"doc": column, "value": column})


@given(st.integers(0, 2**31 - 1), st.sampled_from(["parquet", "arrow"]))
def test_a_name_has_its_number(part: int, suffix: str) -> None:
    assert part_number(Path("folder", part_name(part, suffix))) == part


@given(docs, st.integers(0, 60))
def test_parts_have_their_rows(docs: list[int], cut: int) -> None:
    paths = [Path(part_name(part)) for part in range(6)]
    found = list(split_by_part(table_of(docs, cut), paths))
    assert [path for path, _ in found] == paths
    for part, (_, rows) in enumerate(found):
        assert rows["doc"].to_pylist() == [doc for doc in docs if doc >> ROW_BITS == part]


@given(docs, st.integers(0, 60), docs)
def test_rows_and_values_of_documents(known: list[int], cut: int, asked: list[int]) -> None:
    table, wanted = table_of(known, cut), np.array(asked, np.int64)
    assert with_docs(table, wanted)["doc"].to_pylist() == [doc for doc in known if doc in asked]
    values = values_of(wanted, table["doc"].to_numpy(), table["value"])
    assert values.to_pylist() == [doc if doc in known else None for doc in asked]
