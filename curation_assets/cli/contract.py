"""The command that shows a table's contract: its rules, what was found of them, and Great Expectations' own pages."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from curation_assets.cli.program import (
    LakeFolder,
    Overrides,
    RecipeName,
    Snapshot,
    app,
    console,
    newest,
    plain_errors,
    settings_of,
)
from curation_assets.lake.checks import CheckResult, ContractCheck, Judged, frames, load
from curation_assets.lake.lake import LakeError
from curation_assets.line import Line
from curation_assets.terminal import printable


@app.command()
def contract(
    table: Annotated[str, typer.Argument(help="A table of the recipe, such as documents; `all` names them.")] = "all",
    data_docs: Annotated[
        Path | None, typer.Option(help="Folder that Great Expectations' pages about the table are written to.")
    ] = None,
    snapshot: Snapshot = None,
    lake: LakeFolder = None,
    recipe: RecipeName = None,
    set: Overrides = None,
) -> None:
    """Show what must hold of a table, and what its last check found; --data-docs writes it as web pages."""
    with plain_errors():
        line = Line(settings_of(lake=lake, recipe=recipe, set=set))
        stations = {
            one.name: (one, check) for one in line.stations for check in one.checks if isinstance(check, ContractCheck)
        }
        if table == "all":
            for name, (_, check) in stations.items():
                console.print(f"{name}: {len(check.rules)} rules", markup=False, highlight=False)
            return
        if table not in stations:
            raise ValueError(f"recipe {line.recipe.name} has no table {table} with a contract: {', '.join(stations)}")
        station, check = stations[table]
        at = snapshot or newest(line)
        partition = line.lake.partition(station.key, at)
        manifest = partition.committed()
        found = load(station.checks, manifest, partition.folder) if manifest is not None else None
        show_contract(check, next((one for one in found or [] if one.check is check), None), partition.name)
        if data_docs is not None:
            from curation_assets.lake.expectations import write_data_docs

            if manifest is None:
                raise LakeError(f"{partition.name} is not materialised: there is nothing to make pages of")
            inputs = {name: line.lake.partition(key, at) for name, key in station.sources.items()}
            judged, _ = frames(check, Judged(partition.paths(), manifest, inputs, tuple(station.inputs)).table)
            page = write_data_docs(table, at, check.rules, judged, data_docs)
            console.print(f"Pages: {escape(str(page))}", soft_wrap=True)


def show_contract(check: ContractCheck, result: CheckResult | None, partition: str) -> None:
    """Print the rules, each with what was found."""
    found: dict[str, dict[str, Any]] = {row["rule"]: row for row in result.evidence["rules"]} if result else {}
    shown = RichTable(box=None, padding=(0, 1, 0, 0))
    for heading in ("rule", "looked at", "observed", "rows that break it"):
        shown.add_column(heading, overflow="fold", justify="right" if heading.startswith("rows") else "left")
    for rule in check.rules:
        row = found.get(rule.says, {})
        count = row.get("rows that break it")
        shown.add_row(
            escape(rule.says),
            "a sample" if rule.sampled else "all rows",
            escape(printable(str(row.get("observed", "")))),
            "" if count is None else f"{count:,}",
        )
    console.print(shown)
    told = "has not been judged with these rules"
    if result is not None:
        told = f"{'keeps' if result.passed else 'breaks'} it: {result.evidence['rows']:,} rows, "
        told += f"{result.evidence['sampled_rows']:,} of them in the sample"
    console.print(f"\n{partition} {told}.", soft_wrap=True, highlight=False)
