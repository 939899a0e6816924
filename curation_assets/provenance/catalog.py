"""SQL over everything in the lake: DuckDB with a view for each table, over all snapshots at once.

What a recipe's tables were made from is read from the manifests, so that `documents` is the table that its verdicts
judged, whichever extractor the recipe names by now.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from curation_assets.lake.lake import Key, Lake, LakeError, Partition
from curation_assets.lake.parts import ROW_BITS
from curation_assets.lake.query import IDENTIFIER, connection, database, literal, parquet_files, quoted, source
from curation_assets.line import Line
from curation_assets.provenance.comparison import comparison_stations
from curation_assets.recipes.loading import load_recipe, published_recipes

SNAPSHOT = "snapshot"
"""The column that every view begins with."""

DOC_MEANING = f"key inside the snapshot: part number << {ROW_BITS} | row; join tables by snapshot and doc"
KINDS = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION zstd"}
"""What answers are written as, and how DuckDB is told so."""

PART = re.compile(r"(part|shard)-\d+\.(parquet|arrow)")


@dataclass(frozen=True)
class View:
    """A table of the lake as SQL sees it."""

    recipe: str | None
    """Whose table it is; None for those of the lake itself, such as `warc_files`."""
    name: str
    partitions: tuple[Partition, ...]
    """Its committed partitions that hold rows, in order of snapshots."""

    @property
    def rows(self) -> int:
        """Rows in all of its snapshots, as the manifests count them."""
        return sum(partition.manifest().rows for partition in self.partitions)


@dataclass(frozen=True)
class Column:
    """A column of a view."""

    name: str
    type: str
    """As DuckDB calls it."""
    meaning: str
    """Empty when nobody says."""


def views(line: Line, snapshot: str | None = None) -> list[View]:
    """Every table of the lake that holds rows: those of the line's recipe first, then those of the others.

    A table that recipes share is a view of each. Tables that are not rows (a tokenizer, the shards' tokens) and those
    made of several kinds of files (the band index) are left out.

    Args:
        line: recipe and lake.
        snapshot: the only one to look at; all of them by default.

    Raises:
        LakeError: the lake has no table of the recipe, or none for the snapshot.
    """
    lake = line.lake
    recipes = _recipes(lake)
    own = line.recipe.name
    if own not in recipes:
        held = f"it holds {', '.join(recipes)}: --recipe names one" if recipes else "it is empty; see `curation run`"
        raise LakeError(f"the lake {lake.root} holds nothing of recipe {own}: {held}")
    if snapshot is not None and not _snapshots(lake, own, snapshot):
        held = ", ".join(_snapshots(lake, own, None))
        raise LakeError(f"the lake {lake.root} holds nothing of recipe {own} for {snapshot}, but for {held}")
    found: dict[tuple[str | None, str], list[Partition]] = {}
    for recipe in [own, *(name for name in recipes if name != own)]:
        for at in _snapshots(lake, recipe, snapshot):
            for name, partition in _tables(lake, recipe, at).items():
                found.setdefault((recipe, name), []).append(partition)
    for folder in _folders(lake.root):
        for at in lake.snapshots((folder,)):
            if snapshot in (None, at) and _files(lake.partition((folder,), at)):
                found.setdefault((None, folder), []).append(lake.partition((folder,), at))
    return [View(recipe, name, tuple(partitions)) for (recipe, name), partitions in found.items()]


@contextmanager
def catalog(line: Line, snapshot: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB over the lake, which can read what is committed there and nothing else.

    `verdicts` is a view of the line's recipe, `refinedweb.verdicts` one of another recipe; each begins with the column
    `snapshot`. Memory is bounded (`lake.query`); no file but those of the views, no network, no extension and no
    setting can be reached from a statement. Use `select` to run what somebody else wrote: a statement of your own
    could still overwrite a file that the views read.

    >>> with catalog(line) as lake:
    ...     lake.sql("SELECT verdict, count(*) FROM verdicts GROUP BY ALL").show()

    Args:
        line: recipe and lake.
        snapshot: the only one to see; all of them by default.

    Raises:
        LakeError: the lake has no table of the recipe, or none for the snapshot.
    """
    found = views(line, snapshot)
    main = unqualified(line, found)
    with database({}) as con:
        for recipe in dict.fromkeys(view.recipe for view in found if view.recipe is not None):
            con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(recipe)}")
        relations: dict[Partition, str] = {}
        paths: set[str] = set()
        for view in found:
            for partition in view.partitions:
                files = _files(partition)
                paths |= {str(path) for path in files if path.suffix == ".parquet"}
                if partition not in relations:
                    relations[partition] = _relation(con, files, len(relations))
            selected = " UNION ALL BY NAME ".join(
                f"SELECT {literal(partition.snapshot)} AS {SNAPSHOT}, * FROM {relations[partition]}"
                for partition in view.partitions
            )
            if view.recipe is not None:
                con.execute(f"CREATE VIEW {quoted(view.recipe)}.{quoted(view.name)} AS {selected}")
            if view in main:
                con.execute(f"CREATE VIEW IF NOT EXISTS main.{quoted(view.name)} AS {selected}")
        # From here on: what the views read, and nothing else. Python's variables are no tables either.
        con.execute(f"SET allowed_paths = [{', '.join(map(literal, sorted(paths)))}]")
        con.execute("SET python_enable_replacements = false")
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        yield con


