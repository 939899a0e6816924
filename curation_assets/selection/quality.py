"""Quality by a fastText classifier, as DCLM-Baseline scores its documents (Li et al. 2024, "DataComp-LM")."""

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from curation_assets.deduplication.places import SURVIVORS_ARE_COUNTED, MethodParameters, Surroundings
from curation_assets.filtering.fasttext_labels import joined_lines, top_labels
from curation_assets.filtering.survivors import read_texts, survivors
from curation_assets.lake.contracts import Column, Contract
from curation_assets.lake.lake import file_sha256
from curation_assets.lake.parts import PartWriter
from curation_assets.lake.station import Inputs, PartStation
from curation_assets.recipes.methods import QualityScores
from curation_assets.selection.showing import show_scores

SCORES = pa.schema([("doc", pa.int64()), ("survivor", pa.bool_()), ("value", pa.float64())])


class ScoringParameters(MethodParameters):
    """The classifier, its place in the order of decisions, and a hash of the model."""

    sha256: str | None


def quality_scores(method: QualityScores, around: Surroundings) -> PartStation:
    """The score of every document that is left. Raises `FileNotFoundError` when the model is not there."""
    if method.model is not None and not method.model.is_file():
        raise FileNotFoundError(f"quality_scores.model: {method.model} is no file; give a fastText classifier's path")
    return PartStation(
        key=(around.recipe.name, method.name),
        group="selection",
        description="Score of a fastText classifier, as DCLM-Baseline uses one (Li et al. 2024, arXiv 2406.11794), "
        "on the text so far, its lines joined: the probability of the top "
        f"label, or of any other where that is `{method.negative_label}`. Below {method.min_score} a document is "
        "dropped."
        if method.model is not None
        else "No classifier is given (`quality_scores.model`): nothing is scored and nothing is dropped.",
        version="2",
        params=ScoringParameters(
            **around.parameters(method).model_dump(), sha256=file_sha256(method.model) if method.model else None
        ),
        inputs=around.inputs,
        schema=SCORES,
        step=score,
        show=partial(show_scores, limit=method.min_score),
        columns={"survivor": "false below the limit", "value": "the score; 1 without a classifier"},
        origins={"value": (("documents", "text"),)},
        contract=Contract(
            {"doc": Column(references="documents.doc"), "value": Column(least=0, most=1)},
            conditions={f"what scores {method.min_score} survives": f"survivor = (value >= {method.min_score!r})"},
        ),
        conservation=(around.all_have_one_row(method), SURVIVORS_ARE_COUNTED),
    )


def score(inputs: Inputs, writer: PartWriter, params: ScoringParameters) -> None:
    """Score the documents of one part that are left."""
    method = params.method
    assert isinstance(method, QualityScores)
    for batch in read_texts(inputs, params.place.edits, survivors(inputs, params.place)):
        values = np.ones(batch.num_rows)
        if method.model is not None:
            values = score_texts(batch["text"], method.model, method.negative_label)
        passed = values >= method.min_score
        writer.write(pa.table([batch["doc"], passed, values], schema=SCORES))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", int(passed.sum()))
        if not passed.all():
            writer.count(f"dropped.{method.verdict}", int((~passed).sum()))


def score_texts(texts: pa.LargeStringArray, model: Path, negative_label: str) -> np.ndarray:
    """Probability, float64[n] from 0 to 1, that each text is none of the negative label's.

    The text is stripped and its lines joined by a space, as DCLM's `classify_fasttext_hq_prob` reads it; the
    probability is that of the top label, or one minus it where the top label is the negative one. A text for which
    the model has no label scores 0.
    """
    stripped = pl.Series(pl.from_arrow(texts)).str.strip_chars()
    lines = joined_lines(stripped.to_arrow(compat_level=pl.CompatLevel.oldest()))
    labels, probabilities = top_labels(lines, model)
    negative = np.asarray(pl.Series(labels).eq_missing(negative_label))
    return np.clip(np.where(negative, 1 - probabilities.astype(np.float64), probabilities), 0, 1)
