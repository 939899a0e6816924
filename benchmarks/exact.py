"""Exact keys: canonical URLs against courlan and w3lib, grouping of a million keys against Polars and a dictionary.

Invented URLs and keys; 30 % of the documents have the key of another one. courlan comes with trafilatura; w3lib is
used if it is there. Those who group read the same 20 Parquet parts and must find the same survivors, each in a
process of its own, for its peak memory above what the process held before; times are CPU seconds.
"""

import importlib
import importlib.util
import tempfile
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from clusters import apart, measure
from measure import fastest, report
from measure.keys import write_keys

from curation_assets.deduplication.canonical_urls import canonical_urls
from curation_assets.deduplication.exact import groups, text_keys

URLS, PEER_URLS = 300_000, 20_000
DOCUMENTS = 1_000_000
TAILS = [
    "/blog/2024/05/a-walk-in-the-hills/?utm_source=feed&utm_medium=rss",
    "/wiki/History_of_gl%c3%a4ss#Methods",
    "/product?id=4711&colour=red&size=XL&ref=home",
    "/a/./b/../index.html",
]
PARAGRAPH = "The harbour was quiet, and the boats of the night lay side by side – as they had for a hundred years. "


def invented_urls(count: int) -> list[str]:
    """URLs of four kinds, of about 75 bytes."""
    return [f"https://www.Site-{i // 4}.example{TAILS[i % 4]}" for i in range(count)]


def ours(paths: list[Path]) -> list[int]:
    """Documents that do not survive, by `groups`."""
    table = groups(paths)
    return table.filter(~pc.field("survivor"))["doc"].to_pylist()


def polars(paths: list[Path]) -> list[int]:
    """The same by sorting in memory."""
    frame = pl.read_parquet(paths, columns=["doc", "date", "key"]).sort("date", "doc", nulls_last=True)
    return frame.filter(~pl.col("key").is_first_distinct())["doc"].sort().to_list()


def dictionary(paths: list[Path]) -> list[int]:
    """The same a document at a time: the best so far of each key, as datatrove's exact deduplication keeps it."""
    best: dict[bytes, tuple] = {}
    dropped = []
    for path in paths:
        rows = pq.read_table(path, columns=["doc", "date", "key"]).to_pydict()
        for doc, date, key in zip(rows["doc"], rows["date"], rows["key"], strict=True):
            found = best.setdefault(key, (date, doc))
            if found < (date, doc):
                dropped.append(doc)
            elif found > (date, doc):
                dropped.append(found[1])
                best[key] = (date, doc)
    return sorted(dropped)


def compare_urls() -> dict[str, float]:
    """URLs per second of every one that is installed, ours first."""
    urls = invented_urls(URLS)
    array = pa.array(urls)
    canonical_urls(array[:1])
    rates = {"canonical_urls": URLS / fastest(lambda: canonical_urls(array))}
    for module, name in (("courlan", "normalize_url"), ("w3lib.url", "canonicalize_url")):
        package = module.partition(".")[0]
        if importlib.util.find_spec(package) is None:
            print(f"peer missing: {package} is not installed")
            continue
        function = getattr(importlib.import_module(module), name)
        began = time.perf_counter()
        for url in urls[:PEER_URLS]:
            function(url)
        rates[f"{package}.{name}"] = PEER_URLS / (time.perf_counter() - began)
    for name, rate in rates.items():
        print(f"{name:28} {rate:10,.0f} URLs/s")
    return rates


def main() -> None:
    """Print all rates, peak memory and the ratios."""
    # First, while this process is small: a child inherits its parent's peak memory.
    with tempfile.TemporaryDirectory() as folder:
        paths = apart(write_keys, Path(folder, "all"), DOCUMENTS)
        few = apart(write_keys, Path(folder, "few"), 1000)
        results = {function.__name__: apart(measure, function, few, paths) for function in (ours, polars, dictionary)}
    rates = {name: DOCUMENTS / seconds for name, (seconds, *_) in results.items()}
    for name, (_, memory, _, dropped) in results.items():
        print(f"groups, {name:20} {rates[name]:10,.0f} documents/s, {memory:5,.0f} MB, {len(dropped):,} dropped")
        assert dropped == results["ours"][-1]
    urls = list(compare_urls().values())
    texts = pa.array([PARAGRAPH * 50 + str(i) for i in range(2000)], pa.large_string())
    text_keys(texts[:1])
    text_rate = texts.nbytes / fastest(lambda: text_keys(texts)) / 1e6
    print(f"{'text_keys':28} {text_rate:10,.0f} MB/s")
    report(
        "exact",
        rates["ours"],
        rates["dictionary"],
        {"urls": urls[0] / urls[1]} if len(urls) > 1 else {},
        polars=rates["polars"],
        megabytes=results["ours"][1],
        urls=urls[0],
    )


if __name__ == "__main__":
    main()
