"""The command that makes a report and says where it is."""

import webbrowser
from typing import Annotated

import typer

from curation_assets.cli.program import (
    LakeFolder,
    Overrides,
    RecipeName,
    Snapshot,
    app,
    errors,
    newest,
    plain_errors,
    settings_of,
)


@app.command()
def report(
    snapshot: Snapshot = None,
    lake: LakeFolder = None,
    recipe: RecipeName = None,
    open: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    set: Overrides = None,
) -> None:
    """Print the path of a snapshot's report: one HTML page. It is written when it is missing or no longer current."""
    with plain_errors():
        from curation_assets.lake.lake import LakeError
        from curation_assets.lake.station import CheckFailed, run
        from curation_assets.line import Line
        from curation_assets.provenance.report_station import REPORT_FILE

        line = Line(settings_of(lake=lake, recipe=recipe, set=set))
        chosen = snapshot or newest(line)
        station = next(one for one in line.stations if one.name == "snapshot_report")
        try:
            with line.engine() as engine, errors.status("measuring"):
                staged = run(station, line.lake, chosen, engine)
        except LakeError as error:
            hint = "A report is of a finished run: give the --recipe and the --set that it had."
            raise LakeError(f"{error} {hint}") from error
        except CheckFailed as error:
            raise LakeError(str(error)) from error
        path = staged.partition.folder / REPORT_FILE
        typer.echo(path)
        if open:
            webbrowser.open(path.as_uri())
