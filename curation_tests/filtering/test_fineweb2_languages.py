"""The table of FineWeb2's limits: published figures, and what the filters rely on."""

import re
import runpy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation_assets.filtering.fineweb2_languages import (
    LANGUAGES,
    TABLE,
    findable_stop_words,
    language_table,
    median_limits,
)
from curation_assets.filtering.words import words

ROOT = Path(__file__).parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "filters" / "fineweb-2" / "thresholds.jsonl"


def row(language: str) -> dict:
    (found,) = language_table().filter(pc.equal(language_table()["language"], language)).to_pylist()
    return found


def test_has_the_published_languages():
    table = language_table()
    assert table.schema == LANGUAGES
    assert table.num_rows == 1929
    labels = table["language"].to_pylist()
    assert labels == sorted(set(labels))
    assert all(re.fullmatch("[a-z]{3}_[A-Z][a-z]{3}", label) for label in labels)


@pytest.mark.parametrize(
    ("language", "score", "punct", "lines", "duplicates", "shortest", "longest", "alpha"),
    [
        ("deu_Latn", 0.821, 0, 0.152, 0.263, 0, 15, 0.774),
        ("fra_Latn", 0.824, 0.1, 0.185, 0.264, 2, 11, 0.812),
        ("arb_Arab", 0.711, 0.143, 0.189, 0.304, 2, 9, 0.787),
        ("cmn_Hani", 0.692, 0.106, 0.178, 0.287, 1, 5, 0.735),
    ],
)
def test_golden_rows(
    language: str,
    score: float,
    punct: float,
    lines: float,
    duplicates: float,
    shortest: int,
    longest: int,
    alpha: float,
):
    limits = row(language)
    assert limits["language_score"] == score
    assert limits["line_punct_thr"] == punct
    assert limits["new_line_ratio"] == lines
    assert limits["dup_line_frac"] == duplicates
    assert (limits["min_avg_word_length"], limits["max_avg_word_length"]) == (shortest, longest)
    assert limits["max_non_alpha_words_ratio"] == alpha


def test_golden_statistics():
    table = language_table()
    scores = table["language_score"].to_numpy()
    assert (scores.min(), np.median(scores), scores.max()) == (0.3, 0.3, 0.9)
    assert np.quantile(scores, 0.9) == pytest.approx(0.806)
    assert pc.min_max(table["line_punct_thr"]).as_py() == {"min": -1, "max": 0.667}
    assert pc.min_max(table["new_line_ratio"]).as_py() == {"min": 0.023, "max": 7.25}
    counts = table["stop_words"].combine_chunks().value_lengths().to_numpy()
    assert (counts.min(), np.median(counts), counts.max()) == (8, 19, 63)


def test_no_limit_is_infinite():
    limits = language_table()["dup_line_frac"].to_numpy()
    assert (limits > 0).all()
    assert np.isinf(limits).sum() == 6


def test_limits_for_other_languages_are_medians():
    limits = median_limits()
    assert limits["dup_line_frac"] == 0.429  # 0.428 with the six zeros that mean no limit
    assert limits["language_score"] == 0.3
    assert set(limits) == set(LANGUAGES.names) - {"language", "stop_words"}


def test_stop_words_are_found_among_words():
    assert row("bod_Tibt")["stop_words"][:3] == ["།", "དང་", "། །"]
    assert findable_stop_words("bod_Tibt")[:3] == ["།", "དང", "། །"]
    assert "\u200b" in row("lao_Laoo")["stop_words"]
    assert "\u200b" not in findable_stop_words("lao_Laoo")
    assert findable_stop_words("deu_Latn") == row("deu_Latn")["stop_words"]
    assert set(findable_stop_words("deu_Latn")) & set(words("Und das ist der Anfang von allem."))
    assert findable_stop_words("tha_Thai") == row("tha_Thai")["stop_words"]
    assert findable_stop_words("xxx_Zyyy") == []


def test_stop_words_are_a_list_of_words():
    flat = language_table()["stop_words"].combine_chunks().flatten()
    assert len(flat) == 37297
    assert flat.null_count == 0
    assert pc.min(pc.utf8_length(flat)).as_py() == 1


def test_is_small():
    assert TABLE.stat().st_size < 1_000_000
    assert "Apache License 2.0" in TABLE.read_text(encoding="utf-8")


@pytest.mark.skipif(not SOURCE.exists(), reason="the source of the table is not here")
def test_is_what_its_script_writes():
    script = runpy.run_path(str(ROOT / "docs" / "write_fineweb2_languages.py"))
    written = "".join(script["write"](SOURCE.read_text(encoding="utf-8").splitlines()))
    assert written == TABLE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="does not fit"):
        list(script["write"]([SOURCE.read_text(encoding="utf-8").splitlines()[0].replace('"ana"', '"a\\tb"')]))


def test_a_table_of_arrow():
    assert isinstance(language_table(), pa.Table)
    assert language_table() is language_table()
