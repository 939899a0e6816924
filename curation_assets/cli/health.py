"""The command that looks at the source and the lake before a person starts something long."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from curation_assets.acquisition.health import source_health
from curation_assets.cli.program import LakeFolder, Overrides, RecipeName, Source, app, console, line_of, plain_errors
from curation_assets.lake.health import lake_health
from curation_assets.terminal import printable


@app.command()
def health(
    snapshot: Annotated[str | None, typer.Option(help="The one that is to be run, such as CC-MAIN-2025-05.")] = None,
    source: Source = None,
    recipe: RecipeName = None,
    lake: LakeFolder = None,
    set: Overrides = None,
) -> None:
    """Look whether the source answers and the lake can take a run; exit code 1 when something is not well."""
    with plain_errors():
        line = line_of(source=source, recipe=recipe, lake=lake, set=set)
        findings = [
            *source_health(line.archive, snapshot, datetime.now(UTC).date()),
            *lake_health(line.lake, line.stations, snapshot),
        ]
    for one in findings:
        mark = "[green]well[/green]" if one.passed else "[red]not well[/red]"
        told = escape(printable(one.told))
        console.print(f"{mark}  {one.name.replace('_', ' ')}: {told}", soft_wrap=True, highlight=False)
    if not all(one.passed for one in findings):
        raise typer.Exit(1)
