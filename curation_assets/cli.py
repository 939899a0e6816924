"""The command line: the same assets, with progress bars, and answers about what they made."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from curation_assets.acquisition.archive import ArchiveError
from curation_assets.lake.lake import LakeError, Stats, write_atomically
from curation_assets.lake.query import query, source
from curation_assets.lake.station import Staged, Station
from curation_assets.line import Line
from curation_assets.provenance.explain import Explanation
from curation_assets.recipes.recipe import RecipeError
from curation_assets.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Common Crawl snapshots in, packed LLM training shards out.\n\n"
    "Options not given come from the environment (CURATION_SOURCE, CURATION_LAKE, ...) or from curation.yaml.",
)
console = Console()
errors = Console(stderr=True)

Source = Annotated[
    str | None, typer.Option(help="https://data.commoncrawl.org/, s3://commoncrawl/, or a local folder of that layout.")
]
LakeFolder = Annotated[Path | None, typer.Option("--lake", help="Folder that all tables are written to.")]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Published recipe, or the path of a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Replace a recipe's value: extraction.extractor=resiliparse, language_score=0.7."),
]
Snapshot = Annotated[str | None, typer.Option(help="Such as CC-MAIN-2025-05; the newest in the lake by default.")]


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors that a person can act on, without a traceback."""
    from curation_assets.provenance.trace import TraceError

    try:
        yield
    except (ArchiveError, LakeError, RecipeError, TraceError, FileNotFoundError, ValueError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}")
        raise typer.Exit(1) from error


def _settings(**given: Any) -> Settings:
    overrides = {}
    for assignment in given.pop("set", None) or []:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set takes name=value, not {assignment!r}")
        try:
            overrides[name] = json.loads(value)
        except json.JSONDecodeError:
            overrides[name] = value
    if overrides:
        given["recipe_set"] = overrides
    return Settings(**{name: value for name, value in given.items() if value is not None})


class BarReporter:
    """A progress bar for each station, and what was published."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.staged: list[Staged] = []
        self._tasks: dict[str, Any] = {}

    def progress(self, station: Station, log: Callable[[str], None]) -> Callable[[int, int, Stats], None]:
        """A bar that fills as parts are finished."""
        task = self._tasks[station.name] = self.bars.add_task(station.name, total=None, note="")

        def advance(done: int, total: int, stats: Stats) -> None:
            self.bars.update(task, completed=done, total=total, note=f"{stats.get('rows_out', 0):,} rows")

        return advance

    def published(self, staged: Staged) -> None:
        """Complete the station's bar."""
        self.staged.append(staged)
        files = len(staged.manifest.files)
        rows = staged.manifest.stats.get("rows_out", staged.manifest.rows)
        note = f"{rows:,} rows" if staged.fresh else f"{rows:,} rows, up to date"
        self.bars.update(self._tasks[staged.station.name], completed=files, total=files, note=note)


def _use_instance() -> None:
    """Record runs where `make dev` looks: the folder with dagster.yaml, unless DAGSTER_HOME says otherwise."""
    here = Path.cwd()
    if "DAGSTER_HOME" not in os.environ and (here / "dagster.yaml").is_file():
        os.environ["DAGSTER_HOME"] = str(here)
    if os.environ.get("DAGSTER_HOME") == str(here):
        os.environ.setdefault("CURATION_STATE", str(here / ".dagster"))


