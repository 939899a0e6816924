"""Recipes side by side, on a lake written by hand."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import hypothesis
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.definitions import build_definitions
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.checks import CheckFailed, stats_view
from curation_assets.lake.lake import Lake, LakeError, Manifest
from curation_assets.lake.parts import PartWriter, describe, part_name
from curation_assets.lake.query import query
from curation_assets.lake.station import Station, run
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.provenance.comparison import (
    OVERLAPS,
    STAGES,
    Compared,
    compared,
    comparison_inputs,
    comparison_stations,
    overlaps,
    stages,
)
from curation_assets.provenance.stations import VERDICTS
from curation_assets.recipes.loading import RecipeError, load_recipe
from curation_assets.settings import Settings

SNAPSHOT = "CC-MAIN-2000-01"
KEPT = None
REFINEDWEB, FINEWEB = load_recipe("refinedweb"), load_recipe("fineweb")
BOTH = compared([REFINEDWEB, FINEWEB])


def commit(lake: Lake, key: tuple[str, str], tables: list[pa.Table], stats: dict[str, int], snapshot: str) -> None:
    partition = lake.partition(key, snapshot)
    partition.staging.mkdir(parents=True)
    for number, table in enumerate(tables):
        with PartWriter(partition.staging / part_name(number), table.schema, "") as writer:
            writer.write(table)
    files = [describe(path, fingerprint="") for path in sorted(partition.staging.iterdir())]
    partition.commit(Manifest(station=key[-1], snapshot=snapshot, fingerprint="", files=files, stats=stats))


def judge(lake: Lake, recipe: str, *parts: list[str | None], snapshot: str = SNAPSHOT) -> None:
    """Verdicts of a recipe, by the station that dropped a document or `KEPT`, and the corpus and tokens that follow."""
    verdicts, corpora = [], []
    for part, dropped_by in enumerate(parts):
        rows = [
            {"doc": part << 32 | row, "station": station, "verdict": "kept" if station is KEPT else "some_gate"}
            for row, station in enumerate(dropped_by)
        ]
        verdicts.append(pa.Table.from_pylist(rows, schema=VERDICTS))
        corpora.append(pa.table({"doc": pa.array([row["doc"] for row in rows if row["station"] is KEPT], pa.int64())}))
    kept = sum(table.num_rows for table in corpora)
    commit(lake, (recipe, "verdicts"), verdicts, {}, snapshot)
    commit(lake, (recipe, "corpus"), corpora, {"text_bytes": 100 * kept}, snapshot)
    commit(lake, (recipe, "tokens"), corpora, {"tokens": 10 * kept}, snapshot)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Six records in two parts: refinedweb keeps two, fineweb three, one of them the same."""
    lake = Lake(tmp_path / "lake")
    judge(lake, "refinedweb", ["acquisition", KEPT, "language"], [KEPT, "minhash_duplicates", "language"])
    judge(lake, "fineweb", ["acquisition", KEPT, "c4_quality"], ["acquisition", KEPT, KEPT])
    return lake


def test_every_station_has_what_it_drops_and_leaves(lake: Lake) -> None:
    rows = stages(BOTH, comparison_inputs(lake, SNAPSHOT, BOTH)).to_pylist()
    assert [row["station"] for row in rows if row["recipe"] == "fineweb"] == [
        "acquisition",
        "takedowns",
        *(station.name for station in FINEWEB.stations),
    ]
    found = {(row["recipe"], row["station"]): row for row in rows}
    shown = found["refinedweb", "language"]
    assert (shown["documents"], shown["dropped"], shown["left"]) == (5, 2, 3)
    assert shown["share_of_records"] == pytest.approx(3 / 6)
    assert shown["share_of_texts"] == pytest.approx(3 / 5)
    assert shown["tokens"] is shown["published_share"] is None
    last = found["refinedweb", "url_duplicates"]
    assert (last["left"], last["tokens"], last["text_bytes"], last["published_share"]) == (2, 20, 200, 0.1167)
    last = found["fineweb", "minhash_duplicates"]
    assert (last["left"], last["tokens"], last["published_share"]) == (3, 30, None)
    assert last["share_of_texts"] == pytest.approx(3 / 4)


def test_overlap_is_of_documents(lake: Lake) -> None:
    rows = overlaps(BOTH, comparison_inputs(lake, SNAPSHOT, BOTH)).to_pylist()
    assert [(row["recipe"], row["other"], row["shared"]) for row in rows] == [
        ("refinedweb", "refinedweb", 2),
        ("refinedweb", "fineweb", 1),
        ("fineweb", "refinedweb", 1),
        ("fineweb", "fineweb", 3),
    ]
    assert [row["jaccard"] for row in rows] == pytest.approx([1, 1 / 4, 1 / 4, 1])


