"""Clusters of one million documents against Polars' window functions and a union-find on a Python dict.

30 % of the documents are near-duplicates of another one at Jaccard 0.85, so that they share each of the 14 bands
with probability 0.85 ** 8. Both read the same 20 Parquet parts and must find the same survivors. Each runs in a
process of its own, for its peak memory above what the process held before. Times are CPU seconds, without
imports and compilation.
"""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measure import report

from curation_assets.deduplication.clusters import cluster

DOCUMENTS, BANDS, PARTS = 1_000_000, 14, 20


def write_parts(folder: Path, documents: int) -> list[Path]:
    """Parquet parts with the band keys of invented documents."""
    folder.mkdir()
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**64, (documents, BANDS), np.uint64)
    copies = random.permutation(documents)[: documents * 3 // 10]
    shared = random.random((len(copies), BANDS)) < 0.85**8
    keys[copies] = np.where(shared, keys[random.integers(0, documents, len(copies))], keys[copies])
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(documents), PARTS)):
        bands = pa.FixedSizeListArray.from_arrays(pa.array(keys[rows].reshape(-1)), BANDS)
        date = pa.array(rows % 1000, pa.timestamp("us", "UTC"))
        paths.append(folder / f"{number}.parquet")
        pq.write_table(pa.table({"doc": rows, "date": date, "bands": bands}), paths[-1])
    return paths


def ours(paths: list[Path]) -> list[int]:
    """Documents that do not survive, by `cluster`."""
    table = cluster(paths)
    return table.filter(~pc.field("survivor"))["doc"].to_pylist()


def peer(paths: list[Path]) -> list[int]:
    """Documents that do not survive: edges by `min().over` one band at a time, components in a dict."""
    frame = pl.read_parquet(paths)
    parent: dict[int, int] = {}

    def root(doc: int) -> int:
        while parent.setdefault(doc, doc) != doc:
            parent[doc] = parent[parent[doc]]
            doc = parent[doc]
        return doc

    for band in range(BANDS):
        key = pl.col("bands").arr.get(band)
        edges = frame.select("doc", first=pl.col("doc").min().over(key)).filter(pl.col("doc") > pl.col("first"))
        for a, b in edges.iter_rows():
            a, b = root(a), root(b)
            parent[max(a, b)] = min(a, b)
    components = pl.DataFrame({"doc": list(parent), "root": [root(doc) for doc in parent]})
    members = components.join(frame.select("doc", "date"), on="doc").sort("date", "doc")
    return (
        members.filter(pl.struct("root").is_duplicated() & ~pl.col("root").is_first_distinct())["doc"].sort().to_list()
    )


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(function: Callable[[list[Path]], list[int]], few: list[Path], paths: list[Path]) -> tuple:
    """CPU seconds, added peak memory in MB and result, after a first call on a few documents."""
    function(few)
    memory, start = peak(), time.process_time()
    dropped = function(paths)
    return time.process_time() - start, peak() - memory, dropped


def apart(function: Callable, *arguments: object) -> Any:
    """Call a function in a fresh process. This one stays small, as a child inherits its parent's peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print both rates, peak memory and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        paths = apart(write_parts, Path(folder, "all"), DOCUMENTS)
        few = apart(write_parts, Path(folder, "few"), 1000)
        results = [apart(measure, function, few, paths) for function in (ours, peer)]
    rates = [DOCUMENTS / seconds for seconds, _, _ in results]
    for name, rate, (_, memory, dropped) in zip(("ours", "Polars + dict"), rates, results, strict=True):
        print(f"{name:14} {rate:10,.0f} documents/s, {memory:5,.0f} MB, {len(dropped):,} dropped")
    assert results[0][2] == results[1][2]
    print(f"{'ratio':14} {rates[0] / rates[1]:10.1f}")
    report("clusters", *rates)


if __name__ == "__main__":
    main()
