"""Deduplication across snapshots: what came before is told, and the order of arrival does not matter."""

import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curation_assets.engine.local import LocalEngine
from curation_assets.lake.lake import LakeError
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.provenance.explain import explain
from curation_assets.settings import Settings
from curation_tests.mirrors import add_snapshot, content, partition, prose, table

FIRST, SECOND = "CC-MAIN-2001-05", "CC-MAIN-2001-10"
RECIPE = """\
name: across
description: Near-duplicates across snapshots.
extraction: {extractor: resiliparse}
consent: []
language: {}
stations:
- size: {too_short: words_nonsymbol < 50}
- minhash_duplicates: {across_snapshots: true, by_language: true}
"""


def page(*seeds: int) -> str:
    return "".join(f"<p>{sentence}</p>" for seed in seeds for sentence in prose(seed, 20))


@pytest.fixture(scope="module")
def mirror(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two snapshots that share a file of the sample; the second repeats a page of its own, too."""
    folder = tmp_path_factory.mktemp("mirror")
    add_snapshot(folder, sample, FIRST, [0, 1], [page(1), page(2)])
    add_snapshot(folder, sample, SECOND, [1, 2], [page(3), page(1), page(3), page(4)])
    (folder / "across.yaml").write_text(RECIPE)
    return folder


def line_of(mirror: Path, lake: Path) -> Line:
    return Line(Settings(source=str(mirror), lake=lake, recipe=str(mirror / "across.yaml"), workers=2))


def curate(line: Line, snapshot: str, engine: LocalEngine) -> dict[str, Staged]:
    """What the stations up to the corpus did."""
    did: dict[str, Staged] = {}
    for staged in line.run(snapshot, engine):
        did[staged.station.name] = staged
        if "corpus" in did:
            break
    return did


@pytest.fixture(scope="module")
def in_order(mirror: Path, engine: LocalEngine, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The first snapshot, then the second, which changes nothing of the first."""
    line = line_of(mirror, tmp_path_factory.mktemp("lake"))
    curate(line, FIRST, engine)
    alone = content(line)
    curate(line, SECOND, engine)
    assert content(line).items() > alone.items()
    return line


def test_documents_of_the_second_are_dropped_for_those_of_the_first(in_order: Line) -> None:
    first, second = (table(in_order, "verdicts", snapshot) for snapshot in (FIRST, SECOND))
    elsewhere = second.filter((pl.col("verdict") == "minhash_duplicate") & (pl.col("detail") == FIRST))
    here = second.filter((pl.col("verdict") == "minhash_duplicate") & pl.col("detail").is_null())
    assert first["detail"].drop_nulls().is_in([SECOND]).sum() == 0
    survivors = first.filter(pl.col("verdict") == "kept")["doc"]
    assert elsewhere["duplicate_of"].is_in(survivors.implode()).all()
    assert here["duplicate_of"].is_in(second.filter(pl.col("verdict") == "kept")["doc"].implode()).all()
    # The shared file: what the first snapshot kept or dropped of it is dropped by the second.
    compared = table(in_order, "minhash_duplicates", FIRST)["doc"]
    shared = first.filter(pl.col("doc").is_in(compared.implode()))["record_id"]
    again = second.filter(
        pl.col("record_id").is_in(shared.implode()) & pl.col("url").str.contains("own.example").not_()
    )
    assert again.height > 50
    assert set(again["verdict"]) == {"minhash_duplicate"}
    own = second.filter(pl.col("url").str.contains("own.example")).sort("doc")
    assert own["verdict"].to_list() == ["kept", "minhash_duplicate", "minhash_duplicate", "kept"]
    assert own["detail"].to_list() == [None, FIRST, None, None]
    rows = table(in_order, "minhash_duplicates", SECOND)
    assert rows.filter(pl.col("cluster_snapshot").is_not_null())["survivor"].any() is False


def test_a_duplicate_of_another_snapshot_is_not_explained_by_a_stranger(in_order: Line) -> None:
    """The survivor's number belongs to its own snapshot: the same number here is another document."""
    first, second = (table(in_order, "verdicts", snapshot) for snapshot in (FIRST, SECOND))
    names = dict(first.select("doc", "url").iter_rows())
    for row in second.filter(pl.col("detail") == FIRST).head(5).iter_rows(named=True):
        found = [
            one
            for one in explain(in_order.lake, in_order.recipe.name, row["record_id"], [SECOND])
            if one.verdict["doc"] == row["doc"]
        ]
        assert found[0].verdict["detail"] == FIRST
        assert found[0].verdict["duplicate_of_url"] in (names[row["duplicate_of"]], None)


def test_running_again_redoes_nothing_and_any_order_of_arrival_gives_the_same(
    in_order: Line, mirror: Path, engine: LocalEngine, tmp_path: Path
) -> None:
    expected = content(in_order)
    for snapshot in (FIRST, SECOND):
        assert not any(staged.fresh for staged in curate(in_order, snapshot, engine).values())
    other = line_of(mirror, tmp_path)
    before = curate(other, SECOND, engine)
    assert before["minhash_duplicates"].manifest.stats["rows_out"] > 0
    curate(other, FIRST, engine)
    again = {name for name, staged in curate(other, SECOND, engine).items() if staged.fresh}
    assert "minhash_duplicates" in again
    assert not again & {"documents", "languages", "signals", "minhash_signatures", "band_index"}
    assert content(other) == expected


def test_a_first_that_is_replaced_changes_the_second(
    in_order: Line, sample: Path, mirror: Path, engine: LocalEngine, tmp_path: Path
) -> None:
    shutil.copytree(in_order.lake.root, tmp_path / "lake")
    shutil.copytree(mirror, tmp_path / "mirror")
    line = line_of(tmp_path / "mirror", tmp_path / "lake")
    add_snapshot(tmp_path / "mirror", sample, FIRST, [], [page(2)])
    curate(line, FIRST, engine)
    curate(line, SECOND, engine)
    kept = [table(one, "verdicts", SECOND).filter(pl.col("verdict") == "kept")["url"] for one in (in_order, line)]
    assert set(kept[0]) < set(kept[1])
    assert "https://own.example/2" in set(kept[1]) - set(kept[0])
    # Without the first, the second is as if it had been alone.
    shutil.rmtree(partition(line, "band_index", FIRST).folder)
    shutil.rmtree(partition(line, "minhash_signatures", FIRST).folder)
    assert curate(line, SECOND, engine)["minhash_duplicates"].fresh
    assert table(line, "verdicts", SECOND)["detail"].drop_nulls().is_in([FIRST]).sum() == 0


LINES = """\
name: lines
description: Each line once, in whatever snapshot.
extraction: {extractor: resiliparse}
consent: []
language: {}
stations:
- size: {too_short: words_nonsymbol < 50}
- segment_duplicates: {scope: global, min_left: 1}
"""


def test_a_line_of_an_earlier_snapshot_is_cut(mirror: Path, engine: LocalEngine, tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text(LINES)
    settings = Settings(source=str(mirror), lake=tmp_path / "lake", recipe=str(tmp_path / "lines.yaml"), workers=2)
    line = Line(settings)
    alone = curate(line, SECOND, engine)["segment_duplicates"].manifest.stats
    curate(line, FIRST, engine)
    again = curate(line, SECOND, engine)["segment_duplicates"]
    assert again.fresh
    assert again.manifest.stats["bytes_cut"] > alone["bytes_cut"]
    lines = [set(text.split("\n")) - {""} for name in (FIRST, SECOND) for text in table(line, "corpus", name)["text"]]
    counts = Counter(line for text in lines for line in text)
    # Masks make lines equal that were not.
    assert [text for text, count in counts.items() if count > 1 and "@example." not in text] == []
    assert not curate(line, SECOND, engine)["segment_duplicates"].fresh


def test_keys_of_other_segments_are_not_compared(mirror: Path, engine: LocalEngine, tmp_path: Path) -> None:
    (tmp_path / "lines.yaml").write_text(LINES)

    def line(**changed: str) -> Line:
        values = {f"segment_duplicates.{name}": value for name, value in changed.items()}
        recipe = str(tmp_path / "lines.yaml")
        return Line(Settings(source=str(mirror), lake=tmp_path / "lake", recipe=recipe, recipe_set=values, workers=2))

    curate(line(), FIRST, engine)
    with pytest.raises(LakeError, match=f"segment_keys/{FIRST} was made with unit line"):
        curate(line(unit="paragraph"), SECOND, engine)


def test_what_does_not_change_signatures_may_differ_between_snapshots(
    in_order: Line, mirror: Path, engine: LocalEngine, tmp_path: Path
) -> None:
    shutil.copytree(in_order.lake.root, tmp_path / "lake")
    values = {"minhash_duplicates.audited_documents": 16}
    recipe = str(mirror / "across.yaml")
    line = Line(Settings(source=str(mirror), lake=tmp_path / "lake", recipe=recipe, recipe_set=values, workers=2))
    curate(line, SECOND, engine)
    assert table(line, "verdicts", SECOND).equals(table(in_order, "verdicts", SECOND))
