"""How answers look in a terminal, which must not obey what a page says."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import duckdb

    from curation_assets.provenance.catalog import Column, View
    from curation_assets.provenance.whatif import Fate, Sample, Step, WhatIf

CELL = 300
"""Characters of a value that are shown; a text can be megabytes."""

PADDING = (0, 2, 0, 0)


def printable(text: str) -> str:
    """Text from the web without control characters: a terminal must not obey a page."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def answer_table(relation: "duckdb.DuckDBPyRelation") -> Table:
    """The rows of a query, each value cut to `CELL` characters. Raises `duckdb.Error` when they cannot be computed."""
    table = Table(box=None, padding=PADDING)
    for name, kind in zip(relation.columns, relation.types, strict=True):
        table.add_column(escape(printable(name)), justify="right" if kind.id in _NUMBERS else "left", overflow="fold")
    shown = relation.project(f"left(CAST(COLUMNS(*) AS VARCHAR), {CELL + 1})")
    for batch in shown.to_arrow_reader(1024):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            table.add_row(*map(_cell, row))
    return table


_NUMBERS = {
    *("tinyint", "smallint", "integer", "bigint", "hugeint"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
    *("float", "double", "decimal"),
}


def _cell(value: str | None) -> str:
    if value is None:
        return "[dim]null[/dim]"
    cut = value if len(value) <= CELL else f"{value[:CELL]}…"
    return escape(printable(cut))


def view_tables(views: "Sequence[View]", columns: "dict[str, list[Column]]") -> Iterator[Table]:
    """Each view with its columns and what they mean."""
    by_name = {view.name: view for view in views}
    for name, listed in columns.items():
        view = by_name[name]
        snapshots = len(view.partitions)
        title = f"[bold]{escape(name)}[/bold]: {view.rows:,} rows of {snapshots} snapshot{'s' * (snapshots != 1)}"
        table = Table(title=title, title_justify="left", title_style="", box=None, padding=PADDING, show_header=False)
        for _ in range(2):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for column in listed:
            table.add_row(f"  {escape(column.name)}", escape(_short(column.type)), escape(column.meaning))
        yield table


def _short(kind: str) -> str:
    return kind if len(kind) <= 24 else f"{kind.partition('(')[0]}(…){'[]' * kind.endswith('[]')}"


def funnels_table(found: "WhatIf") -> Table:
    """The new funnel beside the old, from the first gate that dropped something; a change is marked."""
    title = f"{found.recipe} on {found.snapshot}: {found.records:,} response records"
    table = Table(title=title, box=None, padding=PADDING)
    table.add_column("gate", no_wrap=True)
    for heading in ("was dropped", "left", "now dropped", "left", "to be compared"):
        table.add_column(heading, justify="right", min_width=7)
    for step in found.steps:
        if not (step.dropped_was or step.dropped or step.unknown or step in found.changed):
            continue
        table.add_row(
            step.name,
            *(_count(number) for number in (step.dropped_was, step.left_was, step.dropped, step.left)),
            _count(step.unknown or None),
            style="bold" if step in found.changed else "",
        )
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def change(step: "Step") -> str:
    """A gate's rule as it was and as it is."""
    was, now = step.rule_was, step.rule
    told = f"new: {now}" if was is None else f"gone; it was {was}" if now is None else f"{now}; it was {was}"
    return f"{step.name}: {told}"


def samples_table(samples: "Sequence[Sample]") -> Table:
    """Documents that a change concerns: URL, what became of them and what would."""
    table = Table(box=None, padding=PADDING)
    for heading in ("url", "was", "would be"):
        table.add_column(heading, overflow="fold")
    for sample in samples:
        table.add_row(escape(printable(sample.url or str(sample.doc))), _fate(sample.was), _fate(sample.now))
    return table


def _fate(fate: "Fate") -> str:
    if fate.unknown:
        return f"compared by {fate.station}"
    measured = "" if fate.value is None or fate.limit is None else f" {fate.value:.4g}, limit {fate.limit:g}"
    return f"{escape(printable(fate.verdict))}{measured}"
