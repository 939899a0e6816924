"""All Numba kernels: compiled ahead of time (`python -m curation_assets.kernels`), and loaded once for all workers.

Numba compiles a kernel when it is first called and keeps the machine code beside the source. Doing that when the
package is installed spares the first run about fifteen seconds. Loading the code takes a second a process: the fork
server does it once, and workers start with it in place.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TEXT = "The harbour was quiet. Write to a.person@mail.test or ask 8.8.8.8 [1]\n\nThe harbour was quiet.\n" * 3


def part_kernels() -> None:
    """Call every kernel that workers use on next to nothing. Starts no thread: a fork server may do this."""
    from curation_assets.acquisition.main_content import MainContent
    from curation_assets.deduplication.bloom import windows
    from curation_assets.deduplication.clusters import KeyJob, link
    from curation_assets.deduplication.exact import text_keys, url_keys
    from curation_assets.deduplication.minhash import sign
    from curation_assets.deduplication.segments import segments
    from curation_assets.deduplication.simhash import fingerprints
    from curation_assets.filtering.edits import apply_edits
    from curation_assets.filtering.fasttext_labels import top_labels
    from curation_assets.filtering.fasttext_model import LID_176
    from curation_assets.filtering.language_scripts import language_scripts
    from curation_assets.filtering.pii import find_pii
    from curation_assets.filtering.segmentation import word_boundaries
    from curation_assets.filtering.signals import annotate_signals

    MainContent()(b"<body><p>The harbour was quiet.</p></body>", False)
    texts = pa.array([TEXT, None, "é"], pa.large_string())
    apply_edits(texts, annotate_signals(texts)["line_edits"].combine_chunks())
    for hash_function in ("sha1", "xxhash"):
        sign(texts, hash_function=hash_function, groups=pa.array(["en"] * 3), sample=1.0, all_shingles=True)
    find_pii(texts)
    text_keys(texts)
    url_keys(texts)
    segments(texts, "line")
    fingerprints(texts)
    windows([pa.record_batch({"doc": pa.array([0, 1, 2]), "text": texts})])
    link(KeyJob([], 1, 1, Path(), Path()).run(np.zeros((2, 1), np.uint64), 0)[0])
    top_labels(texts, LID_176)
    language_scripts(texts, pa.array(["en"] * 3))
    word_boundaries(texts, pa.array(["tha_Thai"] * 3))


def snapshot_kernels() -> None:
    """The same for the kernels that see a whole snapshot."""
    from curation_assets.deduplication import bloom, simhash
    from curation_assets.deduplication.audit import audit
    from curation_assets.deduplication.clusters import cluster
    from curation_assets.deduplication.minhash import SIGNED, sign
    from curation_assets.deduplication.substring import duplicate_spans
    from curation_assets.lake.parts import PartWriter
    from curation_assets.packing.sequences import pack
    from curation_assets.packing.shards import copy_runs

    for strategy in ("best_fit", "concat"):
        pack(np.arange(3), np.array([5, 3, 9]), sequence_length=4, strategy=strategy, shard_tokens=8)
    start = np.zeros(1, np.int64)
    for width in (np.uint16, np.uint32):  # ids lie in memory-mapped files
        copy_runs(np.frombuffer(bytes(8), width), start, start, start + 1, np.empty(1, width))
    texts = pa.array([TEXT, TEXT, "é"], pa.large_string())
    dates = pa.array([0, 1, None], pa.timestamp("us", "UTC"))
    signed = sign(texts, sample=1.0, all_shingles=True)
    table = pa.table({"doc": [0, 1, 2], "date": dates, "text": texts, **{name: signed[name] for name in SIGNED}})
    table = table.append_column("fingerprint", simhash.fingerprints(texts))
    with TemporaryDirectory() as folder:
        part, windows = Path(folder, "part.parquet"), Path(folder, "part.arrow")
        pq.write_table(table, part)
        cluster([part])
        cluster([part], jaccard=0.5)
        audit([part], 14, 8)
        simhash.cluster([part])
        for unit in ("bytes", "words"):
            duplicate_spans([part], unit=unit, length=3)
        with PartWriter(windows, bloom.WINDOWS, "") as writer:
            writer.write(bloom.windows(table.select(["doc", "text"]).to_batches()))
        bloom.deduplicate([windows], bloom.BloomFilter.sized(9))


if __name__ == "__main__":
    part_kernels()
    snapshot_kernels()
