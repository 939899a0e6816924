"""Parity with datatrove: every gate of the fineweb recipe beside datatrove's own filter, on real pages.

datatrove's filters run one condition at a time with their published parameters. Each page on which a gate of ours
decides otherwise is given to datatrove's filter again with one thing as it is here: our words, our sentences, the
first thousand characters, the URL in lower case. The kind of a difference is the thing that makes it go away; what
nothing makes go away is *unexplained*, and a bug of ours. Clusters are compared as partitions of the same pages.

Needs the extra `peers` and folders of WARC files; `make parity FOLDER=...` sees to the extra:

    python -m benchmarks.parity [--pages N] FOLDER...
"""

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import operator
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.parity.comparison import Comparison, compare, markdown, table
from curation_assets.acquisition.documents import Extraction, read_documents
from curation_assets.filtering.edits import apply_edits
from curation_assets.filtering.language import identify_language
from curation_assets.filtering.signals import SIGNALS, annotate_signals
from curation_assets.recipes.loading import load_recipe

NEEDED = ("datatrove", "spacy", "nltk", "ahocorasick", "fasteners")
PAGES = 1500
EVERY_DOMAIN = 2000
"""Of this many listed domains one becomes a URL."""
MEASURED = 8
"""Of this many English pages one has its values compared, not only its verdicts."""
OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
RECIPE = load_recipe("fineweb")
LANGUAGE_SCORE = next(float(gate.limit) for _, _, gate in RECIPE.gates if gate.name == "language_score")
QUALITY_GATES = {
    gate.name: (station, gate.signal, gate.operator, float(gate.limit))
    for _, station, gate in RECIPE.gates
    if gate.signal in SIGNALS.names and gate.name != "clean_text_empty"
}
"""Station, signal, operator and limit, by the name of the gate."""


def read_pages(folders: Sequence[Path]) -> tuple[list[str], pa.LargeStringArray]:
    """URLs of all responses in the folders' WARC files, and the main content (resiliparse) of those that have any."""
    urls: list[str] = []
    texts: list[pa.Array] = []
    for file in sorted(itertools.chain.from_iterable(folder.rglob("*.warc.gz") for folder in folders)):
        with file.open("rb") as stream:
            for batch in read_documents(stream, 0, file.name, Extraction(extractor="resiliparse")):
                urls += [url for url in batch["url"].to_pylist() if url]
                texts.append(batch["text"].drop_null())
    return urls, pa.concat_arrays(texts) if texts else pa.array([], pa.large_string())


