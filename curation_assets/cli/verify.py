"""The command that reads the lake again and compares every file with its manifest."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from curation_assets.cli.making import next_command
from curation_assets.cli.program import (
    ClusterAddress,
    LakeFolder,
    Overrides,
    app,
    console,
    errors,
    plain_errors,
    settings_of,
)
from curation_assets.engine.local import Engine
from curation_assets.lake.integrity import Fault, Recorded, committed_partitions, look, recorded, set_aside
from curation_assets.lake.lake import MANIFEST, DamagedError, Key, LakeError, Partition
from curation_assets.line import Line
from curation_assets.recipes.loading import RecipeError, published_recipes
from curation_assets.settings import Settings
from curation_assets.terminal import printable


@app.command()
def verify(
    snapshot: Annotated[str | None, typer.Option(help="Such as CC-MAIN-2025-05; all snapshots by default.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Only the tables of this recipe, shared ones too; all tables by default.")
    ] = None,
    lake: LakeFolder = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; all cores by default.")] = None,
    cluster: ClusterAddress = None,
    set: Overrides = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged files aside, so that the next run makes them again.")
    ] = False,
) -> None:
    """Read every committed file again and compare it with the SHA-256 in its manifest; exit 1 when one differs."""
    with plain_errors():
        settings = settings_of(lake=lake, recipe=recipe, workers=workers, cluster=cluster, set=set)
        line = Line(settings)
        keys = {station.key for station in line.stations} if recipe else None
        partitions = [
            partition
            for partition in committed_partitions(line.lake)
            if snapshot in (None, partition.snapshot) and (keys is None or partition.key in keys)
        ]
        if not partitions:
            raise LakeError(f"{line.lake.root} holds nothing to verify: no table is committed there")
        with line.engine() as engine:
            damaged = find_damage(partitions, engine)
        if not damaged:
            return
        if repair:
            for partition, found in damaged.items():
                set_aside(partition, found)
            show_next(settings, damaged)
        else:
            errors.print("`curation verify --repair` moves these files aside, so that a run makes them again.")
        raise typer.Exit(1)


def find_damage(partitions: list[Partition], engine: Engine) -> dict[Partition, list[Fault]]:
    """Compare every file of some partitions with their manifests, with a progress bar; prints what it finds."""
    damaged: dict[Partition, list[Fault]] = defaultdict(list)
    owners: dict[str, Partition] = {}
    items: list[Recorded] = []
    for partition in partitions:
        owners[str(partition.folder)] = partition
        try:
            items += recorded(partition)
        except DamagedError:
            damaged[partition].append(Fault(partition.folder / MANIFEST, "it cannot be read"))
    size = sum(file.bytes for _, file in items)
    columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors) as bars:
        task = bars.add_task("files", total=len(items))
        for fault in engine.map(look, items):
            bars.advance(task)
            if fault is not None and fault not in damaged[owners[str(fault.path.parent)]]:
                damaged[owners[str(fault.path.parent)]].append(fault)
    found = {partition: sorted(damaged[partition], key=lambda fault: fault.path) for partition in partitions}
    found = {partition: faults for partition, faults in found.items() if faults}
    for fault in (fault for faults in found.values() for fault in faults):
        console.print(f"[red]damaged:[/red] {escape(printable(str(fault)))}", soft_wrap=True, highlight=False)
    count = sum(map(len, found.values()))
    told = f"{count:,} damaged" if count else "all as committed"
    console.print(f"{len(items):,} files, {decimal(size)}, in {len(partitions):,} partitions: {told}", highlight=False)
    return found


def show_next(settings: Settings, damaged: Iterable[Partition]) -> None:
    """Print the commands that make again what was moved aside: one for each snapshot and recipe."""
    console.print("Moved aside. What makes it again, and nothing else:")
    commands = {next_command(_with_table(settings, partition.key), partition.snapshot): None for partition in damaged}
    for command in commands:
        console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)


def _with_table(settings: Settings, key: Key) -> Settings:
    """The settings with a recipe that has a table: theirs, another of theirs, or a published one."""
    for recipe in dict.fromkeys((settings.recipe, *settings.recipes, *published_recipes())):
        one = settings.model_copy(update={"recipe": recipe})
        try:
            if any(station.key == key for station in Line(one).stations):
                return one
        except RecipeError:
            continue
    return settings
