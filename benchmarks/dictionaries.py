"""How often FineWeb2's gates decide otherwise with ICU's words than with those of the published tokenizers.

For languages written without spaces. The gates that rest on words, with the limits of the language, are computed
on documents of twenty lines three times: with ``segmentation.py``, with the tokenizer that datatrove names for
the language (jieba, PyThaiNLP's newmm, LaoNLP, khmer-nltk), and with ``words.py`` alone, for which a letter is a
word. Needs those libraries, as far as the languages do, and a text file for each language:

    python benchmarks/dictionaries.py cmn_Hani=FILE tha_Thai=FILE lao_Laoo=FILE khm_Khmr=FILE
"""

import importlib
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from measure import fastest, report

from curation_assets.filtering.fineweb2_languages import language_table
from curation_assets.filtering.segmentation import word_boundaries
from curation_assets.filtering.words import words
from curation_tests.filtering.slow_signals import slow_signals

LINES = 20

PEERS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "cmn_Hani": ("jieba", lambda module, text: module.cut(text)),
    "tha_Thai": ("pythainlp.tokenize", lambda module, text: module.word_tokenize(text, engine="newmm-safe")),
    "lao_Laoo": ("laonlp.tokenize", lambda module, text: module.word_tokenize(text)),
    "khm_Khmr": ("khmernltk", lambda module, text: module.word_tokenize(text, return_tokens=True)),
}
"""Module of the tokenizer of a language, and how it splits a text."""


def peer(language: str) -> Callable[[str], list[str]] | None:
    """The published word splitter of a language; None, and a line in the output, if it is not installed."""
    name, split = PEERS[language]
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        print(f"skipped {language}: {error}")
        return None
    return lambda text: [word for part in split(module, text) if (word := part.strip())]


def dictionary_words(texts: pa.LargeStringArray, language: str) -> dict[str, list[str]]:
    """Words of each text by ``segmentation.py``."""
    spans = word_boundaries(texts, pa.array([language] * len(texts), pa.string())).to_pylist()
    return {
        text: [text.encode()[span["start"] : span["end"]].decode() for span in found]
        for text, found in zip(texts.to_pylist(), spans, strict=True)
    }


def dropped(text: str, found: list[str], limits: dict[str, Any]) -> dict[str, bool]:
    """Whether each gate that rests on words drops a text of these words."""
    signals = slow_signals(text, lambda _: found, lambda _: 1)[0]
    grams = [f"top_{n}_gram" for n in (2, 3, 4)] + [f"dup_{n}_gram" for n in range(5, 11)]
    return {
        "top n-grams": any(signals[name] > limits[name] for name in grams[:3]),
        "duplicate n-grams": any(signals[name] > limits[name] for name in grams[3:]),
        "new lines": text.count("\n") / max(len(found), 1) > limits["new_line_ratio"],
        "word length": not limits["min_avg_word_length"]
        <= signals["mean_word_length"]
        <= limits["max_avg_word_length"],
        "letters": signals["alpha_word_ratio"] < limits["max_non_alpha_words_ratio"],
        "stop words": len(set(found) & set(limits["stop_words"])) < 2,
    }


def joints(found: list[str]) -> set[int]:
    """Where words meet, counted in characters of words."""
    ends = [0]
    for word in found:
        ends.append(ends[-1] + len("".join(word.split())))
    return set(ends)


def main() -> None:
    """Print a Markdown table and the rates, of words from all texts, in megabytes of UTF-8 a second."""
    files = dict(argument.split("=") for argument in sys.argv[1:])
    ours = theirs = size = 0.0
    rows = []
    for language, file in files.items():
        split = peer(language) if language in PEERS else None
        if split is None:
            continue
        lines = [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
        cuts = [*range(0, len(lines), LINES), len(lines)]
        texts = ["\n".join(lines[first:last]) for first, last in pairwise(cuts)]
        column = pa.array(texts, pa.large_string())
        (limits,) = language_table().filter(pc.field("language") == language).to_pylist()
        by_dictionary = dictionary_words(column, language)
        split(texts[0])
        labels = pa.array([language] * len(texts), pa.string())
        ours += fastest(lambda column=column, labels=labels: word_boundaries(column, labels))
        began = time.perf_counter()
        by_peer = {text: split(text) for text in texts}
        theirs += time.perf_counter() - began
        size += column.nbytes / 1e6
        counts = {"ICU": by_dictionary, "published": by_peer, "letters": {text: words(text) for text in texts}}
        verdicts = {name: [dropped(text, found[text], limits) for text in texts] for name, found in counts.items()}
        same = sum(len(joints(by_dictionary[text]) & joints(by_peer[text])) for text in texts)
        joint = sum(len(joints(by_dictionary[text])) + len(joints(by_peer[text])) for text in texts)
        for gate in verdicts["ICU"][0]:
            drops = {name: [verdict[gate] for verdict in found] for name, found in verdicts.items()}
            differ = [
                sum(one != other for one, other in zip(drops[name], drops["published"], strict=True))
                for name in ("ICU", "letters")
            ]
            rows.append((language, len(texts), f"{2 * same / joint:.3f}", gate, *map(sum, drops.values()), *differ))
    if not rows:
        print("skipped: needs LANGUAGE=FILE arguments and the published tokenizers")
        return
    print("| language | documents | F1 of boundaries | gate | dropped, ICU | published | letters", end="")
    print(" | ICU ≠ published | letters ≠ published |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("|", " | ".join(map(str, row)), "|")
    report("dictionaries", size / ours, size / theirs)


if __name__ == "__main__":
    main()
