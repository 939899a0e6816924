"""All quality signals of a text against datatrove's four filters that need them, and against Dolma's taggers.

Invented English-like pages of about 3 kB, which pass every gate, so that no filter of datatrove stops early.
No input needed. Where datatrove is not installed (with spaCy), the reference that the tests compare with takes its
place. Of Dolma's taggers those of Gopher and C4 (the faster of two versions each); it has none for FineWeb's rules.
CPU seconds of single threads, without imports.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from measure import in_turns, report
from measure.elsewhere import ask

from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.signals import annotate_signals

TEXTS = 4000
PEER_TEXTS = 100
DOLMA = """
import json, sys, time
from pathlib import Path
from dolma.core.data_types import DocumentWithMetadata
from dolma.core.registry import TaggerRegistry
import dolma.taggers
texts = json.loads(Path(sys.argv[1]).read_text())
documents = [DocumentWithMetadata(source="", id=str(row), text=text, metadata={}) for row, text in enumerate(texts)]
taggers = {name: TaggerRegistry.get(name)() for name in ("gopher_v1", "gopher_v2", "c4_v1", "c4_v2")}
seconds = {}
for _ in range(3):
    for name, tagger in taggers.items():
        began = time.process_time()
        for document in documents:
            tagger.tag(document)
        seconds[name] = min(time.process_time() - began, seconds.get(name, 1e9))
print(json.dumps(min(seconds["gopher_v1"], seconds["gopher_v2"]) + min(seconds["c4_v1"], seconds["c4_v2"])))
"""
COMMON = "the of and to in a is that it was for on are with as be this have from at by not or"


def invented_pages(count: int) -> list[str]:
    """Pages of sentences of words whose frequencies fall as those of English do."""
    random = np.random.default_rng(1)
    syllables = ["ta", "ri", "men", "sol", "ke", "dor", "vi", "lan", "pe", "stu", "gra", "no", "bel", "ham", "ing"]
    vocabulary = COMMON.split() + ["".join(random.choice(syllables, random.integers(1, 5))) for _ in range(20_000)]
    weights = 1 / (np.arange(len(vocabulary)) + 2.7)
    weights /= weights.sum()
    pages = []
    for _ in range(count):
        lines = []
        for _ in range(random.integers(8, 16)):
            words = random.choice(len(vocabulary), random.integers(20, 60), p=weights)
            sentence = [vocabulary[word] for word in words]
            lines.append(" ".join(sentence).replace(" the ", ", the ", 1).capitalize() + ".")
        pages.append("\n".join(lines))
    return pages


def peer() -> tuple[str, Callable[[str], object]]:
    """Name and function of what we compare with."""
    try:
        from datatrove.data import Document  # pyright: ignore[reportMissingImports]
        from datatrove.pipeline.filters import (  # pyright: ignore[reportMissingImports]
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )
    except ImportError:
        from curation_tests.filtering.slow_signals import slow_signals

        return "the tests' reference in Python", slow_signals
    filters = (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    )

    def apply(text: str) -> None:
        document = Document(text=text, id="")
        for quality_filter in filters:
            if quality_filter.filter(document) is not True:
                raise ValueError(f"{quality_filter.name} stops early")

    return "datatrove's four filters", apply


def dolma(pages: list[str]) -> float | None:
    """Pages a CPU second of Dolma's taggers, if it is there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.json")
        file.write_text(json.dumps(pages))
        seconds = ask("dolma", DOLMA, file)
    return len(pages) / seconds if seconds else None


def main() -> None:
    """Print the rates and their ratios."""
    pages = invented_pages(TEXTS)
    texts = pa.array(pages, pa.large_string())
    annotate_signals(texts[:1])
    dclm = Definitions.model_validate("dclm"), LineEdits.model_validate("dclm")
    annotate_signals(texts[:1], *dclm)
    name, function = peer()
    function(pages[0])
    seconds = in_turns(
        {
            "ours": lambda: annotate_signals(texts),
            "dclm": lambda: annotate_signals(texts, *dclm),
            "peer": lambda: [function(page) for page in pages[:PEER_TEXTS]],
        }
    )
    ours, by_dclm, theirs = TEXTS / seconds["ours"], TEXTS / seconds["dclm"], PEER_TEXTS / seconds["peer"]
    size = sum(len(page) for page in pages) / TEXTS
    print(f"signals: {ours:,.0f} pages of {size:,.0f} characters a second; {name}: {theirs:,.1f}")
    print(f"by DCLM's definitions and line edits: {by_dclm:,.0f} pages a second")
    ratios = {}
    tagged = dolma(pages[: 5 * PEER_TEXTS])
    if tagged is not None:
        print(f"Dolma's taggers: {tagged:,.1f}")
        ratios["dolma"] = ours / tagged
    report("signals", ours, theirs, ratios, dclm=by_dclm)


if __name__ == "__main__":
    main()
