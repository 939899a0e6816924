import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.packing.tokenizer import Tokenizer
from curation_assets.packing.tokens import tokenize, tokens_schema


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_each_document_is_its_text_and_one_end(tokenizer: Tokenizer, texts: list[str]):
    docs = [7 << 32 | 3 * row for row in range(len(texts))]
    batch = tokenize(pa.array(texts, pa.large_string()), pa.array(docs, pa.int64()), tokenizer)
    batch.validate(full=True)
    assert batch.schema == tokens_schema(tokenizer)
    assert batch["doc"].to_pylist() == docs
    rows = batch["ids"].to_pylist()
    assert batch["token_count"].to_pylist() == [len(row) for row in rows]
    assert [row[-1] for row in rows] == [tokenizer.end_of_document] * len(rows)
    assert [tokenizer.decode(row[:-1]) for row in rows] == texts


def test_ids_are_as_wide_as_the_vocabulary_needs(tokenizer: Tokenizer, wide_tokenizer: Tokenizer):
    texts, docs = pa.array(["old stone bridge"], pa.large_string()), pa.array([1], pa.int64())
    narrow, wide = tokenize(texts, docs, tokenizer), tokenize(texts, docs, wide_tokenizer)
    assert narrow["ids"].type.value_type == pa.uint16()
    assert wide["ids"].type.value_type == pa.uint32()
    shifted = np.array(narrow["ids"].to_pylist()[0]) + 70_000
    assert wide["ids"].to_pylist()[0] == shifted.tolist()


def test_rows_must_match(tokenizer: Tokenizer):
    with pytest.raises(ValueError, match="2 texts for 1"):
        tokenize(pa.array(["a", "b"], pa.large_string()), pa.array([1], pa.int64()), tokenizer)