def english(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """The texts that our language gates leave."""
    table = identify_language(texts)
    keep = pc.call_function("equal", [table["language"], "en"])
    scored = pc.call_function("greater_equal", [table["language_score"], LANGUAGE_SCORE])
    return texts.filter(pc.call_function("and_kleene", [keep, scored]).combine_chunks())


@dataclass
class Quality:
    """The quality gates on some pages."""

    comparisons: list[Comparison]
    yardstick: list[int]
    """Pages on which datatrove decides otherwise than itself with NLTK's words."""
    unequal: int
    """Pages on which datatrove, given our words and sentences, decides anything otherwise or leaves another text."""
    unstripped: int
    """Pages of which it leaves the same text but for white space at its ends."""
    measured: int
    mismeasured: Counter[str]
    """Of the pages whose values were compared too: by gate, how many of them are not equal."""


def compare_quality(texts: pa.LargeStringArray) -> Quality:
    """Compare the quality gates on English texts."""
    from benchmarks.parity.quality import judge

    signals = annotate_signals(texts)
    cleaned = apply_edits(texts, signals["line_edits"].combine_chunks()).to_pylist()
    values = {name: signals[signal].to_pylist() for name, (_, signal, _, _) in QUALITY_GATES.items()}
    ours: dict[str, list[bool]] = {
        name: [OPERATORS[symbol](value, limit) for value in values[name]]
        for name, (_, _, symbol, limit) in QUALITY_GATES.items()
    }
    pages = range(len(texts))
    measured = [
        {name: (values[name][page], gate[2] == "<") for name, gate in QUALITY_GATES.items()}
        if page % MEASURED == 0
        else None
        for page in pages
    ]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")) as pool:
        judged = list(pool.map(judge, texts.to_pylist(), measured, chunksize=16))

    def drops(page: int, segmentation: str, gates: Sequence[str]) -> bool:
        verdicts = judged[page].verdicts
        verdict = verdicts.get(segmentation, verdicts["datatrove"])
        return any(verdict[gate] for gate in gates)

    def empty(page: int, gates: Sequence[str]) -> bool:
        # Of a text without lines FineWeb's filter says nothing but that.
        fineweb = any(QUALITY_GATES[gate][0] == "fineweb_quality" for gate in gates)
        return drops(page, "ours", [*gates, "fineweb_empty"] if fineweb else gates)

    comparisons, yardstick = [], []
    unequal = {page for page in pages if judged[page].cleaned != cleaned[page].strip()}
    unstripped = sum(one.cleaned != text for one, text in zip(judged, cleaned, strict=True)) - len(unequal)
    for name, gates in [*((gate, [gate]) for gate in ours), ("any of these", list(ours))]:
        theirs, alike, nltk = ([drops(page, one, gates) for page in pages] for one in ("datatrove", "ours", "NLTK"))
        kinds = {
            kind: partial(drops, segmentation=segmentation, gates=gates)
            for kind, segmentation in (("words", "words"), ("sentences", "sentences"), ("words and sentences", "ours"))
        }
        nothing = {"empty text": partial(empty, gates=gates)}
        mine = [any(ours[gate][page] for gate in gates) for page in pages]
        comparisons.append(compare(name, mine, theirs, kinds | nothing))
        unequal.update(compare(name, mine, alike, nothing).unexplained)
        yardstick.append(sum(map(operator.ne, theirs, nltk)))
    mismeasured = Counter(gate for one in judged for gate in one.mismeasured)
    return Quality(comparisons, yardstick, len(unequal), unstripped, len(measured) - measured.count(None), mismeasured)


class ClusterRow(NamedTuple):
    """A row of the table of clusters."""

    words: str
    equal_signatures: int
    theirs: int
    ours: int
    equal: int
    dropped_by_theirs: int
    dropped_by_ours: int


def cluster_rows(texts: list[str]) -> Iterator[ClusterRow]:
    """Rows of the table of clusters: the same words, then datatrove's own."""
    import loguru  # pyright: ignore[reportMissingImports]

    from benchmarks.parity.clusters import equal_signatures, our_clusters, their_clusters
    from benchmarks.parity.quality import segmentations

    loguru.logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        ours = our_clusters(texts, Path(folder))
    for label, name in (("our words", "ours"), ("its own words", "datatrove")):
        words = segmentations()[name]
        other = equal_signatures(texts, words)
        with tempfile.TemporaryDirectory() as folder:
            theirs = their_clusters(texts, words, Path(folder))
        sizes = len(theirs), len(ours), len(theirs & ours)
        dropped = (sum(map(len, one)) - len(one) for one in (theirs, ours))
        yield ClusterRow(label, len(texts) - len(other), *sizes, *dropped)


def main() -> None:
    """Print the tables; the last line is JSON."""
    parser = argparse.ArgumentParser(description="Compare with datatrove on real pages.")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--pages", type=int, default=PAGES, help="the most pages for language, and for quality")
    arguments = parser.parse_args()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    absent = [str(folder) for folder in arguments.folders if not folder.is_dir()]
    if missing or absent or not arguments.folders:
        print(f"skipped: needs the extra `peers` (missing: {missing}) and folders of WARC files (absent: {absent})")
        return
    os.environ["TQDM_DISABLE"] = "1"
    from benchmarks.parity.metadata import PublishedLists, compare_languages, compare_urls

    began = time.perf_counter()
    urls, texts = read_pages(arguments.folders)

    def some(column: pa.LargeStringArray) -> pa.LargeStringArray:
        step = max(-(-len(column) // max(arguments.pages, 1)), 1)
        return column.take(pa.array(range(0, len(column), step)))

    found: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder:
        lists = PublishedLists(Path(folder))
        for title, column in ((f"{len(urls):,} URLs", urls), ("URLs made of the lists", lists.variants(EVERY_DOMAIN))):
            print(f"\n## {title}, with datatrove's lists\n")
            found += compare_urls(column, lists)
            print(table(found[-4:]))
        del lists
    pages = some(texts)
    print(f"\n## Language of {len(pages):,} pages\n")
    languages = compare_languages(pages.to_pylist(), LANGUAGE_SCORE)
    print(table(languages))
    pages = some(english(texts))
    print(f"\n## Quality of {len(pages):,} English pages\n")
    quality = compare_quality(pages)
    print(table(quality.comparisons, {"datatrove ≠ itself with NLTK's words": quality.yardstick}))
    print(
        f"\nGiven our words and sentences, datatrove's filters decide otherwise or leave another text on "
        f"{quality.unequal} pages; on {quality.unstripped} more the text differs by white space at its ends. "
        f"Values that differ in any bit, on {quality.measured} pages: {dict(quality.mismeasured) or 'none'}."
    )
    print(f"\n## Clusters of {len(texts):,} pages\n")
    header = ["datatrove with", "equal signatures", "clusters", "ours", "equal", "dropped", "ours"]
    clusters = list(cluster_rows(texts.to_pylist()))
    print(markdown(header, clusters))
    found += languages + quality.comparisons
    unexplained = {one.name: len(one.unexplained) for one in found if one.unexplained}
    seconds = round(time.perf_counter() - began)
    answer = {
        "name": "parity",
        "unexplained": unexplained,
        "unequal": quality.unequal,
        "mismeasured": quality.mismeasured,
        "unequal_signatures": len(texts) - clusters[0].equal_signatures,
        "same_clusters": clusters[0].equal == clusters[0].theirs == clusters[0].ours,
        "seconds": seconds,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