def materialise(settings: Settings, snapshot: str) -> list[Staged]:
    """Materialise every asset for one snapshot in this process, with progress bars.

    The run is recorded in the Dagster instance of DAGSTER_HOME, where there is one. Raises `LakeError` when data
    broke a check, and otherwise whatever a station raised.
    """
    import dagster as dg

    from curation_assets.definitions import build_definitions
    from curation_assets.partitions import SNAPSHOTS

    instance = dg.DagsterInstance.get() if os.environ.get("DAGSTER_HOME") else dg.DagsterInstance.ephemeral()
    name, note = TextColumn("{task.description:<20}"), TextColumn("{task.fields[note]}")
    bars = Progress(name, BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), note, console=errors)
    with instance, bars:
        reporter = BarReporter(bars)
        definitions = build_definitions(settings, reporter)
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [snapshot])
        try:
            definitions.resolve_job_def("curate_snapshot").execute_in_process(
                partition_key=snapshot,
                instance=instance,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        except dg.Failure as failure:
            raise LakeError(failure.description) from failure
    return reporter.staged


@app.command()
def run(
    snapshot: Annotated[str, typer.Option(help="Such as CC-MAIN-2025-05.")],
    source: Source = None,
    recipe: RecipeName = None,
    warcs: Annotated[int | None, typer.Option(help="A deterministic sample of so many WARC files.")] = None,
    lake: LakeFolder = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; all cores by default.")] = None,
    set: Overrides = None,
) -> None:
    """Run the whole line for one snapshot: WARC files to packed shards.

    Run it again after a failure or a change: only what is missing or no longer current is redone.
    """
    with _plain_errors():
        settings = _settings(source=source, recipe=recipe, warcs=warcs, lake=lake, workers=workers, set=set)
        _use_instance()
        staged = materialise(settings, snapshot)
        show_summary(Line(settings), snapshot, staged)


@app.command()
def funnel(
    snapshot: Snapshot = None, lake: LakeFolder = None, recipe: RecipeName = None, set: Overrides = None
) -> None:
    """Show how many documents each gate dropped, and how many were left."""
    with _plain_errors():
        line = Line(_settings(lake=lake, recipe=recipe, set=set))
        show_funnel(line, snapshot or newest(line))


@app.command()
def trace(
    shard: Annotated[int, typer.Option(help="Number of the shard.")],
    sequence: Annotated[int, typer.Option(help="Number of the sequence in the shard.")],
    token: Annotated[int, typer.Option(help="Position in the sequence.")] = 0,
    fetch: Annotated[bool, typer.Option("--fetch", help="Read the record again from the source.")] = False,
    snapshot: Snapshot = None,
    source: Source = None,
    lake: LakeFolder = None,
    recipe: RecipeName = None,
    set: Overrides = None,
) -> None:
    """Trace a token of a shard to its document, WARC file, offset and length."""
    from curation_assets.provenance.trace import fetch as fetch_record
    from curation_assets.provenance.trace import trace as trace_token

    with _plain_errors():
        line = Line(_settings(source=source, lake=lake, recipe=recipe, set=set))
        found = trace_token(line, snapshot or newest(line), shard, sequence, token)
        table = Table(show_header=False, box=None)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in {
            "record id": found.record_id,
            "url": found.url,
            "date": found.date,
            "WARC file": found.warc_file,
            "offset": found.warc_offset,
            "length": found.warc_length,
            "document": f"{found.doc} (part {found.doc >> 32}, row {found.doc & 0xFFFFFFFF})",
            "token": f"{found.token_of_document} of the document: {found.token_text!r}",
            "passage": found.passage,
        }.items():
            table.add_row(f"[bold]{name}[/bold]", escape(printable(str(value))))
        console.print(table)
        if fetch:
            again = fetch_record(line, found)
            state = "the same text as in the lake" if again.unchanged else "another text than in the lake"
            console.print(f"\nRead again from {escape(line.archive.source)}: {len(again.record):,} bytes, {state}.")
            console.print(f"[bold]in the record:[/bold] {escape(printable(again.passage))}")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A URL or a WARC record id.")],
    snapshot: Snapshot = None,
    lake: LakeFolder = None,
    recipe: RecipeName = None,
    set: Overrides = None,
) -> None:
    """Tell what became of a URL: its verdict, every gate's value against its limit, or where it lies in the shards."""
    from curation_assets.provenance.explain import explain as explain_document

    with _plain_errors():
        line = Line(_settings(lake=lake, recipe=recipe, set=set))
        found = explain_document(line, name, [snapshot] if snapshot else None)
        if not found:
            errors.print(f"no snapshot in {line.lake.root} has a record for {escape(printable(name))}")
            raise typer.Exit(1)
        for explanation in found:
            show_explanation(explanation)


@app.command()
def snapshots(source: Source = None) -> None:
    """List the snapshots that the source offers, newest first."""
    with _plain_errors():
        for snapshot in Line(_settings(source=source)).archive.snapshots():
            console.print(snapshot)


@app.command()
def demo(lake: LakeFolder = None) -> None:
    """Make the embedded sample snapshot and take it through the fineweb recipe.

    Writes curation.yaml, where there is none, so that the other commands and the UI find what it made.
    """
    from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample

    with _plain_errors():
        lake = lake or Path("lake")
        chosen = {
            "source": str(lake / "sample"),
            "lake": str(lake),
            "recipe_set": {"extraction.extractor": "resiliparse"},
        }
        if not Path("curation.yaml").exists():
            write_atomically(Path("curation.yaml"), yaml.safe_dump(chosen, sort_keys=False).encode())
        settings = Settings(**chosen)
        _use_instance()
        write_sample(Path(settings.source))
        staged = materialise(settings, SAMPLE_SNAPSHOT)
        show_summary(Line(settings), SAMPLE_SNAPSHOT, staged)


def newest(line: Line) -> str:
    """The newest snapshot with shards in the lake. Raises `LakeError` when there is none."""
    known = line.lake.snapshots(line.key("training_shards"))
    if not known:
        raise LakeError(f"{line.lake.root} holds no shards of recipe {line.recipe.name} yet; see `curation run --help`")
    return known[-1]


