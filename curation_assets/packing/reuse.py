"""What a shard is made from, so that one whose content would be the same need not be written again."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation_assets.lake.lake import fingerprint


@dataclass(frozen=True)
class Tokenised:
    """The documents of the tokens table, whose ids are not read: 16 bytes each."""

    doc: np.ndarray
    """int64, sorted."""
    ids_hash: np.ndarray
    """uint64; 0 of those that were taken down."""
    taken_down: np.ndarray
    """int64: the tombstones among them."""


def tokenised(paths: Sequence[Path]) -> Tokenised:
    """Keys and hashes of all documents in some parts of the tokens table."""
    tables = []
    for path in paths:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            tables.append(reader.read_all().select(["doc", "ids_hash"]))
    table = pa.concat_tables(tables)
    gone = table["ids_hash"].is_null().to_numpy()
    doc, ids_hash = table["doc"].to_numpy(), table["ids_hash"].fill_null(0).to_numpy()
    taken_down = np.sort(doc[gone])
    if (doc[1:] < doc[:-1]).any():
        order = np.argsort(doc, kind="stable")
        doc, ids_hash = doc[order], ids_hash[order]
    return Tokenised(doc, ids_hash, taken_down)


def shard_fingerprint(segments: pa.Table, made: Tokenised, *form: Any) -> str:
    """What the files of a shard are made from, as a hash.

    Args:
        segments: its rows of `sequences.SEGMENTS`, in order.
        made: documents that the segments are of, and others.
        form: what else decides the bytes, JSON-able: the format, the version of its writer, its parameters.
    """
    digest = hashlib.sha256()
    for name in segments.column_names:
        digest.update(segments[name].to_numpy().data)
    digest.update(made.ids_hash[np.searchsorted(made.doc, segments["doc"].to_numpy())].data)
    return fingerprint([*form, digest.hexdigest()])
