"""Compile every Numba kernel ahead of time: `python -m curation_assets.kernels`.

Numba compiles a kernel when it is first called and keeps the machine code beside the source. Doing that once, when
the package is installed, spares the first run of each worker about fifteen seconds.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.engine.local import LocalEngine

TEXT = "The harbour was quiet. Write to a.person@mail.test or ask 8.8.8.8 [1]\n\nThe harbour was quiet.\n" * 3


def _signals() -> None:
    from curation_assets.filtering.edits import apply_edits
    from curation_assets.filtering.signals import annotate_signals

    texts = pa.array([TEXT, None], pa.large_string())
    apply_edits(texts, annotate_signals(texts)["line_edits"].combine_chunks())


def _pii_and_packing() -> None:
    from curation_assets.filtering.pii import find_pii
    from curation_assets.packing.sequences import pack

    find_pii(pa.array([TEXT], pa.large_string()))
    for strategy in ("best_fit", "concat"):
        pack(np.arange(3), np.array([5, 3, 9]), sequence_length=4, strategy=strategy, shard_tokens=8)


def _minhash() -> None:
    from curation_assets.deduplication.clusters import cluster
    from curation_assets.deduplication.minhash import band_keys

    bands = band_keys(pa.array([TEXT, TEXT, "é"], pa.large_string()))
    dates = pa.array([0, 1, None], pa.timestamp("us", "UTC"))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"doc": [0, 1, 2], "date": dates, "bands": bands}), sink)
    cluster([pa.BufferReader(sink.getvalue())])


KERNELS = (_signals, _minhash, _pii_and_packing)


def compile_kernel(index: int) -> None:
    """Call one group of kernels on next to nothing."""
    KERNELS[index]()


def main() -> None:
    """Compile all, side by side."""
    with LocalEngine() as engine:
        for _ in engine.map(compile_kernel, range(len(KERNELS))):
            pass


if __name__ == "__main__":
    main()
