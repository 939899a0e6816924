"""The quality gate, with a classifier that the test trains."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.engine.local import LocalEngine
from curation_assets.line import Line
from curation_assets.selection.quality import score_texts
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE
from curation_tests.fasttext_models import train
from curation_tests.mirrors import content, table

RECIPE = """\
name: by_quality
description: A classifier alone.
extraction: {extractor: resiliparse}
language: {languages: [en]}
line_edits: c4
stations:
- language: {language: language_kept < 1}
- quality_scores: {min_score: 0.998}
"""


def trained(folder: Path, lines: list[str], seed: int = 1) -> Path:
    """A classifier."""
    name = f"quality-{seed}.bin"
    train(folder, lines, {name: ({"dim": 8, "epoch": 25, "lr": 0.1, "seed": seed}, None)})
    return folder / name


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    good = [
        f"__label__hq {article} {place} of the town and its people {n}"
        for n in range(20)
        for article in ("the", "a")
        for place in ("river", "bridge")
    ]
    bad = [
        f"__label__cc {verb} cheap {thing} now for your home with us {n}"
        for n in range(20)
        for verb in ("buy", "make", "take")
        for thing in ("shoes", "pills")
    ]
    return trained(tmp_path_factory.mktemp("model"), good + bad)


def predicted(model: Path, text: str) -> float:
    """DCLM's score by fastText's own prediction of one line."""
    import fasttext

    found = fasttext.load_model(str(model)).f.predict(" ".join(text.strip().splitlines()) + "\n", 1, 0.0, "strict")
    ((probability, label),) = found
    return min(1 - probability if label == "__label__cc" else probability, 1)


def test_a_score_is_the_probability_of_not_being_negative(model: Path) -> None:
    texts = [
        "the river of the town\nand its people",
        " buy cheap shoes\nnow ",
        "the people buy shoes",
        "now the town click",
    ]
    scores = score_texts(pa.array(texts, pa.large_string()), model, "__label__cc")
    assert scores.tolist() == pytest.approx([predicted(model, text) for text in texts], abs=1e-6)
    assert scores[0] > 0.9
    assert scores[1] < 0.1
    other = score_texts(pa.array(texts, pa.large_string()), model, "__label__hq")
    assert np.allclose(scores + other, 1, atol=1e-4)


@pytest.mark.parametrize(
    "text", ["", " \n ", "\0", "</s>", "\ud7ff" * 5, "a" * 100_000, "the\0town", "x </s> buy cheap"]
)
def test_any_text_has_a_score(model: Path, text: str) -> None:
    (value,) = score_texts(pa.array([text], pa.large_string()), model, "__label__cc")
    assert 0 <= value <= 1


def test_a_line_is_read_to_its_end(model: Path) -> None:
    """Neither fastText's end-of-sentence token nor a NUL in the text hides what stands behind it."""
    texts = pa.array(
        [f"town{end}buy cheap pills now click here" for end in (" ", " </s> ", " \0", "\n", "\r")], pa.large_string()
    )
    assert len(set(score_texts(texts, model, "__label__cc").round(5))) == 1


def by_quality(sample: Path, folder: Path, **overrides: object) -> Line:
    recipe = folder / "by_quality.yaml"
    recipe.write_text(RECIPE)
    settings = Settings(
        source=str(sample),
        lake=folder / "lake",
        recipe=str(recipe),
        recipe_set=RESILIPARSE | overrides,
        workers=2,
        warcs=2,
    )
    return Line(settings)


def verdicts_of(line: Line, engine: LocalEngine) -> tuple[pl.DataFrame, set[str]]:
    fresh = set()
    for staged in line.run(SAMPLE_SNAPSHOT, engine):
        if staged.fresh:
            fresh.add(staged.station.name)
        if staged.station.name == "corpus":
            break
    return table(line, "verdicts"), fresh


def test_documents_below_the_limit_are_dropped_and_the_model_decides_what_is_made_again(
    sample: Path, engine: LocalEngine, model: Path, tmp_path: Path
) -> None:
    without = by_quality(sample, tmp_path)
    (station,) = [station for station in without.stations if station.name == "quality_scores"]
    assert "No classifier" in station.description
    verdicts, _ = verdicts_of(without, engine)
    assert "quality_score" not in set(verdicts["verdict"])
    assert set(table(without, "quality_scores")["value"]) == {1.0}

    named = {"quality_scores.model": str(model)}
    line = by_quality(sample, tmp_path, **named)
    (station,) = [station for station in line.stations if station.name == "quality_scores"]
    assert "No classifier" not in station.description
    verdicts, fresh = verdicts_of(line, engine)
    assert "quality_scores" in fresh
    assert not fresh & {"documents", "signals", "filter_verdicts"}
    dropped = verdicts.filter(pl.col("verdict") == "quality_score")
    assert dropped.height > 5
    assert (dropped["value"] < 0.998).all()
    assert set(dropped["limit"]) == {0.998}
    scores = dict(table(line, "quality_scores").select("doc", "value").iter_rows())
    assert dict(dropped.select("doc", "value").iter_rows()).items() <= scores.items()
    corpus = table(line, "corpus")
    assert corpus.height > 5
    for doc, text in corpus.select("doc", "text").head(10).iter_rows():
        if "@" not in text:  # masks come after the score
            assert scores[doc] == pytest.approx(predicted(model, text), abs=1e-6)
            assert scores[doc] >= 0.998

    before = content(line)
    assert verdicts_of(line, engine)[1] == set()
    assert content(line) == before

    same_name = tmp_path / "same.bin"
    named = {"quality_scores.model": str(same_name)}
    same_name.write_bytes(model.read_bytes())
    old = identity(by_quality(sample, tmp_path, **named))
    same_name.write_bytes(trained(tmp_path, ["__label__hq buy shoes", "__label__cc the river"], seed=2).read_bytes())
    assert identity(by_quality(sample, tmp_path, **named)) != old


def identity(line: Line) -> list:
    (station,) = [station for station in line.stations if station.name == "quality_scores"]
    return station.identity()


def test_a_model_that_is_not_there_is_an_error(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"quality_scores\.model"):
        _ = by_quality(sample, tmp_path, **{"quality_scores.model": str(tmp_path / "none.bin")}).stations
