"""Language identification against bare fastText `predict` on the same truncated texts.

Usage: `python benchmarks/language.py [PARQUET]`. With a Parquet file the texts are its `text` column; without
one they are shuffled words of the Universal Declaration of Human Rights. Also prints how often the first 1,000
characters and the full text get the same label. Times are CPU seconds.
"""

import sys
import time
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
from measure import given_texts, in_turns, report

from curation_assets.filtering.fasttext_model import LID_176
from curation_assets.filtering.language import identify_language

CHARACTERS = 1000
TEXTS = 4000
SENTENCES = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
]


def texts() -> pa.LargeStringArray:
    """The texts to measure on."""
    given = given_texts()
    if given is not None:
        return given
    random = np.random.default_rng(1)
    vocabularies = [np.array(sentence.split()) for sentence in SENTENCES]
    made = []
    for number in range(TEXTS):
        words = random.choice(vocabularies[number % len(SENTENCES)], int(random.lognormal(5.5, 0.8)) + 1)
        made.append("\n".join(" ".join(line) for line in np.array_split(words, 1 + len(words) // 20)))
    return pa.array(made, pa.large_string())


def bare_fasttext(model: Any, lines: list[str]) -> list[str]:
    """One `predict` a text, as FineWeb's and DCLM's filters call it."""
    return [model.predict(line)[0][0].removeprefix("__label__") for line in lines]


def main() -> None:
    """Print both rates, their ratio and the agreement."""
    array = texts()
    model = fasttext.load_model(str(LID_176))
    lines = [text[:CHARACTERS].replace("\n", " ").replace("\0", "") for text in array.to_pylist()]
    table, labels = identify_language(array, CHARACTERS), bare_fasttext(model, lines)
    works = {"ours": lambda: identify_language(array, CHARACTERS), "peer": lambda: bare_fasttext(model, lines)}
    seconds = in_turns(works, 4)
    ours, peer = len(array) / seconds["ours"], len(array) / seconds["peer"]

    found = table["language"].to_pylist()
    named = [row for row, language in enumerate(found) if language is not None]
    same = sum(found[row] == labels[row] for row in named)
    print(f"{len(array):,} texts, {len(array) - len(named):,} of them without a letter")
    print(f"label of bare fastText on the same characters: {same:,} of {len(named):,}")
    began = time.process_time()
    whole = identify_language(array, sys.maxsize)["language"].to_pylist()
    rate = len(array) / (time.process_time() - began)
    same = sum(found[row] == whole[row] for row in named)
    print(f"label of the full text ({rate:,.0f} per CPU second): {same:,} of {len(named):,} = {same / len(named):.4f}")
    print(f"curation_assets {ours:,.0f} texts per CPU second; bare fasttext predict {peer:,.0f}")
    report("language", ours, peer, facts={"agreement": same / len(named)})


if __name__ == "__main__":
    main()