def unqualified(line: Line, found: Sequence[View]) -> list[View]:
    """The views that a name alone means: those of the lake itself and those of the line's recipe, in order."""
    shared = {view.name for view in found if view.recipe is None}
    return [
        view for view in found if view.recipe is None or (view.recipe == line.recipe.name and view.name not in shared)
    ]


def select(con: duckdb.DuckDBPyConnection, text: str, limit: int | None = None) -> duckdb.DuckDBPyRelation:
    """What a SELECT of somebody else's says, at most `limit` rows of it.

    Raises `ValueError` when the text is not one SELECT (nor DESCRIBE, SHOW, SUMMARIZE), or when DuckDB cannot bind it.
    Rows are computed when they are fetched; what fails then raises `duckdb.Error`.
    """
    try:
        statements = con.extract_statements(text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ValueError("one SELECT is answered at a time (or DESCRIBE, SHOW TABLES, SUMMARIZE): this only reads")
        # A relation is a part of other statements, so nothing may end it.
        ends = (at for at, _ in duckdb.tokenize(text) if text.encode()[at : at + 1] == b";")
        relation = con.sql(text.encode()[: next(ends, None)].decode())
        return relation if limit is None else relation.limit(limit)
    except duckdb.Error as error:
        raise ValueError(str(error)) from error


def save(line: Line, relation: duckdb.DuckDBPyRelation, path: Path, kind: str | None = None) -> int:
    """Write an answer to a file, which appears when it is whole, and return its rows.

    Args:
        line: the lake, whose folder is not written to.
        relation: the answer, as `select` gives it; it is streamed.
        path: the file, which is replaced.
        kind: `csv`, `json` (an object a line) or `parquet`; the suffix of the file's name by default.

    Raises:
        ValueError: another kind, or a file in the lake.
        duckdb.Error: the answer cannot be computed, or the file cannot be written.
    """
    kind = kind or path.suffix.removeprefix(".")
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of file that answers are written to: {', '.join(KINDS)}")
    if path.resolve().is_relative_to(line.lake.root):
        raise ValueError(f"{path} lies in the lake, which holds nothing but its own tables")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # The connection to the lake can write no file; another one, which sees nothing but the answer, does.
        with connection({}) as writer:
            writer.register("answer", relation.to_arrow_reader())
            copied = f"COPY (FROM answer) TO {literal(str(temporary))} ({KINDS[kind]})"
            (rows,) = writer.execute(copied).fetchone() or (0,)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def columns(line: Line, con: duckdb.DuckDBPyConnection) -> dict[str, list[Column]]:
    """The columns of every view of the line's recipe and of the lake itself, with what they mean, by view."""
    stations = {station.name: station for station in line.stations}
    shared = comparison_stations([load_recipe(name) for name in published_recipes()])
    others = {(station.name, column): text for station in shared for column, text in station.columns.items()}
    found: dict[str, list[Column]] = {}
    rows = con.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE schema_name = 'main' AND NOT internal AND database_name = current_database() "
        "ORDER BY table_oid, column_index"
    ).fetchall()
    for view, column, kind in rows:
        meaning = others.get((view, column), "")
        if column == SNAPSHOT:
            meaning = "the crawl that the row is of"
        elif column == "doc":
            meaning = DOC_MEANING
        elif view in stations:
            meaning = line.meaning(stations[view], column)
        found.setdefault(view, []).append(Column(column, kind, meaning))
    return found


def _recipes(lake: Lake) -> list[str]:
    """Recipes that have tables in the lake, by name."""
    return [folder for folder in _folders(lake.root) if lake.snapshots((folder, "filter_verdicts"))]


def _folders(folder: Path) -> list[str]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if IDENTIFIER.match(path.name) and path.is_dir())


def _snapshots(lake: Lake, recipe: str, only: str | None) -> list[str]:
    known = {at for table in _folders(lake.root / recipe) for at in lake.snapshots((recipe, table))}
    return sorted(at for at in known if only in (None, at))


def _tables(lake: Lake, recipe: str, snapshot: str) -> dict[str, Partition]:
    """A recipe's tables of one snapshot and all that they were made from; first what its verdicts were."""
    tables = sorted(_folders(lake.root / recipe), key=lambda table: (table != "verdicts", table))
    waiting: list[Key] = [(recipe, table) for table in tables]
    seen: set[Key] = set()
    found: dict[str, Partition] = {}
    while waiting:
        key = waiting.pop(0)
        partition = lake.partition(key, snapshot)
        manifest = partition.committed()
        if key in seen or manifest is None:
            continue
        seen.add(key)
        if _files(partition):
            found.setdefault(key[-1], partition)
        # What the verdicts were made from comes before the tables that they were not.
        waiting[:0] = [key for key in manifest.inputs.values() if key not in seen]
    return found


def _files(partition: Partition) -> list[Path]:
    """The files that hold a partition's rows: its parts, or the one table that it has; none for anything else."""
    tables = [path for path in partition.paths() if path.suffix in (".parquet", ".arrow")]
    parts = [path for path in tables if PART.fullmatch(path.name)]
    return parts or (tables if len(tables) == 1 else [])


def _relation(con: duckdb.DuckDBPyConnection, files: list[Path], number: int) -> str:
    """What stands for some files in a FROM clause."""
    origin = source(files)
    if not isinstance(origin, list):
        con.register(f"_arrow_{number}", origin)
        return f"_arrow_{number}"
    return parquet_files(origin)
