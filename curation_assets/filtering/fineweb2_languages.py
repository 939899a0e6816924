"""FineWeb2's thresholds and stop words for 1,929 pairs of language and script, as one table.

Penedo et al. 2025 (arXiv 2506.20920) derive each language's limits from statistics of its Wikipedia and web
text. The table holds their published values; its first lines name the source and the licence.
Columns are named as there; which signal each one limits, and which documents are dropped:

- ``language_score`` (score below it), ``dup_line_frac``, ``top_2_gram`` to ``top_4_gram`` and ``dup_5_gram``
  to ``dup_10_gram`` (signal of that name above it; a ``dup_line_frac`` of 0, by which datatrove means no limit,
  is infinite here);
- ``line_punct_thr`` (``line_punct_ratio`` below it; -1 and 0 drop none) and ``new_line_ratio`` (``list_ratio``
  above it);
- ``min_avg_word_length`` and ``max_avg_word_length`` (``mean_word_length`` outside them);
- ``max_non_alpha_words_ratio``, in spite of its name the least share of words with a letter
  (``alpha_word_ratio`` below it);
- ``stop_words``, of which a document must have two.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation_assets.filtering.words import words

TABLE = Path(__file__).with_suffix(".tsv")
"""The table as text; written by ``docs/write_fineweb2_languages.py``."""

LANGUAGES = pa.schema(
    [
        pa.field("language", pa.string(), nullable=False),
        pa.field("language_score", pa.float64(), nullable=False),
        pa.field("dup_line_frac", pa.float64(), nullable=False),
        *(pa.field(f"top_{n}_gram", pa.float64(), nullable=False) for n in (2, 3, 4)),
        *(pa.field(f"dup_{n}_gram", pa.float64(), nullable=False) for n in (5, 6, 7, 8, 9, 10)),
        pa.field("line_punct_thr", pa.float64(), nullable=False),
        pa.field("new_line_ratio", pa.float64(), nullable=False),
        pa.field("min_avg_word_length", pa.float64(), nullable=False),
        pa.field("max_avg_word_length", pa.float64(), nullable=False),
        pa.field("max_non_alpha_words_ratio", pa.float64(), nullable=False),
        pa.field("stop_words", pa.list_(pa.string()), nullable=False),
    ]
)
"""Columns of the language table; ``language`` is ISO 639-3 and ISO 15924, ``deu_Latn``."""


LANGUAGE_LIMITS = tuple(field.name for field in LANGUAGES if field.type == pa.float64())
"""Columns that hold limits."""


@functools.cache
def language_table() -> pa.Table:
    """Read the table: one row for each pair of language and script, sorted by ``language``; read once a process."""
    lines = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    columns: dict[str, list[Any]] = dict(zip(lines[0], map(list, zip(*lines[1:], strict=True)), strict=True))
    for name in LANGUAGE_LIMITS:
        columns[name] = [float(value) for value in columns[name]]
    columns["dup_line_frac"] = [value or np.inf for value in columns["dup_line_frac"]]
    columns["stop_words"] = [listed.split("|") for listed in columns["stop_words"]]
    return pa.table(columns, schema=LANGUAGES)


@functools.cache
def median_limits() -> dict[str, float]:
    """The median over all languages of every limit, by name: limits for a language that has no row."""
    return {name: float(np.median(language_table()[name].to_numpy())) for name in LANGUAGE_LIMITS}


def findable_stop_words(language: str) -> list[str]:
    """A language's stop words in the form in which our words have them; empty for a language without a row.

    FineWeb2's lists hold the words of its tokenizers. A Tibetan one keeps the tsheg at its end, which ours lose,
    and some marks (a lone zero-width space, a repeated shad) are no word here at all. So a stop word of which
    ``words.py`` makes one word becomes that word, and one of which it makes none is left out. One that it takes
    apart stays: dictionaries put the letters of Thai or Chinese together again, see ``segmentation.py``.
    """
    row = _rows().get(language)
    if row is None:
        return []
    found: list[str] = []
    for word in language_table()["stop_words"][row].as_py():
        ours = words(word)
        found += ours if len(ours) < 2 else [word]
    return list(dict.fromkeys(found))


@functools.cache
def _rows() -> dict[str, int]:
    return {language: row for row, language in enumerate(language_table()["language"].to_pylist())}
