"""SimHash fingerprints, from text, and their clusters, against NumPy over ready-made words.

Usage: `python benchmarks/simhash.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one they
are words drawn by Zipf's law. The peer follows the definition in NumPy, with MD5 of each distinct word, and is given
the words and how often each occurs; its index is a dictionary of blocks. That is what the package `simhash` 2.1 does,
which with NumPy 2 fails on a word that occurs 256 times. Both look up pairs within 3 bits, ours in more fingerprints.
Times are CPU seconds.
"""

import hashlib
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import report, some_texts

from curation_assets.deduplication.shingles import simplified_words
from curation_assets.deduplication.simhash import cluster, fingerprints

TEXTS, FINGERPRINTS, SOME = 4000, 1_000_000, 20_000
DISTANCE = 3


def plain_fingerprint(weights: dict[str, int]) -> int:
    """A fingerprint by the definition."""
    digests = b"".join(hashlib.md5(word.encode()).digest()[:8] for word in weights)
    bits = np.unpackbits(np.frombuffer(digests, np.uint8)).reshape(-1, 64)
    sums = np.fromiter(weights.values(), np.float64) @ (2.0 * bits - 1)
    return int(np.packbits(sums > 0).view(">u8")[0])


def plain_pairs(values: list[int]) -> int:
    """How many pairs are near, by a dictionary of blocks."""
    found = set()
    for block in range(DISTANCE + 1):
        buckets = defaultdict(list)
        for i, value in enumerate(values):
            key = value >> 16 * block & 0xFFFF
            found |= {(j, i) for j in buckets[key] if (values[j] ^ value).bit_count() <= DISTANCE}
            buckets[key].append(i)
    return len(found)


def main() -> None:
    """Print both rates and their ratios."""
    array = some_texts(TEXTS)
    fingerprints(array[:10])
    start = time.process_time()
    fingerprints(array)
    ours = len(array) / (time.process_time() - start)
    some = [Counter(text.split()) for text in simplified_words(array[:: max(len(array) // 500, 1)]).to_pylist()]
    start = time.process_time()
    for weights in some:
        plain_fingerprint(weights)
    peer = len(some) / (time.process_time() - start)

    random = np.random.default_rng(1)
    values = random.integers(0, 2**64, FINGERPRINTS, np.uint64)
    near = random.integers(0, 64, (FINGERPRINTS // 20, DISTANCE)).astype(np.uint64)
    values[1::10] = values[::10]
    values[1::20] ^= np.bitwise_or.reduce(np.uint64(1) << near, axis=1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, "few.parquet"), Path(folder, "all.parquet")]
        for path, size in zip(paths, (10, FINGERPRINTS), strict=True):
            columns = {"doc": np.arange(size), "date": pa.nulls(size, pa.timestamp("us", "UTC"))}
            pq.write_table(pa.table(columns | {"fingerprint": values[:size]}), path)
        cluster(paths[:1])
        start = time.process_time()
        clusters = cluster(paths[1:])
        lookups = FINGERPRINTS / (time.process_time() - start)
    start = time.process_time()
    found = plain_pairs(values[:SOME].tolist())
    peer_lookups = SOME / (time.process_time() - start)

    megabytes = array.nbytes / len(array) / 1e6
    print(f"{len(array):,} documents of {megabytes * 1e3:.1f} kB")
    print(f"ours, from text             {ours:12,.0f} documents/s {ours * megabytes:7.1f} MB/s")
    print(f"NumPy, from words           {peer:12,.0f} documents/s {peer * megabytes:7.1f} MB/s")
    print(f"ratio                       {ours / peer:12.1f}")
    print(f"ours, clusters              {lookups:12,.0f} fingerprints/s, {len(clusters):,} of {FINGERPRINTS:,} in one")
    print(f"Python, pairs               {peer_lookups:12,.0f} fingerprints/s, {found:,} pairs of {SOME:,}")
    print(f"ratio                       {lookups / peer_lookups:12.1f}")
    report("simhash", ours, peer, lookup_ratio=lookups / peer_lookups)


if __name__ == "__main__":
    main()
