"""What a contract is judged by: a metrics frame that DuckDB counts in one pass, and a bounded sample of the rows.

A pass takes parts of at most `PASS_ROWS` rows together, and the frame has one row a pass. So what is held in memory,
the distinct keys of a pass above all, does not grow with the table. A key is unique in the table when it is in each
pass and the passes' ranges of keys follow one another, as those of parts do (`part << 32 | row`); both are counted.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation_assets.lake.contracts import VALUE_KINDS, Contract, Rule
from curation_assets.lake.query import Source, connection, named, quoted, source

PASS_ROWS = 250_000
"""Rows counted in one pass, but for a part that has more."""

SAMPLE_ROWS = 10_000
SAMPLE_GROUPS = 16
"""Row groups, or batches of an Arrow file, that the sample is taken from."""
SAMPLE_CHARACTERS = 200
"""Of each text of the sample."""
SAMPLE_BATCH = 64
"""Rows of a sample whose whole texts are held at a time."""

SHOWN_ROWS = 20
"""Rows named for a rule that is broken."""
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Table:
    """The files of a table that is to be judged, of the tables that it refers to, and the counters of both."""

    paths: Sequence[Path]
    rows: Mapping[str, int]
    """By name of file."""
    inputs: Mapping[str, Sequence[Path]]
    stats: Mapping[str, pa.Table]
    """Views of counters: `stats` and `<input>_stats`."""

    def data(self) -> list[Path]:
        """The files that hold rows."""
        return [path for path in self.paths if path.suffix in (".parquet", ".arrow") and path.name in self.rows]

    def passes(self) -> Iterator[list[Path]]:
        """Files whose rows are counted together."""
        taken: list[Path] = []
        rows = 0
        for path in self.data():
            if taken and rows + self.rows[path.name] > PASS_ROWS:
                yield taken
                taken, rows = [], 0
            taken.append(path)
            rows += self.rows[path.name]
        if taken:
            yield taken

    def views(self, paths: Sequence[Path]) -> dict[str, Source]:
        """What the SQL of a pass sees: of inputs with the same parts, those of the pass."""
        views: dict[str, Source] = {"this": source(paths)}
        for name, found in self.inputs.items():
            parts = self._parts.get(name)
            views[name] = source(found if parts is None else [parts[path.stem] for path in paths])
        return {**views, **self.stats}

    @cached_property
    def _parts(self) -> dict[str, dict[str, Path]]:
        """Of inputs that have all the parts of the table, the files by name of part."""
        own = {path.stem for path in self.data()}
        named = {name: {path.stem: path for path in found} for name, found in self.inputs.items()}
        return {name: files for name, files in named.items() if own <= files.keys()}


def differences(table: Table, contract: Contract, schema: pa.Schema) -> dict[str, str]:
    """Columns that are missing, of another type or too many in any file, and what is there instead."""
    allowed = {found.name: (found.type,) for found in schema}
    allowed |= {name: column.types for name, column in contract.columns.items() if column.types}
    differ: dict[str, str] = {}
    for path in table.data():
        made = {found.name: found.type for found in _schema(path)}
        for name in {**allowed, **made}:
            if made.get(name) not in allowed.get(name, ()):
                differ.setdefault(name, str(made.get(name, "missing")))
    return differ


def metrics(table: Table, rules: Sequence[Rule], schema: pa.Schema) -> pa.Table:
    """The metrics frame: one row a pass. Its columns: `rows`; for each rule, in its words, the rows that break it; and
    for columns with a range `least <column>` and `most <column>`."""
    counted = [rule for rule in rules if rule.kind not in ("columns", "rows") and not rule.sampled]
    texts = ["this", *(f"{rule.breaks} {rule.of.references}" for rule in counted)]
    key = next((rule for rule in counted if rule.kind == "unique"), None)
    rows: list[dict[str, Any]] = []
    last: Any = None
    for paths in table.passes():
        with connection(named(table.views(paths), texts)) as con:
            row = _count(con, counted)
            if key is not None and pa.types.is_integer(schema.field(key.columns[0]).type):
                at = quoted(key.columns[0])
                first, end = con.sql(f"SELECT min({at}), max({at}) FROM this").fetchall()[0]
                row[key.says] += int(last is not None and first is not None and first <= last)
                last = end if last is None or end is None else max(last, end)
        rows.append(row)
    return pa.Table.from_pylist(rows) if rows else pa.table({"rows": [0]})


def failing(table: Table, rule: Rule, contract: Contract) -> list[dict[str, Any]]:
    """The first rows by key that break a rule: their keys and, of the columns that it is about, values cut short."""
    found: list[dict[str, Any]] = []
    named = [*contract.key, *(name for name in rule.columns if name not in contract.key)]
    columns = ", ".join(quoted(name) for name in named)
    for paths in table.passes():
        with connection(table.views(paths)) as con:
            rows = con.sql(f"SELECT {columns} FROM {_broken(rule)} ORDER BY ALL LIMIT {SHOWN_ROWS}")
            found += rows.to_arrow_table().to_pylist()
        if len(found) >= SHOWN_ROWS:
            break
    return [{name: shown(value) for name, value in row.items()} for row in found[:SHOWN_ROWS]]


def sample(table: Table, contract: Contract, schema: pa.Schema) -> pa.Table:
    """At most `SAMPLE_ROWS` rows, the same ones for the same files: the first of row groups that lie evenly over parts.

    Of the columns of the key and those whose values a rule is about, without those that hold lists or bytes. Texts are
    cut to `SAMPLE_CHARACTERS`.
    """
    ruled = {rule.columns[0] for rule in contract.rules(schema) if rule.kind in VALUE_KINDS}.union(contract.key)
    names = [
        one.name for one in schema if one.name in ruled and not (pa.types.is_nested(one.type) or _is_binary(one.type))
    ]
    paths = [path for path in table.data() if table.rows[path.name]]
    chosen = evenly(paths, SAMPLE_GROUPS)
    taken = [schema.empty_table().select(names)]
    for path in chosen:
        taken += _groups(path, names, SAMPLE_GROUPS // len(chosen), SAMPLE_ROWS // len(chosen))
    return pa.concat_tables(taken, promote_options="permissive")


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of some items, evenly spaced, the first among them."""
    step = max(len(items) / most, 1)
    return [items[int(place * step)] for place in range(min(len(items), most))]