def test_recipes_that_keep_nothing_have_no_jaccard_index(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    judge(lake, "refinedweb", ["language"])
    judge(lake, "fineweb", ["acquisition"])
    inputs = comparison_inputs(lake, SNAPSHOT, BOTH)
    assert {row["jaccard"] for row in overlaps(BOTH, inputs).to_pylist()} == {None}
    assert stages(BOTH, inputs)["left"].to_pylist()[-1] == 0


@hypothesis.settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_overlaps_are_those_of_sets(tmp_path_factory: pytest.TempPathFactory, kept: list[tuple[bool, ...]]) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    recipes = [Compared(name=name, stations=("acquisition", "gate"), published_yield=None) for name in "abc"]
    for number, one in enumerate(recipes):
        decided = [KEPT if row[number] else "gate" for row in kept]
        judge(lake, one.name, decided[: len(kept) // 2], decided[len(kept) // 2 :])
    sets = {one.name: {doc for doc, row in enumerate(kept) if row[number]} for number, one in enumerate(recipes)}
    for row in overlaps(recipes, comparison_inputs(lake, SNAPSHOT, recipes)).to_pylist():
        one, other = sets[row["recipe"]], sets[row["other"]]
        assert (row["kept"], row["other_kept"], row["shared"]) == (len(one), len(other), len(one & other))
        assert row["jaccard"] == (pytest.approx(len(one & other) / len(one | other)) if one | other else None)


def test_the_stations_publish_both_tables(lake: Lake, engine: LocalEngine) -> None:
    made = [run(station, lake, SNAPSHOT, engine) for station in comparison_stations([REFINEDWEB, FINEWEB])]
    assert [pl.read_parquet(one.paths()).height for one in made] == [13 + 10, 4]
    assert made[0].manifest.stats["corpus.fineweb"] == 3
    again = [run(station, lake, SNAPSHOT, engine) for station in comparison_stations([REFINEDWEB, FINEWEB])]
    assert not any(one.fresh for one in again)


def test_one_recipe_is_not_compared() -> None:
    assert comparison_stations([FINEWEB]) == comparison_stations([FINEWEB, FINEWEB]) == []


def test_two_recipes_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(f"extends: fineweb\nname: mine\nset: {{packing.seed: {seed}}}\n")
    mine = [str(tmp_path / folder / "mine.yaml") for folder in "ab"]
    with pytest.raises(RecipeError, match="two recipes are called 'mine'"):
        build_definitions(Settings(recipe=mine[0], recipes=(mine[1],)))
    assert len(compared([load_recipe(mine[0]), load_recipe(mine[0])])) == 1


def test_a_recipe_does_not_inherit_a_published_yield(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: refinedweb\nname: mine\n")
    assert load_recipe(str(path)).published_yield is None
    assert load_recipe("dclm_baseline").published_yield == 0.014


def changed(column: str, row: int, by: float) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[row][column] += by
        return pa.Table.from_pylist(rows, schema=table.schema)

    return change


FAULTS: list[tuple[int, Callable[[pa.Table], pa.Table]]] = [
    (0, changed("dropped", 3, 1)),
    (0, changed("left", 3, 1)),
    (0, changed("left", 11, 1)),
    (0, changed("documents", 0, 1)),
    (0, lambda table: table.slice(1)),
    (0, lambda table: table.slice(0, 18)),
    (0, lambda table: table.slice(12)),
    (1, changed("shared", 1, 1)),
    (1, changed("shared", 0, -1)),
    (1, changed("kept", 1, 1)),
    (1, changed("jaccard", 1, 0.1)),
    (1, lambda table: table.slice(1)),
    (1, lambda table: pa.concat_tables([table, table.slice(0, 1)])),
    (1, lambda table: pa.concat_tables([table.slice(0, 1)] * 4)),
]


@pytest.mark.parametrize(("number", "fault"), FAULTS)
def test_a_fault_is_found(lake: Lake, engine: LocalEngine, number: int, fault: Callable[[pa.Table], pa.Table]) -> None:
    station: Station = comparison_stations([REFINEDWEB, FINEWEB])[number]
    staged = run(station, lake, SNAPSHOT, engine)
    sound = pl.read_parquet(staged.paths()).to_arrow().cast((STAGES, OVERLAPS)[number])
    stats = stats_view(staged.manifest.stats)
    (check,) = station.conservation

    def passed(this: pa.Table) -> bool:
        return query(check.sql, {"this": this, "stats": stats}).to_pylist()[0]["passed"]

    assert passed(sound)
    assert not passed(fault(sound))


def test_verdicts_of_a_station_that_the_recipe_has_no_more_are_not_published(
    tmp_path: Path, engine: LocalEngine
) -> None:
    lake = Lake(tmp_path)
    judge(lake, "refinedweb", ["some_old_station", KEPT])
    judge(lake, "fineweb", [KEPT, KEPT])
    with pytest.raises(CheckFailed, match="recipes_are_conserved"):
        run(comparison_stations([REFINEDWEB, FINEWEB])[0], lake, SNAPSHOT, engine)


def test_recipes_that_judged_other_records_are_not_compared(tmp_path: Path, engine: LocalEngine) -> None:
    lake = Lake(tmp_path)
    judge(lake, "refinedweb", [KEPT, KEPT])
    judge(lake, "fineweb", [KEPT])
    with pytest.raises(CheckFailed, match="recipes_are_conserved"):
        run(comparison_stations([REFINEDWEB, FINEWEB])[0], lake, SNAPSHOT, engine)
    with pytest.raises(LakeError, match=r"different records of CC-MAIN-2000-01 \(refinedweb 2, fineweb 1\)"):
        comparison_inputs(lake, SNAPSHOT, BOTH)


def compare(lake: Lake, *arguments: str, width: int = 120) -> tuple[int, str]:
    runner = CliRunner(env={"COLUMNS": str(width), "TERM": "dumb"})
    done = runner.invoke(app, ["compare", "--lake", str(lake.root), *arguments])
    return done.exit_code, " ".join(done.output.split())


def test_the_command_prints_both_tables(lake: Lake) -> None:
    code, shown = compare(lake, "--recipe", "refinedweb", "--recipe", "fineweb")
    assert code == 0
    assert "refinedweb acquisition 1 5 83.33% 100.00%" in shown
    assert "language 2 3 50.00% 60.00%" in shown
    assert "url_duplicates 0 2 33.33% 40.00% 11.67% 20" in shown
    assert "refinedweb 2 1 0.250" in shown
    assert "fineweb 1 0.250 3" in shown


def test_the_command_cuts_no_name_or_number_on_a_narrow_terminal(lake: Lake) -> None:
    _, shown = compare(lake, "--recipe", "refinedweb", "--recipe", "fineweb", width=40)
    assert "…" not in shown


def test_the_command_takes_the_newest_snapshot_that_all_have(lake: Lake) -> None:
    judge(lake, "fineweb", [KEPT], snapshot="CC-MAIN-2000-02")
    both = ("--recipe", "refinedweb", "--recipe", "fineweb")
    assert "Recipes on CC-MAIN-2000-01" in compare(lake, *both)[1]
    code, shown = compare(lake, *both, "--snapshot", "CC-MAIN-2000-02")
    assert code == 1
    assert "holds no verdicts of recipe refinedweb for CC-MAIN-2000-02" in shown
    assert "curation run --snapshot CC-MAIN-2000-02 --recipe refinedweb" in shown
    code, shown = compare(lake, "--recipe", "gopher", "--recipe", "fineweb")
    assert code == 1
    assert "(gopher: none; fineweb: CC-MAIN-2000-01, CC-MAIN-2000-02)" in shown


def test_the_command_wants_two_recipes(lake: Lake) -> None:
    code, shown = compare(lake, "--recipe", "fineweb")
    assert code == 1
    assert "takes two recipes or more" in shown


def test_dagster_compares_the_recipes_of_the_settings(sample: Path, tmp_path: Path) -> None:
    """Two recipes on the sample: both tables are materialised, checked, and say which columns they come from."""
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: fineweb\nname: mine\nstations: [language]\n")
    settings = Settings(
        source=str(sample),
        lake=tmp_path / "lake",
        recipes=(str(mine),),
        recipe_set={"extraction.extractor": "resiliparse"},
        workers=2,
        warcs=1,
    )
    definitions = build_definitions(settings)
    assert dg.AssetKey("recipe_overlaps") not in {
        spec.key for spec in build_definitions(settings.model_copy(update={"recipes": ()})).resolve_all_asset_specs()
    }
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        job = definitions.resolve_job_def("curate_snapshot")
        assert job.execute_in_process(partition_key=SAMPLE_SNAPSHOT, instance=instance).success
        event = instance.get_latest_materialization_event(dg.AssetKey("recipe_overlaps"))
    assert event is not None
    assert event.asset_materialization is not None
    lineage = event.asset_materialization.metadata["dagster/column_lineage"].value.deps_by_column
    assert {dep.asset_key.path[0] for dep in lineage["jaccard"]} == {"fineweb", "mine"}
    line = Line(settings)
    written = pl.read_parquet(line.lake.partition(("recipe_overlaps",), SAMPLE_SNAPSHOT).paths())
    kept = {recipe: documents_kept(line.lake, recipe) for recipe in ("fineweb", "mine")}
    both = written.filter(recipe="fineweb", other="mine").row(0, named=True)
    assert both["shared"] == len(kept["fineweb"]) > 0
    assert kept["fineweb"] < kept["mine"]


def documents_kept(lake: Lake, recipe: str) -> set[int]:
    paths = lake.partition((recipe, "verdicts"), SAMPLE_SNAPSHOT).paths(".parquet")
    return set(pl.read_parquet(paths).filter(verdict="kept")["doc"])
