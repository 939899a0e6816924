"""The word kernel against NLTK's `wordpunct_tokenize`, which is one regular expression, and against spaCy if present.

Usage: `python benchmarks/words.py [PARQUET]`. With a Parquet file the texts are its `text` column; without one they are
invented. The regular expression is the fastest of the known splitters and knows neither contractions nor abbreviations
nor scripts without spaces; spaCy's blank English tokenizer, which ours follows, comes with the `peers` extra.
"""

import importlib.util
import re

import numpy as np
import pyarrow as pa
from measure import fastest, given_texts, report

from curation_assets.filtering.characters import character_classes, string_buffers
from curation_assets.filtering.words import word_spans

TEXTS = 2000
WORDPUNCT = re.compile(r"\w+|[^\w\s]+")
TEXT = "it's a (small) town; the U.S. mill-race, e.g. by the 3.5 km road, won't run at 12:30 — «naïve» снег 東京 x_y"


def texts() -> pa.LargeStringArray:
    """The texts to measure on."""
    given = given_texts()
    if given is not None:
        return given
    random = np.random.default_rng(1)
    return pa.array([" ".join(random.choice(TEXT.split(), 500)) for _ in range(TEXTS)], pa.large_string())


def main() -> None:
    """Print rates in MB of UTF-8 a second and the ratio to the regular expression."""
    array = texts()
    rows = array.to_pylist()
    offsets, data = string_buffers(array)
    classes = character_classes()
    size = int(offsets[-1] - offsets[0]) / 1e6

    def split() -> int:
        return sum(len(word_spans(data, offsets[i], offsets[i + 1], classes)[0]) for i in range(len(array)))

    theirs = sum(len(WORDPUNCT.findall(text)) for text in rows)
    print(f"{len(rows):,} texts, {size:.1f} MB, {split():,} words; by the regular expression {theirs:,}")
    ours = size / fastest(split)
    peer = size / fastest(lambda: [WORDPUNCT.findall(text) for text in rows])
    print(f"curation_assets {ours:,.0f} MB/s; regular expression of NLTK's wordpunct_tokenize {peer:,.1f} MB/s")
    if importlib.util.find_spec("spacy") is None:
        print("spaCy is not installed (the `peers` extra), so it is left out")
    else:
        import spacy  # pyright: ignore[reportMissingImports]

        tokenizer = spacy.blank("en").tokenizer
        some = rows[: len(rows) // 10]
        rate = sum(len(text.encode()) for text in some) / 1e6 / fastest(lambda: [tokenizer(text) for text in some], 1)
        print(f"spaCy's blank English tokenizer {rate:,.1f} MB/s, ratio {ours / rate:,.0f}")
    report("words", ours, peer)


if __name__ == "__main__":
    main()
