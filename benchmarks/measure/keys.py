"""Parts with the keys of invented documents, of which some are duplicates."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.deduplication.hashes.murmur3 import KEY

PARTS = 20


def write_keys(folder: Path, documents: int) -> list[Path]:
    """Parquet parts with 128-bit keys and fingerprints; 30 % of the documents have another's."""
    folder.mkdir()
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**64, (documents, 2), np.uint64)
    copies = random.permutation(documents)[: documents * 3 // 10]
    keys[copies] = keys[random.integers(0, documents, len(copies))]
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(documents), PARTS)):
        key = pa.FixedSizeBinaryArray.from_buffers(KEY, len(rows), [None, pa.py_buffer(keys[rows])])
        date = pa.array(rows % 1000, pa.timestamp("us", "UTC"))
        paths.append(folder / f"{number}.parquet")
        pq.write_table(pa.table({"doc": rows, "date": date, "key": key, "fingerprint": keys[rows, 0]}), paths[-1])
    return paths
