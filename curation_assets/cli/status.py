"""The command that says how every station of a line stands, while a run is going and after one was killed."""

from typing import Annotated

import pyarrow as pa
import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from curation_assets.cli.program import (
    LakeFolder,
    Overrides,
    RecipeName,
    Source,
    app,
    console,
    plain_errors,
    settings_of,
)
from curation_assets.lake.lake import LakeError, Stats
from curation_assets.lake.progress import counted, duration
from curation_assets.lake.standing import Looked, Standing, standings
from curation_assets.line import Line

COLOURS = {"current": "green", "stale": "yellow", "missing": "dim"}


@app.command()
def status(
    snapshot: Annotated[str | None, typer.Option(help="Such as CC-MAIN-2025-05; the newest begun by default.")] = None,
    source: Source = None,
    recipe: RecipeName = None,
    warcs: Annotated[int | None, typer.Option(help="As it was given to `run`.")] = None,
    lake: LakeFolder = None,
    set: Overrides = None,
) -> None:
    """Show how every station stands: current, stale, missing, or being made, by whom and how far.

    Options are those of the run. Manifests and footers are read, nothing else, also while a run is going or after it
    was killed. Whether the source has changed is not looked at.
    """
    with plain_errors():
        line = Line(settings_of(source=source, recipe=recipe, warcs=warcs, lake=lake, set=set))
        chosen = snapshot or _newest(line)
        table = Table(title=f"{line.recipe.name} on {chosen}", box=None, padding=(0, 2, 0, 0))
        for heading, width in (("station", 20), ("state", 10), ("parts", 0)):
            table.add_column(heading, no_wrap=True, min_width=width, justify="left" if width else "right")
        table.add_column("documents", no_wrap=True, justify="right")
        table.add_column("size", no_wrap=True, min_width=8, justify="right")
        table.add_column("", overflow="fold")
        for standing in standings(line.stations, line.lake, chosen):
            _add(table, standing)
        console.print(table)


def _newest(line: Line) -> str:
    """The newest snapshot that a run has begun. Raises `LakeError` when there is none."""
    folder = line.lake.root.joinpath(*line.key("warc_files"))
    begun = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not begun:
        raise LakeError(f"{line.lake.root} holds nothing yet; see `curation run --help`")
    return begun[-1]


def _add(table: Table, standing: Standing) -> None:
    """A line for what is committed or missing, and one for what is being made or was left unfinished."""
    name, manifest, schema = standing.station.name, standing.manifest, standing.station.schema
    if manifest is not None or standing.staged is None:
        colour = COLOURS[standing.state]
        parts = rows = size = told = ""
        if manifest is not None:
            parts, size = f"{len(manifest.files):,}", decimal(manifest.bytes)
            rows = _rows(manifest.stats, schema) if schema is not None else ""
        if standing.state == "stale":
            told = f"after {standing.after}" if standing.after else "would be made otherwise now"
        table.add_row(name, f"[{colour}]{standing.state}[/{colour}]", parts, rows, size, told)
        name = ""
    if standing.staged is not None:
        _add_staged(table, name, standing, standing.staged)


def _add_staged(table: Table, name: str, standing: Standing, staged: Looked) -> None:
    about = "about " if staged.estimated else ""
    table.add_row(
        name,
        "[cyan]being made[/cyan]" if standing.holder else "[yellow]unfinished[/yellow]",
        f"{staged.parts:,} of {staged.total:,}" if staged.total else "",
        f"{about}{_rows(staged.stats, standing.station.schema)}" if staged.stats else "",
        decimal(staged.bytes),
        "; ".join(
            [
                *_speed(staged, standing.holder is not None),
                f"by {escape(standing.holder.process)}" if standing.holder else "nobody is at work",
            ]
        ),
    )


def _rows(stats: Stats, schema: pa.Schema | None) -> str:
    """As `counted` says it; the column is of documents unless a cell says what else."""
    return counted(stats, schema).removesuffix(" left").removesuffix(" documents")


def _speed(staged: Looked, alive: bool) -> list[str]:
    if not staged.rate:
        return []
    told = [f"{60 * staged.rate:,.3g} parts/min"]
    if staged.parts and (rows := staged.stats.get("rows_in")):
        told.append(f"{staged.rate * rows / staged.parts:,.0f} read/s")
    if alive:
        told.append(f"{duration((staged.total - staged.parts) / staged.rate)} to go")
    return told
