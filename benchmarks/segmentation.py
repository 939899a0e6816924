"""How often our words decide a quality gate otherwise than the words of the published tools.

The gates of the fineweb recipe are computed on the English pages of local WARC files three times, with the
same definitions but other words: ours (``words.py``), spaCy's blank English tokenizer with its rule
sentencizer (as datatrove since 0.4), and NLTK's Treebank word tokenizer on spaCy's sentences (close to
datatrove 0.2, the code that made FineWeb, which had punkt's sentences). Needs the ``peers`` extra and a
folder:

    python benchmarks/segmentation.py FOLDER [PAGES]
"""

import importlib.util
import operator
import sys
import time
from collections.abc import Callable
from itertools import combinations
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
from measure import report

from curation_assets.acquisition.documents import Extraction, read_documents
from curation_assets.filtering.language import identify_language
from curation_assets.filtering.signals import SIGNALS, annotate_signals
from curation_assets.recipes.loading import load_recipe
from curation_tests.filtering.slow_signals import slow_signals

PAGES = 1500
OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
GATES = [gate for _, _, gate in load_recipe("fineweb").gates if gate.signal in SIGNALS.names]


def english_pages(folder: Path, count: int) -> list[str]:
    """Main content of the first English pages of the folder's WARC files, as much of each file as of
    another."""
    files = sorted(folder.rglob("*.warc.gz"))
    pages: list[str] = []
    for done, file in enumerate(files, 1):
        quota = count * done // len(files)
        with file.open("rb") as stream:
            for batch in read_documents(stream, 0, file.name, Extraction.model_validate({}), sandboxed=False):
                texts = batch["text"].drop_null()
                languages = identify_language(texts)
                rows = zip(texts.to_pylist(), languages.to_pylist(), strict=True)
                pages += [text for text, row in rows if row["language"] == "en" and row["language_score"] > 0.65]
                if len(pages) >= quota:
                    break
        del pages[quota:]
    return pages


def peers() -> dict[str, tuple[Callable[[str], list[str]], Callable[[str], int]]]:
    """Word splitters and sentence counters of the published tools."""
    import nltk  # pyright: ignore[reportMissingImports]
    import spacy  # pyright: ignore[reportMissingImports]

    language: Any = spacy.blank("en")
    language.add_pipe("sentencizer")
    language.max_length = 10**9
    treebank = nltk.tokenize.NLTKWordTokenizer()

    def spacy_words(text: str) -> list[str]:
        return [word for token in language.tokenizer(text) if (word := token.text.strip())]

    def sentences(line: str) -> list[str]:
        return [sentence for span in language(line).sents if (sentence := span.text.strip())]

    def nltk_words(text: str) -> list[str]:
        return [word for sentence in sentences(text) for word in treebank.tokenize(sentence)]

    def count(line: str) -> int:
        return len(sentences(line))

    return {f"spaCy {spacy.__version__}": (spacy_words, count), f"NLTK {nltk.__version__}": (nltk_words, count)}


def failures(row: dict[str, Any]) -> list[bool]:
    """Whether each gate drops the document."""
    return [OPERATORS[gate.operator](row[gate.signal], gate.limit) for gate in GATES]


def main() -> None:
    """Print a Markdown table: pages dropped by each gate with our words, and decided otherwise with
    others."""
    missing = [name for name in ("spacy", "nltk") if importlib.util.find_spec(name) is None]
    if missing or len(sys.argv) < 2:
        print(f"skipped: needs a folder of WARC files as argument and the peers extra (missing: {missing})")
        return
    pages = english_pages(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else PAGES)
    texts = pa.array(pages, pa.large_string())
    annotate_signals(texts[:1])
    began = time.perf_counter()
    signals = {"ours": annotate_signals(texts).to_pylist()}
    rate = len(pages) / (time.perf_counter() - began)
    began = time.perf_counter()
    for name, (split, count) in peers().items():
        signals[name] = [slow_signals(page, split, count)[0] for page in pages]
    peer_rate = 2 * len(pages) / (time.perf_counter() - began)

    dropped = {name: [failures(row) for row in rows] for name, rows in signals.items()}
    pairs = list(combinations(dropped, 2))
    print(f"{len(pages):,} English pages\n")
    print("| gate |", " | ".join(f"dropped, {name}" for name in dropped), end=" | ")
    print(" | ".join(f"{one} ≠ {other}" for one, other in pairs), "|")
    print("|---|" + "---|" * (len(dropped) + len(pairs)))
    for label, decide in [
        *((f"`{gate.name}`", itemgetter(i)) for i, gate in enumerate(GATES)),
        ("any of all gates", any),
    ]:
        drops = {name: [decide(row) for row in rows] for name, rows in dropped.items()}
        differ = [sum(map(operator.ne, drops[one], drops[other])) for one, other in pairs]
        if any(differ):
            print(f"| {label} |", " | ".join(str(sum(drop)) for drop in drops.values()), end=" | ")
            print(" | ".join(f"{number} ({number / len(pages):.2%})" for number in differ), "|")
    means = (f"{name} {sum(row['words'] for row in rows) / len(pages):,.1f}" for name, rows in signals.items())
    print(f"\nAll other gates decide alike on every page. Words a page: {', '.join(means)}.")
    report("segmentation", rate, peer_rate)


if __name__ == "__main__":
    main()
