"""The lake in SQL: everything that is committed can be read, and nothing else can."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import LakeError
from curation_assets.line import Line
from curation_assets.provenance.catalog import catalog, columns, save, select, views
from curation_assets.settings import Settings
from curation_tests.conftest import EVERY_METHOD, REPEATED_SNAPSHOT, RESILIPARSE, Curated
from curation_tests.mirrors import table

EXAMPLES = re.findall(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "docs" / "sql.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def line(curated: dict[str, Curated]) -> Line:
    return curated["fineweb"].line


@pytest.fixture(scope="module")
def lake(line: Line) -> Iterator[duckdb.DuckDBPyConnection]:
    with catalog(line) as con:
        yield con


def test_every_table_with_rows_is_a_view(line: Line, curated: dict[str, Curated]) -> None:
    for recipe, run in curated.items():
        found = {view.name: view for view in views(run.line) if view.recipe == recipe}
        for name, staged in run.staged.items():
            if staged.station.schema is None:
                assert name not in found, name
            elif staged.manifest.rows:
                assert found[name].rows == staged.manifest.rows, name
    with catalog(line) as con:
        for view in views(line):
            place = f"{view.recipe}.{view.name}" if view.recipe else view.name
            counted = con.execute(f"SELECT count(*), count(snapshot) FROM {place}").fetchone()
            assert counted == (view.rows, view.rows), place


def test_a_view_is_its_table_with_the_snapshot(line: Line, lake: duckdb.DuckDBPyConnection) -> None:
    for name in ("verdicts", "signals"):
        rows = lake.sql(f"SELECT * FROM {name} ORDER BY doc").to_arrow_table()
        assert rows["snapshot"].unique().to_pylist() == [SAMPLE_SNAPSHOT]
        ours = pl.DataFrame(rows).drop("snapshot")
        assert ours.drop("line_edits", strict=False).equals(table(line, name).drop("line_edits", strict=False))


def test_all_snapshots_are_seen_or_one(curated: dict[str, Curated], tmp_path: Path) -> None:
    """Also where one of them was made with other columns."""
    line = curated["every_method"].line
    for place in ("fineweb/verdicts", "fineweb/filter_verdicts"):
        source = line.lake.root / place / SAMPLE_SNAPSHOT
        for number in (0, 1):
            target = tmp_path / place / f"CC-MAIN-2000-0{number + 1}"
            target.mkdir(parents=True)
            for path in source.glob("[_p]*"):
                (target / path.name).write_bytes(path.read_bytes())
            part = target / "part-00000.parquet"
            pl.read_parquet(part).with_columns(pl.lit(1).alias(f"only_{number}")).write_parquet(part)
            for other in sorted(target.glob("part-*"))[1:]:
                pl.read_parquet(other).with_columns(pl.lit(1).alias(f"only_{number}")).write_parquet(other)
    both = Line(Settings(source=line.settings.source, lake=tmp_path))
    with catalog(both) as con:
        counted = con.execute("SELECT snapshot, count(only_0), count(only_1) FROM verdicts GROUP BY ALL ORDER BY ALL")
        rows = table(curated["fineweb"].line, "verdicts").height
        assert counted.fetchall() == [("CC-MAIN-2000-01", rows, 0), ("CC-MAIN-2000-02", 0, rows)]
    with catalog(both, "CC-MAIN-2000-02") as con:
        assert con.execute("SELECT DISTINCT snapshot FROM verdicts").fetchall() == [("CC-MAIN-2000-02",)]


def test_shared_tables_are_those_that_the_verdicts_were_made_from(curated: dict[str, Curated]) -> None:
    """Whatever extractor and definitions the settings name now."""
    settings = curated["refinedweb"].line.settings.model_copy(update={"recipe_set": {}})
    with catalog(Line(settings)) as con:
        for recipe in ("refinedweb", "fineweb"):
            line = curated[recipe].line
            counted = con.execute(f"SELECT sum(words), count(*) FROM {recipe}.signals").fetchone()
            signals = table(line, "signals")
            assert counted == (signals["words"].sum(), signals.height)


def test_every_column_of_a_view_is_explained(line: Line, lake: duckdb.DuckDBPyConnection) -> None:
    listed = columns(line, lake)
    assert {"verdicts", "documents", "corpus", "signals", "tokens", "warc_files"} <= set(listed)
    assert [f"{view}.{column.name}" for view, of in listed.items() for column in of if not column.meaning] == []
    assert next(iter(listed)) == "verdicts"
    assert all(of[0].name == "snapshot" for of in listed.values())


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_documentation_work(lake: duckdb.DuckDBPyConnection, example: str) -> None:
    rows = select(lake, example).fetchall()
    assert rows


def test_the_first_example_counts_verdicts(line: Line, lake: duckdb.DuckDBPyConnection) -> None:
    counted = {verdict: count for _, verdict, count in select(lake, EXAMPLES[0]).fetchall()}
    assert counted == dict(table(line, "verdicts")["verdict"].value_counts().iter_rows())


@pytest.mark.parametrize(
    "text",
    [
        "DROP VIEW verdicts",
        "CREATE TABLE a AS SELECT 1",
        "INSERT INTO verdicts VALUES (1)",
        "COPY (SELECT 1) TO '{folder}/a.csv'",
        "COPY (SELECT 1) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)",
        "ATTACH '{folder}/a.db'",
        "EXPORT DATABASE '{folder}'",
        "SET memory_limit = '1TB'",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "SELECT 1; DROP VIEW verdicts",
        "WITH a AS (INSERT INTO verdicts VALUES (1) RETURNING *) SELECT * FROM a",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '{manifest}'",
        "SELECT * FROM parquet_metadata('{folder}/own.parquet')",
        "SELECT * FROM 'https://example.invalid/a.parquet'",
        "SELECT * FROM line",
        "SELEC 1",
        "",
        "-- nothing",
    ],
)
def test_nothing_else_can_be_done(line: Line, lake: duckdb.DuckDBPyConnection, tmp_path: Path, text: str) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "own.parquet")
    part = line.lake.partition(line.key("verdicts"), SAMPLE_SNAPSHOT).paths()[0]
    before = part.read_bytes()
    with pytest.raises(ValueError):
        select(lake, text.format(folder=tmp_path, part=part, manifest=part.with_name("_manifest.json"))).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["own.parquet"]
    assert part.read_bytes() == before
    assert select(lake, "SELECT count(*) FROM verdicts").fetchall()


def test_an_answer_is_as_long_as_is_asked_for(lake: duckdb.DuckDBPyConnection) -> None:
    assert len(select(lake, "SELECT * FROM verdicts;  -- all", 7).fetchall()) == 7
    assert len(select(lake, "SELECT * FROM range(5000)").fetchall()) == 5000
    assert select(lake, "SELECT 'é; --' AS a -- all", 1).fetchall() == [("é; --",)]
    for text in ("DESCRIBE verdicts;", "SHOW TABLES", "SUMMARIZE verdicts", "FROM verdicts", "VALUES (1), (2), (3)"):
        assert len(select(lake, text, 2).fetchall()) == 2


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_an_answer_is_saved(line: Line, lake: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str) -> None:
    answer = select(lake, "SELECT doc, url, failed_gates FROM verdicts ORDER BY doc", 50)
    path = tmp_path / f"answer.{kind}"
    path.write_text("an earlier one")
    assert save(line, answer, path) == 50
    expected = table(line, "verdicts").sort("doc").head(50)
    match kind:
        case "parquet":
            assert pl.read_parquet(path).equals(expected.select("doc", "url", "failed_gates"))
        case "json":
            assert [json.loads(row) for row in path.read_text().splitlines()] == expected.select(
                "doc", "url", "failed_gates"
            ).to_dicts()
        case "csv":
            assert pl.read_csv(path)["url"].to_list() == expected["url"].to_list()
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


def test_an_answer_that_fails_leaves_no_file(line: Line, lake: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error):
        save(line, select(lake, "SELECT url::INT FROM verdicts"), tmp_path / "a.csv")
    with pytest.raises(ValueError, match="no kind of file"):
        save(line, select(lake, "SELECT 1"), tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match="lies in the lake"):
        save(line, select(lake, "SELECT 1"), line.lake.root / "fineweb" / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_lake_without_the_recipe_says_what_it_has(sample: Path, line: Line, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="holds nothing of recipe fineweb: it is empty"):
        views(Line(Settings(source=str(sample), lake=tmp_path)))
    own = tmp_path / "own.yaml"
    own.write_text(EVERY_METHOD.read_text().replace("name: every_method", "name: own"))
    other = line.settings.model_copy(update={"recipe": str(own), "recipe_set": RESILIPARSE})
    with pytest.raises(LakeError, match=r"it holds .*every_method.*fineweb.*: --recipe names one"):
        views(Line(other))


def test_a_snapshot_that_is_not_there_is_named(line: Line) -> None:
    with pytest.raises(LakeError, match=f"nothing of recipe fineweb for CC-MAIN-1999-01, but for {SAMPLE_SNAPSHOT}"):
        views(line, "CC-MAIN-1999-01")


def test_other_snapshots_of_other_recipes_are_there(lake: duckdb.DuckDBPyConnection) -> None:
    rows = lake.execute("SELECT DISTINCT snapshot FROM every_method.verdicts").fetchall()
    assert rows == [(REPEATED_SNAPSHOT,)]
