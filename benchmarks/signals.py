"""All quality signals of a text against datatrove's four filters that need them, or the tests' slow
reference.

Invented English-like pages of about 3 kB, which pass every gate, so that no filter of the peer stops early.
No input needed. The peer is datatrove where it is installed (with spaCy), else the reference that the tests
compare with.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from measure import fastest, report

from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.signals import annotate_signals

TEXTS = 4000
PEER_TEXTS = 100
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


def main() -> None:
    """Print both rates and their ratio."""
    pages = invented_pages(TEXTS)
    texts = pa.array(pages, pa.large_string())
    annotate_signals(texts[:1])
    ours = TEXTS / fastest(lambda: annotate_signals(texts))
    dclm = Definitions.model_validate("dclm"), LineEdits.model_validate("dclm")
    by_dclm = TEXTS / fastest(lambda: annotate_signals(texts, *dclm))
    name, function = peer()
    function(pages[0])
    theirs = PEER_TEXTS / fastest(lambda: [function(page) for page in pages[:PEER_TEXTS]], 1)
    size = sum(len(page) for page in pages) / TEXTS
    print(f"signals: {ours:,.0f} pages of {size:,.0f} characters a second; {name}: {theirs:,.1f}")
    print(f"by DCLM's definitions and line edits: {by_dclm:,.0f} pages a second")
    report("signals", ours, theirs, dclm=by_dclm)


if __name__ == "__main__":
    main()
