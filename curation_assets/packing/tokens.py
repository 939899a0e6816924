"""Texts to token ids: one list a document, the end-of-document token included.

A document that was taken down after it was packed is a tombstone: it has its number of tokens, so that the packing of
all others stays what it was, and neither ids nor their hash.
"""

import numpy as np
import pyarrow as pa

from curation_assets.deduplication.hashes.xxh64 import xxh64
from curation_assets.packing.tokenizer import Tokenizer


def tokens_schema(tokenizer: Tokenizer) -> pa.Schema:
    """Columns of a token part: doc int64, token_count int32, ids large_list of `tokenizer.dtype`, ids_hash uint64."""
    ids = pa.large_list(pa.from_numpy_dtype(tokenizer.dtype))
    return pa.schema([("doc", pa.int64()), ("token_count", pa.int32()), ("ids", ids), ("ids_hash", pa.uint64())])


def tombstones(docs: pa.Int64Array, token_count: pa.Int32Array, tokenizer: Tokenizer) -> pa.RecordBatch:
    """Rows of documents that were taken down, with as many tokens as they had: no ids, no hash."""
    schema = tokens_schema(tokenizer)
    nulls = [pa.nulls(len(docs), schema.field(name).type) for name in ("ids", "ids_hash")]
    return pa.record_batch([docs, token_count, *nulls], schema=schema)


def tokenize(texts: pa.LargeStringArray, docs: pa.Int64Array, tokenizer: Tokenizer) -> pa.RecordBatch:
    """Encode documents, each followed by the end-of-document token.

    Args:
        texts: one text a document, no nulls.
        docs: their keys, row by row.
        tokenizer: what to encode with.

    Returns:
        One row a document, in the given order: doc, token_count (the end-of-document token counts), ids, and XXH64 of
        the ids' little-endian bytes.

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
    bytes_of_ids = offsets * flat.itemsize
    hashes = xxh64(
        flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8), bytes_of_ids[:-1], bytes_of_ids[1:]
    )
    counts = pa.array(np.diff(offsets).astype(np.int32))
    return pa.record_batch([docs, counts, lists, pa.array(hashes)], schema=schema)
