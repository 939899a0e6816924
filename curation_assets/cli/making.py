"""Commands that make something: run, demo, prepare; and what the source offers."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape

from curation_assets.cli.answers import show_funnel
from curation_assets.cli.program import (
    ClusterAddress,
    LakeFolder,
    Overrides,
    RecipeName,
    Source,
    app,
    console,
    errors,
    line_of,
    newest,
    plain_errors,
    settings_of,
)
from curation_assets.lake.lake import write_atomically
from curation_assets.settings import Settings
from curation_assets.terminal import printable

if TYPE_CHECKING:
    from curation_assets.lake.station import Staged
    from curation_assets.line import Line

DRIFT_LINES = 8
DEMO_SETTINGS = "# Written by `curation demo`. `make clean` deletes this file as long as this line is in it."


@app.command()
def run(
    snapshot: Annotated[str, typer.Option(help="Such as CC-MAIN-2025-05.")],
    source: Source = None,
    recipe: RecipeName = None,
    warcs: Annotated[int | None, typer.Option(help="A deterministic sample of so many WARC files.")] = None,
    lake: LakeFolder = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; all cores by default.")] = None,
    cluster: ClusterAddress = None,
    set: Overrides = None,
) -> None:
    """Run the whole line for one snapshot: WARC files to packed shards.

    Run it again after a failure or a change: only what is missing or no longer current is redone.
    """
    with plain_errors():
        from curation_assets.line import Line
        from curation_assets.runs import materialise

        settings = settings_of(
            source=source, recipe=recipe, warcs=warcs, lake=lake, workers=workers, cluster=cluster, set=set
        )
        staged = materialise(settings, snapshot, errors)
        show_summary(Line(settings), snapshot, staged)


@app.command()
def snapshots(source: Source = None) -> None:
    """List the snapshots that the source offers, newest first."""
    with plain_errors():
        for snapshot in line_of(source=source).archive.snapshots():
            console.print(snapshot)


@app.command()
def demo(lake: LakeFolder = None) -> None:
    """Make the embedded sample snapshot and take it through the fineweb recipe.

    Writes curation.yaml, where there is none, so that the other commands and the UI find what it made.
    """
    from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample

    with plain_errors():
        from curation_assets.line import Line
        from curation_assets.runs import materialise

        lake = lake or Path("lake")
        chosen = {
            "source": str(lake / "sample"),
            "lake": str(lake),
            "recipe_set": {"extraction.extractor": "resiliparse"},
        }
        if not Path("curation.yaml").exists():
            content = f"{DEMO_SETTINGS}\n{yaml.safe_dump(chosen, sort_keys=False)}"
            write_atomically(Path("curation.yaml"), content.encode())
        settings = Settings(**chosen)
        write_sample(Path(settings.source))
        staged = materialise(settings, SAMPLE_SNAPSHOT, errors)
        show_summary(Line(settings), SAMPLE_SNAPSHOT, staged)


@app.command(hidden=True)
def prepare() -> None:
    """Get the Dagster instance ready for `dagster dev`: refuse wrong settings, end the runs of killed commands."""
    with plain_errors():
        from curation_assets.line import Line
        from curation_assets.provenance.comparison import compared
        from curation_assets.recipes.loading import load_recipe
        from curation_assets.runs import open_instance

        settings = Settings()
        line = Line(settings)
        compared([line.recipe, *(load_recipe(recipe) for recipe in settings.recipes if recipe != settings.recipe)])
        _ = line.stations
        with open_instance(settings, console):
            pass


def show_summary(line: "Line", snapshot: str, staged: "list[Staged]") -> None:
    """Print the funnel, tokens and fill, where the shards lie, and what to type next."""
    from curation_assets.lake.query import query, source
    from curation_assets.provenance.report_station import REPORT_FILE
    from curation_assets.recipes.methods import QualityScores

    show_funnel(line, snapshot)
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    stats = line.lake.partition(line.key("packed_sequences"), snapshot).manifest().stats
    length = line.recipe.packing.sequence_length
    kept = line.lake.partition(line.key("corpus"), snapshot).manifest()
    console.print(
        f"{kept.rows:,} documents kept, {stats['tokens']:,} tokens in {stats['sequences']:,} sequences of {length:,}, "
        f"fill {stats['fill_ppm'] / 1e6:.4f}, {stats['documents_cut']:,} documents cut.",
        soft_wrap=True,
    )
    if not kept.rows:
        console.print(
            "[bold]Nothing was kept: the shards are empty. The funnel above says what dropped everything.[/bold]"
        )
    if any(isinstance(method, QualityScores) and method.model is None for method in line.recipe.methods):
        console.print("quality_scores: no classifier given (quality_scores.model): nothing was scored or dropped.")
    show_drift(line, snapshot)
    if not any(one.fresh for one in staged):
        console.print("[bold]Everything was up to date: nothing was redone.[/bold]")
    console.print(f"Shards: {escape(str(shards.folder))}", soft_wrap=True)
    report = line.lake.partition(line.key("snapshot_report"), snapshot).folder / REPORT_FILE
    console.print(f"Report: {escape(str(report))}", soft_wrap=True)
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    urls = query("provenance/first_url", {"verdicts": source(verdicts.paths())})["url"].to_pylist()
    command, tables, data = _this_command(), ("lake", "recipe"), ("source", "lake", "recipe")
    of_snapshot = "" if newest(line) == snapshot else f" --snapshot {snapshot}"
    console.print("\nNext:")
    for text in (
        *_start_ui(),
        f"{command} trace --shard 0 --sequence 0 --fetch{of_snapshot}{_options(line.settings, *data)}",
        *(f"{command} explain {shlex.quote(printable(url))}{_options(line.settings, *tables)}" for url in urls),
    ):
        console.print(f"  {text}", soft_wrap=True, markup=False, highlight=False)


def show_drift(line: "Line", snapshot: str) -> None:
    """Print in what the snapshot is unlike those before it, where it is."""
    import pyarrow as pa

    from curation_assets.lake.lake import LakeError
    from curation_assets.provenance.drift import drift

    try:
        report = drift(line.recipe, line.lake, snapshot)
    except (LakeError, OSError, pa.ArrowException) as error:
        console.print(f"Drift: profiles cannot be read: {printable(str(error))}", markup=False, soft_wrap=True)
        return
    if not report.warnings:
        return
    against = f" against {', '.join(report.against)}" if report.against else ""
    where = f"(see the checks of {line.recipe.name}/profile in the UI)"
    console.print(f"[bold]Warning: drift{against}[/bold] {where}", soft_wrap=True)
    for finding in report.warnings[:DRIFT_LINES]:
        console.print(f"  {printable(finding.told)}", soft_wrap=True, markup=False, highlight=False)
    if len(report.warnings) > DRIFT_LINES:
        console.print(f"  and {len(report.warnings) - DRIFT_LINES} more")


def next_command(settings: Settings, snapshot: str) -> str:
    """What runs a snapshot with these settings, as it can be typed here."""
    return command_line(settings, f"run --snapshot {shlex.quote(snapshot)}", "source", "lake", "recipe", "warcs")


def command_line(settings: Settings, command: str, *names: str) -> str:
    """A command as it can be typed here, with those of the named settings, and of `--set`, that it must be told."""
    return f"{_this_command()} {command}{_options(settings, *names)}"


def _this_command() -> str:
    """How this program was called, as short as it can be typed here."""
    path = Path(sys.argv[0])
    if path.suffix == ".py":
        return "python -m curation_assets.cli"
    here = path.is_absolute() and path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if here else path))


def _start_ui() -> list[str]:
    """What opens the Dagster UI here: the target of our Makefile, or Dagster's own command in any other folder."""
    if Path("Makefile").is_file() and Path("workspace.yaml").is_file():
        return ["make dev    # the Dagster UI"]
    home = [
        "export DAGSTER_HOME=$PWD/.dagster; mkdir -p $DAGSTER_HOME    # where runs are recorded from now on",
        "printf 'telemetry: {enabled: false}\\nnux: {enabled: false}\\n' > $DAGSTER_HOME/dagster.yaml",
    ]
    beside = Path(sys.argv[0]).with_name("python")
    python = shlex.quote(str(beside)) if beside.is_file() and len(beside.parts) > 1 else "python"
    # Dagster calls its own `dagster dev` superseded, by a program that is not installed with it.
    start = f"{python} -W ignore -m dagster dev -m curation_assets.definitions    # the Dagster UI"
    return [start] if os.environ.get("DAGSTER_HOME") else [*home, start]


def _options(settings: Settings, *names: str) -> str:
    """Those of the named options, and of `--set`, that a further command needs to find the same data."""
    found = Settings()
    options = [
        f"--{name} {shlex.quote(str(value))}"
        for name in names
        if (value := getattr(settings, name)) != getattr(found, name)
    ]
    if settings.recipe_set != found.recipe_set:
        options += [f"--set {shlex.quote(f'{name}={_typed(value)}')}" for name, value in settings.recipe_set.items()]
    return "".join(f" {option}" for option in options)


def _typed(value: Any) -> str:
    """A value as `--set` takes it: JSON, or the text itself where it is no JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except json.JSONDecodeError:
            return value
    return json.dumps(value)
