"""Clusters of one million documents against Polars' window functions and a union-find on a Python dict.

30 % of the documents are near-duplicates of another one at Jaccard 0.85, so that they share each of the 14 bands
with probability 0.85 ** 8. Both read the same 20 Parquet parts and must find the same survivors. Each runs in a
process of its own, for its peak memory, and for what it added to the process. The same documents as two snapshots in a
band index, the second matched against the first, follow. Times are CPU seconds, without imports and compilation.
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

from curation_assets.deduplication.band_index import match, write_segment
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


def indexed(paths: list[Path]) -> list[int]:
    """Documents of the second half of the parts that do not survive, by segments of both halves."""
    half = len(paths) // 2
    segments = {"a": paths[0].parent / "a", "b": paths[0].parent / "b"}
    write_segment(paths[:half], segments["a"])
    write_segment(paths[half:], segments["b"])
    table = match(segments, "b")
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
    """CPU seconds, peak memory in MB, what of it was added, and result, after a first call on a few documents."""
    function(few)
    memory, start = peak(), time.process_time()
    dropped = function(paths)
    return time.process_time() - start, peak(), peak() - memory, dropped


def apart(function: Callable, *arguments: object) -> Any:
    """Call a function in a fresh process. This one stays small, as a child inherits its parent's peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print both rates, peak memory and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        paths = apart(write_parts, Path(folder, "all"), DOCUMENTS)
        few = apart(write_parts, Path(folder, "few"), 1000)
        results = [apart(measure, function, few, paths) for function in (ours, peer, indexed)]
    rates = [DOCUMENTS / seconds for seconds, *_ in results]
    names = ("ours", "Polars + dict", "band index")
    for name, rate, (_, whole, added, dropped) in zip(names, rates, results, strict=True):
        print(
            f"{name:14} {rate:10,.0f} documents/s, {whole:5,.0f} MB at most, of which {added:4,.0f} MB or "
            f"{added * (1 << 20) / DOCUMENTS:3.0f} bytes a document for this, {len(dropped):,} dropped"
        )
    assert results[0][-1] == results[1][-1]
    print(f"{'ratio':14} {rates[0] / rates[1]:10.1f}")
    report("clusters", *rates[:2], peak_mb=results[0][1], index=rates[2], index_peak_mb=results[2][1])


if __name__ == "__main__":
    main()
