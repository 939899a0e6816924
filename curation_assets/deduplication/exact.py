"""Documents that are the same: keys of their texts or URLs, groups of equal keys, one survivor each.

A key is 128 bits of what two copies have in common: the canonical URL, or the text in its normal form (as in
Dolma 3's exact deduplication, whose hash has 128 bits too). Grouping knows nothing of what a key was made from.

Memory: DuckDB's limit, whatever the number of keys, and the rows of the result (21 bytes each). Beyond the limit it
works on disk: about 90 bytes a document.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa
from numba import njit

from curation_assets.deduplication.canonical_urls import UrlForm, canonical_urls
from curation_assets.deduplication.clusters import CLUSTERS
from curation_assets.deduplication.hashes.murmur3 import hash_strings, key_array, murmur3_128
from curation_assets.deduplication.normal_form import GROWTH, composed, fold, folded_case
from curation_assets.filtering.characters import character_classes, string_buffers
from curation_assets.lake.query import database, execute

Survivor = Literal["earliest", "latest", "longest"]
"""Which document of a group is kept: of the earliest date (Common Crawl's first capture), of the latest (Dolma 3), or
the longest one (datatrove's example for URLs); among equals the one of the smallest doc."""

Part = str | os.PathLike[str]


@njit(cache=True, nogil=True)
def _hash_folded(offsets: np.ndarray, data: np.ndarray, case: np.ndarray, classes: np.ndarray, out: np.ndarray) -> None:
    longest = 0
    for i in range(len(out)):
        longest = max(longest, offsets[i + 1] - offsets[i])
    folded = np.empty(GROWTH * longest, np.uint8)
    for i in range(len(out)):
        length, _ = fold(data, offsets[i], offsets[i + 1], case, classes, folded)
        out[i, 0], out[i, 1] = murmur3_128(folded, 0, length)


def text_keys(texts: pa.LargeStringArray, *, fold_case: bool = False) -> pa.FixedSizeBinaryArray:
    """The 128-bit key of each text in its normal form (NFC, white space folded); null for null.

    fold_case: texts that differ only in case have one key too.
    """
    texts = composed(texts)
    offsets, data = string_buffers(texts)
    out = np.empty((len(texts), 2), np.uint64)
    _hash_folded(offsets, data, folded_case(fold_case), character_classes(), out)
    return key_array(out, texts)


def url_keys(urls: pa.Array, form: UrlForm | None = None) -> pa.FixedSizeBinaryArray:
    """The 128-bit key of each canonical URL; null for null."""
    return hash_strings(canonical_urls(urls, form).cast(pa.large_string()))


@contextlib.contextmanager
def key_files(parts: Sequence[Part], preceding: Sequence[Part] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database whose view `keys` is all the parts.

    Its view `preceding` is the parts of other snapshots, whose docs mean nothing here.

    Raises:
        ValueError: a part is given twice.
    """
    paths = [os.fspath(part) for part in parts]
    if len(set(paths)) < len(paths):
        raise ValueError("a part is given twice: all of it would be its own duplicate")
    views = {"keys": paths, "preceding": [os.fspath(part) for part in preceding]}
    with database(views) as con:
        if not preceding:
            con.execute("CREATE TEMP VIEW preceding AS FROM keys WHERE false")
        # Both statements sort their rows by a unique key.
        con.execute("SET preserve_insertion_order = false")
        yield con


def groups(parts: Sequence[Part], survivor: Survivor = "earliest") -> pa.Table:
    """Group the documents of a snapshot, or of several, by their keys.

    Args:
        parts: Parquet files with the columns doc (int64, not negative, unique over all parts), date (timestamp,
            nullable), key (of any one type; a document whose key is null is in no group) and, for the longest
            survivor, length (integer, nullable). Other columns are not read.
        survivor: which document of a group is kept.

    Returns:
        A table of schema CLUSTERS. Documents whose key no other has are not in it.

    Raises:
        ValueError: the length is needed and not there, a part is given twice, or a grouped doc occurs twice.
    """
    if not parts:
        return CLUSTERS.empty_table()
    with key_files(parts) as con:
        if survivor == "longest" and "length" not in con.view("keys").columns:
            raise ValueError("keys without a length have no longest document")
        table = execute(con, "deduplication/groups", {"survivor": survivor}).combine_chunks().cast(CLUSTERS)
    doc = table["doc"].to_numpy()
    if np.any(doc[1:] == doc[:-1]):
        raise ValueError(f"doc {doc[:-1][doc[1:] == doc[:-1]][0]} occurs more than once in the parts")
    return table
