"""Clusters of one million documents, from signatures, against Polars, datatrove's stages 2 and 3, and datasketch's LSH.

30 % of the documents are near-duplicates of another one at Jaccard 0.85, so that they share each of the 14 bands
with probability 0.85 ** 8. Ours and Polars (window functions and a union-find on a Python dict) read the same 20
Parquet parts of band keys and must find the same survivors. datatrove gets the same parts with each band as eight
hashes, in the files that its stage 1 writes, datasketch those of the first tenth of the documents as signatures in
memory, and both must find the clusters that ours finds; of datasketch it is `MinHashLSH`, filled and then asked for
every document, and a union-find. Each runs in a process of its own, for its peak memory, and for what it added to the
process. The same documents as two snapshots in a band index, the second matched against the first, follow. Times are
CPU seconds, without imports and compilation.
"""

import importlib.util
import multiprocessing
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
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
ROWS = 8
TENTH = PARTS // 10
Partition = set[frozenset[int]]


def write_parts(folder: Path, documents: int) -> list[Path]:
    """Parquet parts with the band keys of invented documents."""
    folder.mkdir()
    random = np.random.default_rng(1)
    keys = random.integers(0, 2**61 - 1, (documents, BANDS), np.uint64)  # as datatrove's hashes
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

    def edges() -> Iterator[tuple[int, int]]:
        for band in range(BANDS):
            key = pl.col("bands").arr.get(band)
            found = frame.select("doc", first=pl.col("doc").min().over(key)).filter(pl.col("doc") > pl.col("first"))
            yield from found.iter_rows()

    found = roots(edges())
    components = pl.DataFrame({"doc": list(found), "root": list(found.values())})
    members = components.join(frame.select("doc", "date"), on="doc").sort("date", "doc")
    return (
        members.filter(pl.struct("root").is_duplicated() & ~pl.col("root").is_first_distinct())["doc"].sort().to_list()
    )


def given_bands(paths: list[Path]) -> np.ndarray:
    """Band keys, uint64[n, bands]."""
    return pl.read_parquet(paths)["bands"].to_numpy()


