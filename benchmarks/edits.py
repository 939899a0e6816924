"""Applying recorded edits against Python's slicing and `bytes.join`, on invented texts with an edit every 200 bytes."""

import numpy as np
import pyarrow as pa
from measure import fastest, report

from curation_assets.filtering.edits import EDITS, apply_edits

TEXTS, BYTES, EVERY = 4000, 3000, 200


def python_edits(texts: list[bytes], edits: list[list[dict]]) -> list[bytes]:
    """Every text with its edits applied, the plain way."""
    edited = []
    for text, spans in zip(texts, edits, strict=True):
        pieces, position = [], 0
        for span in spans:
            pieces += [text[position : span["start"]], span["replacement"].encode()]
            position = span["end"]
        edited.append(b"".join([*pieces, text[position:]]))
    return edited


def main() -> None:
    """Print both rates in MB of UTF-8 a second and their ratio."""
    random = np.random.default_rng(1)
    rows = [bytes(row) for row in random.integers(97, 123, (TEXTS, BYTES), np.uint8)]
    spans = [
        [
            {"start": at, "end": at + int(random.integers(0, EVERY)), "replacement": "\n" if at % (2 * EVERY) else ""}
            for at in range(0, BYTES - EVERY, EVERY)
        ]
        for _ in rows
    ]
    texts, edits = pa.array([row.decode() for row in rows], pa.large_string()), pa.array(spans, EDITS)
    assert apply_edits(texts, edits).cast(pa.large_binary()).to_pylist() == python_edits(rows, spans)
    size = TEXTS * BYTES / 1e6
    ours = size / fastest(lambda: apply_edits(texts, edits))
    peer = size / fastest(lambda: python_edits(rows, spans))
    print(f"{TEXTS:,} texts of {BYTES:,} bytes with {len(spans[0])} edits each")
    print(f"curation_assets {ours:,.0f} MB/s; Python's slices and join {peer:,.0f} MB/s")
    report("edits", ours, peer)


if __name__ == "__main__":
    main()
