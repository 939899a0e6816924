"""Texts to token ids: one list a document, the end-of-document token included."""

import numpy as np
import pyarrow as pa

from curation_assets.packing.tokenizer import Tokenizer


def tokens_schema(tokenizer: Tokenizer) -> pa.Schema:
    """Columns of a token part: doc int64, token_count int32, ids large_list of `tokenizer.dtype`."""
    ids = pa.large_list(pa.from_numpy_dtype(tokenizer.dtype))
    return pa.schema([("doc", pa.int64()), ("token_count", pa.int32()), ("ids", ids)])


def tokenize(texts: pa.LargeStringArray, docs: pa.Int64Array, tokenizer: Tokenizer) -> pa.RecordBatch:
    """Encode documents, each followed by the end-of-document token.

    Args:
        texts: one text a document, no nulls.
        docs: their keys, row by row.
        tokenizer: what to encode with.

    Returns:
        One row a document, in the given order: doc, token_count (the end-of-document token counts), ids.

    Raises:
        ValueError: lengths differ, or a text is null.
    """
    if len(texts) != len(docs):
        raise ValueError(f"{len(texts)} texts for {len(docs)} documents")
    offsets, ids = tokenizer.encode_batch(texts)
    offsets = offsets + np.arange(len(offsets))
    ends = offsets[1:] - 1
    flat = np.empty(int(offsets[-1]), tokenizer.dtype)
    is_text = np.ones(len(flat), np.bool_)
    is_text[ends] = False
    flat[is_text] = ids
    flat[ends] = tokenizer.end_of_document
    schema = tokens_schema(tokenizer)
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat), type=schema.field("ids").type)
    return pa.record_batch([docs, pa.array(np.diff(offsets).astype(np.int32)), lists], schema=schema)
