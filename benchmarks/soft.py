"""The language model of soft deduplication, from text, against Kneser-Ney in Python dictionaries over ready-made words.

Usage: `python benchmarks/soft.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one they
are words drawn by Zipf's law. Both train on the texts and then score each of them, and must agree on how common
it is; ours also simplifies the text and finds the words, twice. The peer takes some of the texts where they are many,
and then has fewer n-grams to find. Times are CPU seconds.
"""

import math
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import report, some_texts

from curation_assets.deduplication.shingles import simplified_words
from curation_assets.deduplication.soft import WEIGHTS, weigh

TEXTS, SOME = 8000, 1000
CELLS = 1 << 24


def plain_commonness(documents: list[list[str]]) -> list[float]:
    """Train and score in dictionaries."""
    padded = [["", "", "", *words] for words in documents]
    counts = [Counter(gram for words in padded for gram in zip(*(words[k:] for k in range(4)), strict=False))]
    while len(counts) < 4:
        counts.insert(0, Counter(gram[1:] for gram in counts[0]))
    totals, follow, discounts = [], [], []
    for order in counts:
        total: Counter[tuple[str, ...]] = Counter()
        for gram, count in order.items():
            total[gram[:-1]] += count
        totals.append(total)
        follow.append(Counter(gram[:-1] for gram in order))
        times = Counter(order.values())
        discounts.append(times[1] / (times[1] + 2 * times[2]) if times[1] and times[2] else 0.5)
    out = []
    for words in padded:
        logs = 0.0
        for i in range(3, len(words)):
            p = 1 / (len(counts[0]) + 1)
            for k in range(4):
                gram = tuple(words[i - k : i + 1])
                context = gram[:-1]
                if totals[k][context]:
                    own = max(counts[k][gram] - discounts[k], 0)
                    p = (own + discounts[k] * follow[k][context] * p) / totals[k][context]
            logs += math.log(p)
        out.append(math.exp(logs / (len(words) - 3)) if len(words) > 3 else math.nan)
    return out


def ours(texts: pa.LargeStringArray, folder: str) -> tuple[pa.Table, float]:
    """A table of schema WEIGHTS and CPU seconds."""
    path = Path(folder, "part.parquet")
    pq.write_table(pa.table({"doc": np.arange(len(texts)), "text": texts}), path)
    start = time.process_time()
    table = weigh([path], CELLS)
    assert table.schema == WEIGHTS
    return table, time.process_time() - start


def main() -> None:
    """Print both rates and their ratio."""
    array = some_texts(TEXTS)
    some = array.take(pa.array(np.arange(0, len(array), max(len(array) // SOME, 1))))
    with tempfile.TemporaryDirectory() as folder:
        ours(array[:10], folder)
        table, seconds = ours(array, folder)
        same, _ = ours(some, folder)
    documents = [text.split() for text in simplified_words(some).to_pylist()]
    start = time.process_time()
    common = plain_commonness(documents)
    peer = some.nbytes / 1e6 / (time.process_time() - start)
    found = same["commonness"].fill_null(math.nan).to_numpy()
    assert np.allclose(found, common, rtol=1e-9, equal_nan=True)
    rate = array.nbytes / 1e6 / seconds
    weights = table["weight"].to_numpy()
    print(f"{len(array):,} documents of {array.nbytes / len(array) / 1e3:.1f} kB")
    print(f"ours, from text            {rate:8.1f} MB/s, weights {weights.min():.2f} to {weights.max():.2f}")
    print(f"dictionaries, from words   {peer:8.1f} MB/s, for {len(some):,} of the documents, the same commonness")
    print(f"ratio                      {rate / peer:8.1f}")
    report("soft", rate, peer)


if __name__ == "__main__":
    main()
