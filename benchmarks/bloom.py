"""Paragraphs and documents by a Bloom filter, from text, against BFF's loop in Python over ready-made words.

Usage: `python benchmarks/bloom.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one they
are invented paragraphs, of which three in ten come again. The peer's filter is rbloom's (Rust) where that is
installed, else a Python set, which is faster but grows without bound. Its words are found beforehand; ours are found,
hashed, written to a file and read again. Times are CPU seconds.
"""

import importlib.util
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import given_texts, invented_phrases, report

from curation_assets.deduplication.bloom import WINDOWS, BloomFilter, count_windows, deduplicate, windows
from curation_assets.filtering.words import words
from curation_assets.lake.parts import PartWriter, read_batches

DOCUMENTS, NGRAM, THRESHOLD = 4000, 13, 0.8


def texts() -> pa.LargeStringArray:
    """The texts to measure on."""
    given = given_texts()
    if given is not None:
        return given
    random = np.random.default_rng(1)
    paragraphs = invented_phrases(random, 4, 0.6)
    pool = list(islice(paragraphs, DOCUMENTS))
    made = [
        "\n".join(
            pool[random.integers(len(pool))] if random.random() < 0.3 else next(paragraphs)
            for _ in range(int(random.integers(1, 15)))
        )
        for _ in range(DOCUMENTS)
    ]
    return pa.array(made, pa.large_string())


def ours(part: Path) -> tuple[pa.Table, float, float]:
    """What is removed, and CPU seconds of hashing and of deduplication."""
    start = time.process_time()
    hashed = part.with_suffix(".arrow")
    with PartWriter(hashed, WINDOWS, "") as writer:
        writer.write(windows(read_batches(part, ["doc", "text"]), NGRAM))
    middle = time.process_time()
    removals = deduplicate([hashed], BloomFilter.sized(count_windows([hashed])), THRESHOLD)
    return removals, middle - start, time.process_time() - middle


def peer(documents: list[list[list[str]]], ngrams: int) -> tuple[int, float, str]:
    """Documents removed, CPU seconds, and which filter it was."""
    seen: Any = set()
    name = "Python set"
    if importlib.util.find_spec("rbloom"):
        import rbloom  # pyright: ignore[reportMissingImports]

        seen, name = rbloom.Bloom(ngrams, 0.01), "rbloom"
    removed = 0
    start = time.process_time()
    for paragraphs in documents:
        total = contained = 0
        for tokens in paragraphs:
            grams = [tuple(tokens[i : i + NGRAM]) for i in range(len(tokens) - NGRAM + 1)]
            found = sum(gram in seen for gram in grams)
            total += len(grams)
            contained += found
            if grams and not found / len(grams) > THRESHOLD:
                seen.update(grams)
        removed += total > 0 and contained / total > THRESHOLD
    return removed, time.process_time() - start, name


def main() -> None:
    """Print both rates and their ratio."""
    array = texts()
    megabytes = array.nbytes / 1e6
    with tempfile.TemporaryDirectory() as folder:
        few, part = Path(folder, "few.parquet"), Path(folder, "part.parquet")
        table = pa.table({"doc": np.arange(len(array)), "text": array})
        pq.write_table(table[:10], few)
        pq.write_table(table, part)
        ours(few)
        removals, hashing, deciding = ours(part)
        hashed = pa.ipc.open_file(part.with_suffix(".arrow")).read_all()
        ngrams = count_windows([part.with_suffix(".arrow")])
    # The peer takes some of the documents where there are many, in our order.
    order = hashed["doc"].to_pylist()[:: max(len(array) // 4000, 1)]
    some = array.take(pa.array(order)).to_pylist()
    size = sum(len(text.encode()) for text in some) / 1e6
    dropped, seconds, name = peer([[words(line) for line in text.split("\n")] for text in some], ngrams)
    ours_rate, peer_rate = megabytes / (hashing + deciding), size / seconds
    found = int(np.count_nonzero(removals["removed"].to_numpy()))
    print(f"{len(array):,} documents of {megabytes / len(array) * 1e3:.1f} kB, {ngrams:,} windows")
    print(f"ours, from text          {ours_rate:8.1f} MB/s, {found} of {len(array)} documents removed")
    print(f"    windows              {megabytes / hashing:8.1f} MB/s, any number of workers")
    print(f"    deduplicate          {megabytes / deciding:8.1f} MB/s, {ngrams / deciding / 1e6:.1f} million windows/s")
    print(f"{name + ', from words':24} {peer_rate:8.1f} MB/s, {dropped} of {len(some)} documents removed")
    print(f"ratio                    {ours_rate / peer_rate:8.1f}")
    report("bloom", ours_rate, peer_rate)


if __name__ == "__main__":
    main()
