"""What a profile says is what the tables hold."""

import polars as pl
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_tests.conftest import Curated
from curation_tests.mirrors import table


def shares(line: Line, measure: str, snapshot: str = SAMPLE_SNAPSHOT) -> dict[str, tuple[int, int]]:
    rows = table(line, "profile", snapshot).filter(measure=measure)
    return {row["class"]: (row["documents"], row["of"]) for row in rows.iter_rows(named=True)}


@pytest.mark.parametrize("recipe", ["fineweb", "every_method"])
def test_yields_are_those_of_the_verdicts(curated: dict[str, Curated], recipe: str) -> None:
    line, snapshot, _ = curated[recipe]
    verdicts = table(line, "verdicts", snapshot)
    texts = verdicts.filter(pl.col("station").ne_missing("acquisition"))
    kept = verdicts.filter(verdict="kept").height
    assert shares(line, "kept", snapshot) == {
        "of records": (kept, verdicts.height),
        "of texts": (kept, texts.height),
    }
    found = shares(line, "dropped", snapshot)
    assert list(found) == list(line.recipe.positions)
    left = texts.height
    for name, position in line.recipe.positions.items():
        dropped = texts.filter(position=position).filter(pl.col("verdict") != "kept").height
        assert found[name] == (dropped, left)
        left -= dropped
    assert left == kept
    lost = verdicts.filter(station="acquisition")["verdict"].value_counts()
    assert shares(line, "lost", snapshot) == {name: (count, verdicts.height) for name, count in lost.iter_rows()}


def test_records_are_counted_by_file(line: Line, staged: dict[str, Staged]) -> None:
    files = table(line, "warc_files").height
    assert shares(line, "records") == {"per WARC file": (table(line, "documents").height, files)}


def test_languages_are_those_of_texts_and_of_what_is_kept(line: Line, staged: dict[str, Staged]) -> None:
    labels = table(line, "languages").join(table(line, "verdicts"), on="doc")
    labels = labels.filter(pl.col("station").ne_missing("acquisition")).with_columns(
        pl.col("language").fill_null("none")
    )
    for measure, those in (("languages", labels), ("languages_kept", labels.filter(verdict="kept"))):
        counted = dict(those["language"].value_counts().iter_rows())
        assert shares(line, measure) == {name: (count, those.height) for name, count in counted.items()}
        assert [count for count, _ in shares(line, measure).values()] == sorted(counted.values(), reverse=True)


def test_values_lie_in_their_ranges(line: Line, staged: dict[str, Staged]) -> None:
    signals = table(line, "signals")
    for measure in ("characters", "alpha_word_ratio", "mean_word_length", "dup_5_gram"):
        values = signals[measure].drop_nulls().cast(pl.Float64)
        for name, (count, of) in shares(line, measure).items():
            low, _, high = name.partition("-")
            inside = values.is_between(float(low), float(high), closed="left") if high else values == 0
            if measure != "characters":  # ends of ranges are rounded to four digits
                assert inside.filter(values > 0 if high else values == 0).sum() == count, (measure, name)
            assert of == len(values)
    tokens = sum(count for count, _ in shares(line, "tokens").values())
    assert tokens == table(line, "corpus").height


def test_it_tells_what_gates_read_and_no_text(curated: dict[str, Curated]) -> None:
    for line, snapshot, _ in curated.values():
        profile = table(line, "profile", snapshot)
        read = {gate.signal for _, _, gate in line.recipe.gates} - {"opted_out", "language_kept"}
        told = set(profile["measure"])
        assert {signal for signal in read if not signal.startswith("url_")} <= told | {"language_score"}
        assert not told & {"line_edits", "url_match"}
        assert profile.height < 2000