def our_clusters(paths: list[Path]) -> Partition:
    """Clusters of the parts, by `cluster`."""
    table = cluster(paths)
    return partition(zip(table["doc"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def partition(members: Iterable[tuple[int, int]]) -> Partition:
    """Documents by the name of their cluster."""
    groups: dict[int, list[int]] = defaultdict(list)
    for document, name in members:
        groups[name].append(document)
    return {frozenset(group) for group in groups.values()}


def roots(edges: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Each document that has an edge, and the smallest of its component."""
    parent: dict[int, int] = {}

    def root(doc: int) -> int:
        while parent.setdefault(doc, doc) != doc:
            parent[doc] = parent[parent[doc]]
            doc = parent[doc]
        return doc

    for a, b in edges:
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    return {doc: root(doc) for doc in parent}


def components(edges: Iterable[tuple[int, int]]) -> Partition:
    """Clusters of two or more that the edges make."""
    return partition(roots(edges).items())


def datatrove_stages(paths: list[Path]) -> Callable[[], Partition]:
    """datatrove's stages 2 and 3, of what its stage 1 would have written: a file for each part and band."""
    import loguru  # pyright: ignore[reportMissingImports]
    from datatrove.pipeline.dedup.minhash import (  # pyright: ignore[reportMissingImports]
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
    )
    from datatrove.utils.hashing import HashConfig  # pyright: ignore[reportMissingImports]

    loguru.logger.remove()
    config = MinhashConfig(hash_config=HashConfig(precision=64, hash_fc="sha1"))
    root = Path(tempfile.mkdtemp(dir=paths[0].parent))
    firsts = [0]
    for number, path in enumerate(paths):
        keys = given_bands([path])
        firsts.append(firsts[-1] + len(keys))
        for band in range(BANDS):
            records = np.zeros(len(keys), [*((f"hash{row}", "<u8") for row in range(ROWS)), ("doc", "<u4")])
            for row in range(ROWS):
                records[f"hash{row}"] = keys[:, band]
            records["doc"] = np.arange(len(keys))
            records = records[np.argsort(keys[:, band], kind="stable")]
            folder = root / "signatures" / f"bucket_{band:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:05d}.minhash.sig").write_bytes(records.tobytes())

    def run() -> Partition:
        for band in range(BANDS):
            MinhashDedupBuckets(str(root / "signatures"), str(root / "pairs"), config=config).run(None, band, BANDS)
        MinhashDedupCluster(str(root / "pairs"), str(root / "found"), config, save_cluster_id=True).run(None, 0, 1)
        files = [(int(file.stem), np.fromfile(file, "<u4")) for file in (root / "found").glob("*.clusters")]
        pairs = ((number, document, of) for number, rows in files for document, of in rows.reshape(-1, 2).tolist())
        return partition((firsts[number] + document, of) for number, document, of in pairs)

    return run


def datasketch_lsh(paths: list[Path]) -> Callable[[], Partition]:
    """datasketch's LSH, filled with and then asked for every signature."""
    from datasketch import LeanMinHash, MinHashLSH

    hashes = np.repeat(given_bands(paths), ROWS, axis=1)
    signed = [LeanMinHash(seed=1, hashvalues=row, scheme="legacy") for row in hashes]

    def run() -> Partition:
        index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        with index.insertion_session() as session:
            for document, signature in enumerate(signed):
                session.insert(document, signature, check_duplication=False)
        return components(
            (document, int(other))  # pyright: ignore[reportArgumentType]
            for document, signature in enumerate(signed)
            for other in index.query(signature)
            if other != document
        )

    return run


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(function: Callable[[list[Path]], list[int]], few: list[Path], paths: list[Path]) -> tuple:
    """CPU seconds, peak memory in MB, what of it was added, and result, after a first call on a few documents."""
    function(few)
    memory, start = peak(), time.process_time()
    dropped = function(paths)
    return time.process_time() - start, peak(), peak() - memory, dropped


def prepared(prepare: Callable[[list[Path]], Callable[[], Partition]], paths: list[Path]) -> tuple[float, Partition]:
    """CPU seconds and clusters of work that is prepared first."""
    work = prepare(paths)
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def apart(function: Callable, *arguments: object) -> Any:
    """Call a function in a fresh process. This one stays small, as a child inherits its parent's peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print the rates, peak memory and the ratios."""
    os.environ["TQDM_DISABLE"] = "1"
    peers = {"datatrove": (datatrove_stages, PARTS), "datasketch": (datasketch_lsh, TENTH)}
    for name in [name for name in peers if importlib.util.find_spec(name) is None]:
        print(f"skipped: {name} is not installed; `make bench` installs it")
        del peers[name]
    with tempfile.TemporaryDirectory() as folder:
        paths = apart(write_parts, Path(folder, "all"), DOCUMENTS)
        few = apart(write_parts, Path(folder, "few"), 1000)
        results = [apart(measure, function, few, paths) for function in (ours, peer, indexed)]
        rates_of_peers = {}
        for name, (prepare, parts) in peers.items():
            seconds, found = apart(prepared, prepare, paths[:parts])
            assert found == apart(our_clusters, paths[:parts]), f"{name} finds other clusters"
            rates_of_peers[name] = DOCUMENTS * parts / PARTS / seconds
    rates = [DOCUMENTS / seconds for seconds, *_ in results]
    names = ("ours", "Polars + dict", "band index")
    for name, rate, (_, whole, added, dropped) in zip(names, rates, results, strict=True):
        print(
            f"{name:14} {rate:10,.0f} documents/s, {whole:5,.0f} MB at most, of which {added:4,.0f} MB or "
            f"{added * (1 << 20) / DOCUMENTS:3.0f} bytes a document for this, {len(dropped):,} dropped"
        )
    assert results[0][-1] == results[1][-1]
    print(f"{'ratio':14} {rates[0] / rates[1]:10.1f}")
    ratios = {}
    for name, rate in rates_of_peers.items():
        ratios[name] = rates[0] / rate
        print(f"{name:14} {rate:10,.0f} documents/s, the same clusters; ratio {ratios[name]:,.1f}")
    report(
        "clusters",
        rates[0],
        rates[1],
        ratios,
        facts={"peak_mb": results[0][1]},
        index=rates[2],
        index_peak_mb=results[2][1],
    )


if __name__ == "__main__":
    main()
