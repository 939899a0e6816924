"""The command that says what a run will take, before it is begun."""

import json as to_json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from curation_assets.cli.making import next_command
from curation_assets.cli.program import Overrides, RecipeName, Source, app, console, errors, plain_errors, settings_of
from curation_assets.lake.progress import duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from curation_assets.forecasting.estimator import Estimate
    from curation_assets.forecasting.forecast import Forecast, Price, Schedule
    from curation_assets.forecasting.sampling import Watch

HOUR = 3600
SLACK = 0.8
"""Below this share of computing, workers are said to have waited."""


@app.command()
def forecast(
    snapshot: Annotated[str, typer.Option(help="Such as CC-MAIN-2025-05.")],
    source: Source = None,
    recipe: RecipeName = None,
    warcs: Annotated[int | None, typer.Option(help="As it would be given to `run`.")] = None,
    files: Annotated[int, typer.Option(min=1, help="WARC files to sample; more make the interval narrower.")] = 8,
    workers: Annotated[int | None, typer.Option(help="Worker processes while sampling; all cores by default.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Of each machine of the run; those of this one.")] = None,
    machines: Annotated[int, typer.Option(min=1, help="Of the run.")] = 1,
    core_hour: Annotated[float | None, typer.Option(min=0, help="Price of one core for an hour.")] = None,
    gb_month: Annotated[float | None, typer.Option(min=0, help="Price of 10⁹ bytes of disk for a month.")] = None,
    set: Overrides = None,
    json: Annotated[bool, typer.Option("--json", help="For machines; docs/forecast.md names the fields.")] = False,
) -> None:
    """Say what a run will take: core-hours, memory, disk, time and price.

    The real line runs on a few WARC files, drawn at random from those that
    the run would read, in a temporary folder (TMPDIR) that is deleted; the
    lake is not touched. What start-up costs, each WARC file, and each
    further document is told apart and scaled to the snapshot by its
    compressed bytes; by its number of files where the source is a server,
    which would have to be asked for the size of each.

    The intervals hold the truth nine times in ten, as far as it depends on
    which files were drawn. They do not cover another machine than this one,
    other programs beside it, a source that is too slow, nor what does not
    grow in proportion: in more documents more are duplicates, so documents
    kept, tokens and shards are upper bounds.

    \b
    curation forecast --snapshot CC-MAIN-2025-05 --cores 64 --machines 10 \\
        --core-hour 0.04 --gb-month 0.02
    """
    with plain_errors():
        from curation_assets.forecasting.forecast import as_json, price, schedule
        from curation_assets.forecasting.forecast import forecast as foreseen
        from curation_assets.forecasting.sampling import sample
        from curation_assets.runs import progress_bars

        used = time.process_time()  # with all that a run loads, too
        settings = settings_of(source=source, recipe=recipe, warcs=warcs, workers=workers, set=set)
        cores = cores or settings.workers
        with progress_bars(errors) as bars:  # `--json` leaves the other stream to the answer
            sampled = sample(settings, snapshot, files, _watch(bars), used)
        found = foreseen(sampled, cores * machines)
        planned = schedule(found, cores, machines)
        priced = None
        if core_hour is not None or gb_month is not None:
            priced = price(found, planned, core_hour or 0.0, gb_month or 0.0)
        if json:
            console.print_json(to_json.dumps(as_json(found, planned, priced)))
            return
        console.print(_stations(found))
        for text in (*_told(found), *_planned(found, planned), *_priced(priced), *_caveats(found)):
            console.print(text, soft_wrap=True, highlight=False)
        console.print("\nNext:")
        console.print(f"  {next_command(settings, snapshot)}", soft_wrap=True, markup=False, highlight=False)


def _watch(bars: "Bars") -> "Watch":
    """A bar for each pass."""
    tasks: dict[str, TaskID] = {}

    def advance(title: str, done: int, total: int, note: str) -> None:
        if title not in tasks:
            tasks[title] = bars.add_task(title, total=total, note="", end=None)
        bars.update(tasks[title], completed=done, note=note)

    return advance


