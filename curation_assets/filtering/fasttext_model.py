"""fastText classifiers, on many texts at once.

Of the binding beneath the wrapper's `predict`: it takes a batch, and NumPy versions do not concern it.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl


@cache
def _load(model: Path) -> Any:
    import fasttext

    return fasttext.load_model(str(model)).f


def joined_lines(texts: pl.Series) -> pl.Series:
    """Each text as the one line that fastText reads whole: line breaks are spaces, and what would end it is gone.

    NULs are removed, and so is the token "</s>", at which fastText stops reading.
    """
    # NULs first: "<", NUL, "/s>" would otherwise become the token that is taken out.
    return texts.str.replace_all("\0", "", literal=True).str.replace_many(["\n", "\r", "</s>"], [" "])


def top_labels(lines: pl.Series, model: Path) -> tuple[Sequence[Sequence[str]], Sequence[np.ndarray]]:
    """The most probable label of each line and its probability; both are empty for a line without any.

    The model is loaded once per process.
    """
    # The closing line break is part of fastText's input: without it the end-of-sentence token is missing.
    return _load(model).multilinePredict((lines + "\n").to_list(), 1, 0.0, "strict")
