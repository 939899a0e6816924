"""Two funnels over the same documents: what gates would drop is what a run drops."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.engine.local import LocalEngine
from curation_assets.filtering.gates import FILTER_VERDICTS
from curation_assets.lake.lake import LakeError
from curation_assets.lake.query import query
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.provenance.stations import VERDICTS
from curation_assets.provenance.whatif import LOOKED, STEPS, NoGateError, WhatIf, what_if
from curation_assets.settings import Settings
from curation_tests.mirrors import table


@pytest.fixture(autouse=True)
def made(staged: dict[str, Staged]) -> None:
    """The lake has the sample."""


def changed(line: Line, **overrides: Any) -> Line:
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    return Line(line.settings.model_copy(update={"recipe_set": line.settings.recipe_set | given}))


def dropped(found: WhatIf) -> dict[str, int]:
    return {step.name: step.dropped for step in found.steps if step.dropped}


TIGHTER = {"language_score": 0.95, "gopher_short_doc": "words_nonsymbol <= 320", "line_punct_ratio": 0.5}
LOOSER = {"gopher_short_doc": 10, "list_ratio": None, "consent": ["noai"], "language__languages": ["en", "de"]}


@pytest.mark.parametrize("overrides", [TIGHTER, LOOSER, TIGHTER | LOOSER | {"gopher_short_doc": 200}])
def test_gates_drop_what_a_run_drops(
    line: Line, overrides: dict[str, Any], tmp_path: Path, engine: LocalEngine
) -> None:
    found = what_if(changed(line, **overrides), SAMPLE_SNAPSHOT)
    shutil.copytree(line.lake.root, tmp_path / "lake")
    other = changed(line, **overrides)
    run = Line(other.settings.model_copy(update={"lake": tmp_path / "lake"}))
    for one in run.run(SAMPLE_SNAPSHOT, engine):
        if one.station.name == "verdicts":
            break
    counted = Counter(table(run, "verdicts")["verdict"].to_list())
    kept, duplicates = counted.pop("kept"), counted.pop("minhash_duplicate")
    ours = dropped(found)
    ours.pop("minhash_duplicate", None)
    assert ours == counted
    assert found.kept <= kept + found.unknown <= found.kept + 2 * found.unknown + found.duplicates
    assert kept + duplicates == found.steps[-1].left + (found.steps[-1].dropped or 0)
    was = Counter(table(line, "verdicts")["verdict"].to_list())
    assert found.kept_was == was.pop("kept")
    assert {step.name: step.dropped_was for step in found.steps if step.dropped_was} == was


def test_nothing_changes_when_nothing_is_changed(line: Line) -> None:
    found = what_if(line, SAMPLE_SNAPSHOT)
    assert found.changed == []
    assert all((step.dropped, step.left, step.unknown) == (step.dropped_was, step.left_was, 0) for step in found.steps)
    assert (found.gained, found.lost, found.moved, found.unknown) == (0, 0, 0, 0)
    assert found.kept == found.kept_was == found.steps[-1].left
    assert found.records == table(line, "verdicts").height


def test_the_lost_are_shown_with_what_was_measured(line: Line) -> None:
    lengths = table(line, "signals").join(table(line, "verdicts"), on="doc").filter(pl.col("verdict") == "kept")
    limit = int(lengths["words_nonsymbol"].median() or 0)  # type: ignore[arg-type]
    found = what_if(changed(line, gopher_short_doc=limit), SAMPLE_SNAPSHOT, samples=3)
    lost = lengths.filter(pl.col("words_nonsymbol") < limit)
    assert found.lost == lost.height
    assert (found.gained, found.unknown, found.gained_samples) == (0, 0, [])
    of_clusters = lost.filter(pl.col("cluster_size") > 1)
    assert (found.clusters, found.duplicates) == (of_clusters.height, (of_clusters["cluster_size"] - 1).sum())
    assert len(found.lost_samples) == 3
    for sample in found.lost_samples:
        (row,) = lost.filter(pl.col("doc") == sample.doc).to_dicts()
        assert sample.url == row["url"]
        assert sample.was == ("kept", None, None, None, False)
        assert sample.now == ("gopher_short_doc", "gopher_quality", row["words_nonsymbol"], limit, False)
    more = what_if(changed(line, gopher_short_doc=limit), SAMPLE_SNAPSHOT, samples=5)
    assert more.lost_samples[:3] == found.lost_samples


def test_the_gained_would_be_compared(line: Line) -> None:
    found = what_if(changed(line, list_ratio=None), SAMPLE_SNAPSHOT, samples=100)
    were = table(line, "verdicts").filter(pl.col("verdict") == "list_ratio")
    assert found.gained == found.unknown == were.height > 0
    assert found.kept == found.kept_was
    assert {sample.doc for sample in found.gained_samples} == set(were["doc"])
    for sample in found.gained_samples:
        assert (sample.was.verdict, sample.was.limit) == ("list_ratio", 0.3)
        assert (sample.now.station, sample.now.unknown) == ("minhash_duplicates", True)
    (gone,) = found.changed
    assert (gone.name, gone.rule_was, gone.rule, gone.dropped) == ("list_ratio", "list_ratio > 0.3", None, None)
    assert found.steps.index(gone) == len(found.steps) - 2


def test_it_does_not_depend_on_how_many_parts_are_decided_at_a_time(line: Line) -> None:
    tighter = changed(line, **TIGHTER)
    alone = Line(tighter.settings.model_copy(update={"workers": 1}))
    assert what_if(tighter, SAMPLE_SNAPSHOT) == what_if(alone, SAMPLE_SNAPSHOT)


def test_progress_is_told(line: Line) -> None:
    told: list[tuple[int, int]] = []
    what_if(line, SAMPLE_SNAPSHOT, progress=lambda done, parts: told.append((done, parts)))
    assert told == [(done, 4) for done in range(1, 5)]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("extraction.extractor", "trafilatura", "documents: extractor is 'trafilatura' and was 'resiliparse'"),
        ("language.characters", 200, "languages: characters is 200 and was 1000"),
        ("minhash_duplicates.bands", 20, "minhash_signatures: bands is 20 and was 14"),
        ("signals", "dclm", "signals: definitions"),
        ("line_edits", "none", "signals: line_edits"),
        ("url_filter.categories", ["adult"], "url_matches: "),
        ("packing.sequence_length", 1024, "packed_sequences: sequence_length is 1024 and was 2048"),
    ],
)
def test_what_is_no_gate_is_refused(line: Line, name: str, value: Any, told: str) -> None:
    with pytest.raises(NoGateError) as refused:
        what_if(changed(line, **{name: value}), SAMPLE_SNAPSHOT)
    assert str(refused.value).startswith(told)
    assert f"curation run --snapshot {SAMPLE_SNAPSHOT} --recipe fineweb" in str(refused.value)


def test_a_snapshot_that_was_not_run_is_named(line: Line, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no verdicts of recipe fineweb for CC-MAIN-1999-01: `curation run"):
        what_if(line, "CC-MAIN-1999-01")


def test_the_least_quality_score_is_decided_again(sample: Path, tmp_path: Path, engine: LocalEngine) -> None:
    """Scores are columns: without a classifier every document has the score 1."""
    own = tmp_path / "own.yaml"
    own.write_text(
        "extends: gopher\nname: own\ndescription: mine\n"
        "stations: [{length: {short: words < 10}}, {quality_scores: {min_score: 0.5}}]\n"
    )
    overrides = {"extraction.extractor": "resiliparse"}
    line = Line(Settings(source=str(sample), lake=tmp_path, recipe=str(own), recipe_set=overrides, warcs=1, workers=2))
    for one in line.run(SAMPLE_SNAPSHOT, engine):
        if one.station.name == "verdicts":
            break
    same = what_if(changed(line, quality_scores__min_score=0.9), SAMPLE_SNAPSHOT)
    assert (same.kept, same.lost) == (same.kept_was, 0)
    none = what_if(changed(line, quality_scores__min_score=1.5), SAMPLE_SNAPSHOT)
    assert (none.kept, none.lost) == (0, none.kept_was)
    assert [(step.name, step.rule_was, step.rule) for step in none.changed] == [("quality_score", "< 0.5", "< 1.5")]
    assert {sample.now.verdict for sample in none.lost_samples} == {"quality_score"}
    own.write_text(own.read_text().replace("quality_scores: {min_score: 0.5}", "simhash_duplicates: {}"))
    with pytest.raises(NoGateError, match="are now and were: simhash_duplicates and quality_scores"):
        what_if(Line(line.settings), SAMPLE_SNAPSHOT)


GATES, METHODS = 4, 2
DOCUMENT = st.tuples(
    st.booleans(),  # whether it has a text
    st.lists(st.booleans(), min_size=GATES, max_size=GATES),  # the gates that it failed
    st.lists(st.booleans(), min_size=GATES, max_size=GATES),  # those that it fails now
    st.lists(st.booleans(), min_size=METHODS, max_size=METHODS),  # the methods that would drop it
)


@settings(deadline=None, max_examples=40)
@given(
    st.permutations(["gate"] * GATES + ["method"] * METHODS),
    st.lists(st.booleans(), min_size=GATES, max_size=GATES),
    st.lists(DOCUMENT, max_size=12),
)
def test_the_way_of_each_document_is_as_walked_step_by_step(
    kinds: list[str], altered: list[bool], documents: list[tuple[bool, list[bool], list[bool], list[bool]]]
) -> None:
    """Gates before, between and after methods: whatever order, the first step that stops a document is its fate."""
    number = Counter[str]()
    steps = []
    for kind in kinds:
        steps.append((kind, number[kind]))
        number[kind] += 1
    verdicts, filtered, redecided, looked, expected = [], [], [], [], Counter[tuple[Any, ...]]()
    for doc, (text, failed, fails, drops) in enumerate(documents):
        fails = [new if altered[gate] else old for gate, (old, new) in enumerate(zip(failed, fails, strict=True))]
        was, seen = "kept", set()
        for position, (kind, which) in enumerate(steps if text else []):
            if kind == "method":
                seen.add(which)
                looked.append({"doc": doc, "position": position, "survivor": not drops[which]})
            if failed[which] if kind == "gate" else drops[which]:
                was = f"{kind}{which}"
                break
        now, unknown = "kept", False
        for kind, which in steps:
            unknown = kind == "method" and which not in seen
            if unknown or (fails[which] if kind == "gate" else drops[which]):
                now = f"{kind}{which}"
                break
        if not text:
            was = now = "text_empty"
            unknown = False
        expected[was, now, unknown] += 1
        station = None if was == "kept" else "s" if text else "acquisition"
        verdicts.append({"doc": doc, "verdict": was, "station": station, "cluster_size": 1})
        failed_gates = [f"gate{gate}" for gate in range(GATES) if failed[gate]] if text else []
        filtered.append({"doc": doc, "failed_gates": failed_gates})
        again = [
            place for place, (kind, which) in enumerate(steps) if kind == "gate" and altered[which] and fails[which]
        ]
        redecided.append({"doc": doc, "position": (again[0] if again else None) if text else -1})
    rows = query(
        "provenance/whatif",
        {
            "verdicts": pa.Table.from_pylist(verdicts, VERDICTS),
            "filter_verdicts": pa.Table.from_pylist(filtered, FILTER_VERDICTS),
            "redecided": pa.Table.from_pylist(redecided, FILTER_VERDICTS),
            "looked": pa.Table.from_pylist(looked, LOOKED),
            "steps": pa.Table.from_pylist(
                [
                    {
                        "position": place,
                        "station": "s",
                        "name": f"{kind}{which}",
                        "changed": kind == "gate" and altered[which],
                    }
                    for place, (kind, which) in enumerate(steps)
                ],
                STEPS,
            ),
        },
        {"methods": [place for place, (kind, _) in enumerate(steps) if kind == "method"], "samples": 1},
    ).to_pylist()
    assert Counter({(row["was"], row["now"], row["unknown"]): row["documents"] for row in rows}) == expected