def _stations(found: "Forecast") -> Table:
    """CPU time and bytes of each station, in units that suit the whole."""
    unit, seconds = ("core-hours", HOUR) if found.cpu_seconds.value >= HOUR else ("core-seconds", 1.0)
    table = Table(title=f"{escape(found.recipe)} on {found.snapshot}, forecast", box=None, padding=(0, 2, 0, 0))
    table.add_column("station", no_wrap=True)
    for heading in (unit, "share", "on the driver", "disk", "driver's memory"):
        table.add_column(heading, justify="right")
    whole = found.cpu_seconds.value
    for one in found.stations:
        table.add_row(
            one.name,
            _number(one.seconds / seconds),
            f"{one.seconds / whole:.1%}",
            _number(one.driver_seconds / seconds),
            _size(one.bytes.value),
            _size(one.memory_bytes),
        )
    start = found.start_driver_seconds + found.workers * found.start_worker_seconds
    driver = _number(found.start_driver_seconds / seconds)
    table.add_row("start-up", _number(start / seconds), f"{start / whole:.1%}", driver, "", "")
    return table


def _told(found: "Forecast") -> list[str]:
    share = "all of it" if found.sampled_files == found.files else f"{found.sampled_share:.2g} of it"
    kept = "at most " if found.deduplicated else ""
    return [
        f"\nSampled {found.sampled_files:,} of {found.files:,} WARC files, {share}. In brackets: 90 % intervals.",
        f"{'core-hours':<14}{_spread(found.cpu_seconds.times(1 / HOUR), _number)}",
        f"{'WARC files':<14}{_spread(found.warc_bytes, _size)}",
        f"{'documents':<14}{_spread(found.documents, _count)}",
        f"{'kept':<14}{kept}{_spread(found.kept, _count)}",
        f"{'tokens':<14}{kept}{_spread(found.tokens, _count)}",
        f"{'lake':<14}{_spread(found.lake_bytes, _size)}, and {_size(found.scratch_bytes)} of temporary files",
        f"{'memory':<14}{_size(found.worker_memory_bytes)} a worker with its sandbox at most; the driver at most "
        f"{_size(found.driver_memory_bytes)} ({_size(found.driver_sampled_bytes)} on the sample)",
    ]


def _planned(found: "Forecast", planned: "Schedule") -> list[str]:
    machines = f"{planned.machines:,} machine{'s' * (planned.machines > 1)} of {planned.cores:,} cores"
    alone = sum(one.driver_seconds for one in found.stations) + found.start_driver_seconds
    return [
        f"\nOn {machines}:",
        f"{'time':<14}{_spread(planned.wall_seconds, duration)}, of which the driver works alone for at most "
        f"{duration(alone)}",
        f"{'cores taken':<14}{_spread(planned.paid_core_hours, _number)} core-hours, waiting included",
        f"{'memory':<14}{_size(planned.machine_memory_bytes)} on the machine of the driver",
        f"{'source':<14}must deliver {_size(planned.source_bytes_per_second)}/s",
    ]


def _priced(priced: "Price | None") -> list[str]:
    if priced is None:
        return []
    return [
        f"{'price':<14}{_spread(priced.compute, _money)} for the cores; "
        f"{_spread(priced.storage_a_month, _money)} a month for the lake"
    ]


def _caveats(found: "Forecast") -> list[str]:
    told = []
    if len(found.deduplicated) > 1:
        half, whole = found.deduplicated
        told.append(
            f"\nDeduplication dropped {half:.1%} in half of the sample and {whole:.1%} in all of it: it will drop more "
            "in the snapshot, of which nothing is taken off here."
        )
    if found.busy < SLACK:
        told.append(
            f"\nWorkers computed {found.busy:.0%} of the time: they waited for the source, the disk or other programs. "
            "If a run waits as much, it takes so much longer."
        )
    return told


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.1g}"


def _size(value: float) -> str:
    return decimal(round(value))


def _spread(estimate: "Estimate", shown: Callable[[float], str]) -> str:
    value, low, high = map(shown, estimate)
    return value if low == high else f"{value} [{low} to {high}]".replace("[", "\\[")
