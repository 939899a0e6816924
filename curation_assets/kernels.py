"""All Numba kernels: compiled ahead of time (`python -m curation_assets.kernels`), and loaded once for all workers.

Numba compiles a kernel when it is first called and keeps the machine code beside the source. Doing that when the
package is installed spares the first run about fifteen seconds. Loading the code takes a second a process: the fork
server does it once, and workers start with it in place.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TEXT = "The harbour was quiet. Write to a.person@mail.test or ask 8.8.8.8 [1]\n\nThe harbour was quiet.\n" * 3


def part_kernels() -> None:
    """Call every kernel that workers use on next to nothing. Starts no thread: a fork server may do this."""
    from curation_assets.deduplication.minhash import band_keys
    from curation_assets.filtering.edits import apply_edits
    from curation_assets.filtering.pii import find_pii
    from curation_assets.filtering.signals import annotate_signals

    texts = pa.array([TEXT, None, "é"], pa.large_string())
    apply_edits(texts, annotate_signals(texts)["line_edits"].combine_chunks())
    band_keys(texts)
    find_pii(texts)


def snapshot_kernels() -> None:
    """The same for the kernels that see a whole snapshot."""
    from curation_assets.deduplication.clusters import cluster
    from curation_assets.deduplication.minhash import band_keys
    from curation_assets.packing.sequences import pack

    for strategy in ("best_fit", "concat"):
        pack(np.arange(3), np.array([5, 3, 9]), sequence_length=4, strategy=strategy, shard_tokens=8)
    bands = band_keys(pa.array([TEXT, TEXT, "é"], pa.large_string()))
    dates = pa.array([0, 1, None], pa.timestamp("us", "UTC"))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"doc": [0, 1, 2], "date": dates, "bands": bands}), sink)
    cluster([pa.BufferReader(sink.getvalue())])


if __name__ == "__main__":
    part_kernels()
    snapshot_kernels()