def shown(value: Any) -> str | int | float | bool | None:
    """A value as evidence keeps it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _count(con: duckdb.DuckDBPyConnection, rules: Sequence[Rule]) -> dict[str, Any]:
    """One row of the metrics frame."""
    terms = ["count(*) AS rows"]
    for rule in rules:
        names = ", ".join(quoted(name) for name in rule.columns)
        if rule.kind == "unique":
            present = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in rule.columns)
            distinct = names if len(rule.columns) == 1 else f"({names})"
            keep = f" FILTER (WHERE {present})"
            terms.append(f"count(*){keep} - count(DISTINCT {distinct}){keep} AS {quoted(rule.says)}")
        elif rule.kind == "range":
            terms += [f"min({names}) AS {quoted(f'least {rule.columns[0]}')}"]
            terms += [f"max({names}) AS {quoted(f'most {rule.columns[0]}')}"]
        elif rule.kind != "reference":
            terms.append(f"count(*) FILTER (WHERE {rule.breaks}) AS {quoted(rule.says)}")
    (row,) = con.sql(f"SELECT {', '.join(terms)} FROM this").to_arrow_table().to_pylist()
    for rule in rules:
        if rule.kind == "range" and _within(rule, row):
            row[rule.says] = 0
        elif rule.kind in ("range", "reference"):
            ((row[rule.says],),) = con.sql(f"SELECT count(*) FROM {_broken(rule)}").fetchall()
    return row


def _within(rule: Rule, row: Mapping[str, Any]) -> bool:
    """Whether the extremes of a column keep its range, so that no row can break it. NaN is above all numbers."""
    extremes = [row[f"{which} {rule.columns[0]}"] for which in ("least", "most")]
    least = -math.inf if rule.of.least is None else rule.of.least
    most = math.inf if rule.of.most is None else rule.of.most
    return all(value is None or (math.isfinite(value) and least <= value <= most) for value in extremes)


def _broken(rule: Rule) -> str:
    """SQL for a relation of the rows that break a rule."""
    if rule.kind == "reference":
        assert rule.of.references is not None
        name, column = rule.of.references.split(".")
        at = quoted(rule.columns[0])
        return (
            f"(SELECT * FROM this WHERE {at} IS NOT NULL) AS made "
            f"ANTI JOIN (SELECT {quoted(column)} AS found FROM {name}) AS known ON made.{at} = known.found"
        )
    if rule.kind == "unique":
        names = ", ".join(quoted(name) for name in rule.columns)
        return f"(SELECT * FROM this QUALIFY count(*) OVER (PARTITION BY {names}) > 1) AS made"
    return f"(SELECT * FROM this WHERE {rule.breaks}) AS made"


def _schema(path: Path) -> pa.Schema:
    if path.suffix == ".arrow":
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            return reader.schema
    return pq.read_schema(path)


def _groups(path: Path, names: list[str], most: int, rows: int) -> Iterator[pa.Table]:
    """The first rows of row groups that lie evenly in a file."""
    if path.suffix == ".arrow":
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            groups = [index for index in range(reader.num_record_batches) if reader.get_batch(index).num_rows]
            chosen = evenly(groups, most)
            for index in chosen:
                batch = reader.get_batch(index).select(names).slice(0, rows // len(chosen))
                yield _cut(pa.Table.from_batches([batch]))
        return
    with pq.ParquetFile(path) as file:
        chosen = evenly(range(file.num_row_groups), most)
        for index in chosen:
            left = rows // len(chosen)
            for batch in file.iter_batches(SAMPLE_BATCH, row_groups=[index], columns=names, use_threads=False):
                yield _cut(pa.Table.from_batches([batch.slice(0, left)]))
                left -= batch.num_rows
                if left <= 0:
                    break


def _cut(table: pa.Table) -> pa.Table:
    for index, found in enumerate(table.schema):
        if pa.types.is_string(found.type) or pa.types.is_large_string(found.type):
            cut = pc.call_function("utf8_slice_codeunits", [table.column(index)], pc.SliceOptions(0, SAMPLE_CHARACTERS))
            table = table.set_column(index, found, cut)
    return table


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind) or pa.types.is_large_binary(kind)