def show_funnel(line: Line, snapshot: str) -> None:
    """Print what each gate dropped."""
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    rows = query("provenance/funnel", {"verdicts": source(verdicts.paths())}).to_pylist()
    total = verdicts.manifest().rows
    table = Table(title=f"{line.recipe.name} on {snapshot}: {total:,} response records", box=None, padding=(0, 2, 0, 0))
    table.add_column("station", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    table.add_column("dropped", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    station = ""
    for row in rows:
        bar = "█" * round(10 * row["left"] / max(total, 1))
        shown = row["station"] if row["station"] != station else ""
        station = row["station"]
        table.add_row(shown, row["gate"], f"{row['dropped']:,}", f"{row['left']:,}", f"[green]{bar}[/green]")
    console.print(table)


def show_summary(line: Line, snapshot: str, staged: list[Staged]) -> None:
    """Print the funnel, tokens and fill, where the shards lie, and what to type next."""
    show_funnel(line, snapshot)
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    stats = line.lake.partition(line.key("packed_sequences"), snapshot).manifest().stats
    length = line.recipe.packing.sequence_length
    kept = line.lake.partition(line.key("corpus"), snapshot).manifest()
    console.print(
        f"{kept.rows:,} documents kept, {stats['tokens']:,} tokens in {stats['sequences']:,} sequences of {length:,}, "
        f"fill {stats['fill_ppm'] / 1e6:.4f}, {stats['documents_cut']:,} documents cut."
    )
    if not any(one.fresh for one in staged):
        console.print("[bold]Everything was up to date: nothing was redone.[/bold]")
    console.print(f"Shards: {escape(str(shards.folder))}")
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    urls = query("provenance/first_url", {"verdicts": source(verdicts.paths())})["url"].to_pylist()
    command, options = _this_command(), _options(line.settings)
    console.print("\nNext:")
    ui = "make dev" if Path("Makefile").is_file() else "dagster dev -m curation_assets.definitions"
    console.print(f"  {ui}    # the Dagster UI")
    for arguments in (
        "trace --shard 0 --sequence 0 --fetch",
        *(f"explain {shlex.quote(printable(url))}" for url in urls),
    ):
        console.print(f"  {command} {arguments}{options}", soft_wrap=True, markup=False, highlight=False)


def _this_command() -> str:
    """How this program was called, as short as it can be typed here."""
    path = Path(sys.argv[0])
    here = path.is_absolute() and path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if here else path) if here or len(path.parts) > 1 else path.name


def _options(settings: Settings) -> str:
    """The options that a further command needs to find the same source, lake and recipe."""
    found = Settings()
    options = [
        f"--{name} {value}" for name in ("lake", "recipe") if (value := getattr(settings, name)) != getattr(found, name)
    ]
    if settings.recipe_set != found.recipe_set:
        options += [f"--set {name}={value}" for name, value in settings.recipe_set.items()]
    return "".join(f" {option}" for option in options)


def show_explanation(found: Explanation) -> None:
    """Print the life of one document."""
    verdict = found.verdict
    name = verdict["url"] or verdict["record_id"] or "?"
    console.print(f"[bold]{escape(printable(name))}[/bold] in {found.snapshot}")
    console.print(
        f"  {escape(printable(verdict['record_id'] or '?'))}, captured {verdict['date']}, "
        f"{escape(printable(verdict['warc_file']))} "
        f"at {verdict['warc_offset']}, {verdict['warc_length']} bytes",
        soft_wrap=True,
    )
    if verdict["verdict"] == "kept":
        console.print("  [green]kept[/green]")
        for segment in found.segments:
            console.print(
                f"  in shard {segment['shard']}, sequence {segment['sequence']} at {segment['position']}: "
                f"{segment['token_count']} tokens from its {segment['token_start']}."
            )
    else:
        reason = verdict["verdict"]
        measured = "" if verdict["value"] is None else f", value {verdict['value']:g}, limit {verdict['limit']:g}"
        detail = f" ({escape(printable(verdict['detail']))})" if verdict["detail"] else ""
        console.print(f"  [red]dropped[/red] by {verdict['station']}: {reason}{measured}{detail}")
        if verdict["duplicate_of"] is not None:
            console.print(
                f"  one of {verdict['cluster_size']} near-duplicates; kept instead: "
                f"{escape(printable(verdict['duplicate_of_url'] or str(verdict['duplicate_of'])))}"
            )
    if found.gates:
        table = Table(box=None)
        for heading in ("station", "gate", "value", "dropped when", ""):
            table.add_column(heading)
        for station, gate, value, operator, limit, failed in found.gates:
            mark = "[red]fails[/red]" if failed else "passes"
            table.add_row(station, gate, f"{value:.4g}", f"{operator} {limit:g}", mark)
        console.print(table)


def printable(text: str) -> str:
    """Text from the web without control characters: a terminal must not obey a page."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


if __name__ == "__main__":
    sys.exit(app())
