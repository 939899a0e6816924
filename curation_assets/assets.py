"""Stations as Dagster assets: one function for all of them, and the metadata that the UI shows.

What a station computes is in the stations of each slice; nothing of it is here.
"""

import logging
import math
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.acquisition.archive import ArchiveError, BrokenTransferError, UnreachableError
from curation_assets.acquisition.loss import CAUSES
from curation_assets.engine.local import Engine
from curation_assets.lake.checks import CheckFailed, CheckResult
from curation_assets.lake.contracts import Column
from curation_assets.lake.lake import TAKEDOWN_LIST, DamagedError, Stats
from curation_assets.lake.progress import Pace, Progress, Told, reasons, sentence, unit
from curation_assets.lake.station import Staged, Station, staging
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.pictures import INLINE, Glanced, inline, large, show_files
from curation_assets.settings import Settings
from curation_assets.terminal import printable

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60
SAMPLE_ROWS = 5
SMALL_TABLE_ROWS = 200
"""A table of so few rows that are not documents is shown whole."""
SAMPLE_CHARACTERS = 200
OWNERS = ["team:curation"]
KINDS = {
    "acquisition": {"parquet", "python"},
    "filtering": {"parquet", "python"},
    "deduplication": {"parquet", "python"},
    "provenance": {"parquet", "duckdb"},
    "selection": {"parquet", "python"},
    "packing": {"python"},
}


class Reporter(Protocol):
    """Shows a person how far a station is."""

    large_plots: bool
    """Whether plots are drawn large too, not at a glance alone: some seconds of a run."""

    def progress(self, station: Station, workers: int, log: Callable[[str], None]) -> Progress:
        """What is called as parts are finished."""
        ...

    def published(self, staged: Staged) -> None:
        """Called when a partition is committed, or was found up to date."""
        ...


class LogReporter:
    """Progress as lines of the run's log: one for each tenth of the parts, and for each minute."""

    large_plots = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def progress(self, station: Station, workers: int, log: Callable[[str], None]) -> Progress:
        """See `Reporter`."""
        pace = Pace(workers, self._clock)
        place, last = ("", -1), -math.inf

        def tell(done: int, total: int, stats: Stats, phase: str = "") -> None:
            nonlocal place, last
            told = pace.told(done, total, stats, phase)
            here, now = (phase, 10 * done // max(total, 1)), self._clock()
            if here != place or now - last >= SECONDS_BETWEEN_LINES:
                place, last = here, now
                log(f"{station.name}: {sentence(told, station.schema)}{_expected_end(told)}")

        return tell

    def published(self, staged: Staged) -> None:
        """Nothing: the materialisation says it all."""


def _expected_end(told: Told) -> str:
    if told.left is None or told.left < SECONDS_BETWEEN_LINES or told.done == told.total:
        return ""
    return f"; end about {datetime.now(UTC) + timedelta(seconds=told.left):%Y-%m-%d %H:%M} UTC"


def engine_of(line: Line) -> dg.ResourceDefinition:
    """The workers of a run: started at the first station that needs them, stopped with the run.

    They are those of the settings, unless a run's configuration says otherwise (`resources.engine.config`).
    """
    meanings = {name: Settings.model_fields[name].description for name in ("workers", "cluster")}

    @dg.resource(
        config_schema={
            "workers": dg.Field(int, is_required=False, description=meanings["workers"]),
            "cluster": dg.Field(str, is_required=False, description=meanings["cluster"]),
        },
        description="Worker processes of this machine, or of a Ray cluster; those of the settings by default.",
    )
    def engine(context: dg.InitResourceContext) -> Iterator[Engine]:
        with line.engine(**context.resource_config) as running:
            yield running

    return engine


RETRY = dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)


def asset_of(station: Station, line: Line, retry_policy: dg.RetryPolicy | None = RETRY) -> dg.AssetsDefinition:
    """The asset that stages a station, records its checks, and publishes only data that passed them.

    A failed check is raised before anything is committed or materialised, because Dagster's own blocking checks
    do not stop a backfill or an automation condition from running downstream.
    """
    key = dg.AssetKey(station.key)
    upstream = [*station.inputs.values(), *getattr(station, "shared", {}).values(), *station.external]

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(upstream_key) for upstream_key in upstream],
        partitions_def=SNAPSHOTS,
        group_name=station.group,
        description=station.description,
        kinds=KINDS[station.group],
        owners=OWNERS,
        code_version=station.code_version,
        # Only the stations that read the source meet faults that pass; the rest would fail again.
        retry_policy=retry_policy if station.group == "acquisition" else None,
        pool="source" if station.group == "acquisition" else "machine",
        metadata=definition_metadata(station, line),
        check_specs=[
            dg.AssetCheckSpec(
                check.name, asset=key, description=check.description, blocking=True, partitions_def=SNAPSHOTS
            )
            for check in station.checks
        ],
        required_resource_keys={"engine", "reporter"},
    )
    def materialise(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
        resources = context.resources
        progress = resources.reporter.progress(station, resources.engine.workers, context.log.info)
        with (
            _passing_faults_only(line),
            staging(station, line.lake, context.partition_key, resources.engine, progress) as staged,
        ):
            for result in staged.results:
                yield dg.AssetCheckResult(
                    check_name=result.check.name,
                    passed=result.passed,
                    metadata=check_metadata(result),
                    asset_key=key,
                )
            try:
                staged.publish()
            except (CheckFailed, DamagedError) as error:
                raise dg.Failure(str(error), allow_retries=False) from error
        resources.reporter.published(staged)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                # An ephemeral instance forgets everything: nobody could look.
                **({} if context.instance.is_ephemeral else shown_metadata(staged, resources.reporter.large_plots)),
                **run_metadata(staged),
                **column_lineage(station, line),
            },
            data_version=dg.DataVersion(staged.manifest.digest),
        )

    return materialise


def takedown_list() -> dg.AssetSpec:
    """The list of takedowns, which `curation takedown` alone changes; it reports for which snapshots."""
    return dg.AssetSpec(
        dg.AssetKey(TAKEDOWN_LIST),
        partitions_def=SNAPSHOTS,
        group_name="provenance",
        description="Pages that must not be in the shards: `takedowns/list.jsonl` in the lake. `curation takedown add` "
        "and `revoke` report a new data version for each snapshot in which they hit something, and for no other.",
        owners=OWNERS,
        kinds={"json"},
    )


def begin_takedowns(instance: dg.DagsterInstance) -> None:
    """Let the list of takedowns have an event before anything is made from it.

    Dagster 1.13 compares partitions of an input with what it was when they were read, and takes one that had no event
    then for unchanged: the first takedown would make nothing stale.
    """
    if instance.get_latest_data_version_record(dg.AssetKey(TAKEDOWN_LIST), is_source=True) is None:
        instance.report_runless_asset_event(
            dg.AssetObservation(dg.AssetKey(TAKEDOWN_LIST), tags={"dagster/data_version": "no takedown yet"})
        )


@contextmanager
def _passing_faults_only(line: Line) -> Iterator[None]:
    """Let the retry policy see only faults of the source that may pass: a broken or unreachable network."""
    try:
        yield
    except ArchiveError as error:
        if isinstance(error, UnreachableError | BrokenTransferError) and "://" in line.settings.source:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error


def check_metadata(result: CheckResult) -> dict[str, Any]:
    """Evidence as the UI shows it: tables as tables, those that say what is broken first."""
    evidence = sorted(result.evidence.items(), key=lambda item: item[0] != "broken")
    return {name: _table(value) if isinstance(value, list) else value for name, value in evidence}


def definition_metadata(station: Station, line: Line) -> dict[str, Any]:
    """Column names, types, meanings, and what the contract says of nulls and repetition, for the UI's Columns tab."""
    if station.schema is None:
        return {}
    contract = station.contract
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            line.meaning(station, field.name),
            constraints=dg.TableColumnConstraints(
                nullable=(kept := contract.columns.get(field.name, Column())).null,
                unique=kept.unique or contract.key == (field.name,),
            ),
        )
        for field in station.schema
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def column_lineage(station: Station, line: Line) -> dict[str, Any]:
    """Where each column came from: what the station says, or the columns of its inputs that have the same name."""
    # A comparison reads other recipes too, whose stations are not of this line: there only what it says itself counts.
    upstream = {name: s for name, key in station.inputs.items() for s in line.stations if s.key == key}
    deps = {
        column: [
            dg.TableColumnDep(dg.AssetKey(station.inputs[name]), origin)
            for name, origin in station.origins.get(column, tuple((name, column) for name in upstream))
            if name not in upstream or ((schema := upstream[name].schema) is not None and origin in schema.names)
        ]
        for column in (station.schema.names if station.schema is not None else [])
    }
    # Two inputs are the same table where a recipe leaves out what lies between; Dagster refuses a column named twice.
    deps = {column: list(dict.fromkeys(found)) for column, found in deps.items() if found}
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}


def shown_metadata(staged: Staged, large_plots: bool) -> dict[str, Any]:
    """Plots at a glance and maybe large, texts before and after, dropped documents, and more numbers."""
    try:
        shown = (staged.station.show or show_files)(staged)
        metadata: dict[str, Any] = {
            f"plot.{name}": dg.MetadataValue.md(inline(plot.glance()))
            for name, plot in shown.plots.items()
            if isinstance(plot, Glanced)
        }
        if large_plots and shown.plots:
            drawn = [f"**{name}**\n\n{large(name, plot)}" for name, plot in shown.plots.items()]
            metadata["plots_large"] = dg.MetadataValue.md("\n\n".join(drawn))
    except Exception as error:  # The data is published: a picture that cannot be drawn must not take it back.
        log.warning("%s cannot be shown: %r", staged.partition.name, error, exc_info=error)
        return {}
    if shown.texts:
        metadata["texts_before_and_after"] = dg.MetadataValue.md(shown.texts)
    if shown.dropped:
        metadata["dropped_documents"] = _table(shown.dropped)
    return {**metadata, **shown.numbers}


def run_metadata(staged: Staged) -> dict[str, Any]:
    """What happened to the data: rows, bytes, rates, reasons and a few rows to look at."""
    manifest = staged.manifest
    stats = manifest.stats
    rows_out = stats.get("rows_out", manifest.rows)
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": manifest.rows,
        "dagster/uri": staged.partition.folder.as_uri(),
        "rows_in": stats.get("rows_in", rows_out),
        "rows_out": rows_out,
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "parts_made": staged.parts_done,
        "parts_reused": staged.parts_reused,
    }
    if staged.note:
        metadata["note"] = staged.note
    # Of a run that found everything done, these would be zeros in a plot of what it costs.
    if staged.fresh:
        metadata["seconds"] = round(staged.seconds, 3)
        if staged.seconds and not staged.parts_reused:
            metadata[f"{unit(staged.station.schema)}_per_second".replace(" ", "_")] = round(
                stats.get("rows_in", rows_out) / staged.seconds, 1
            )
    if dropped := reasons(stats, len(stats)):
        metadata["dropped"] = sum(count for _, count in dropped)
        metadata["drop_share"] = metadata["dropped"] / (stats.get("rows_in", 0) or 1)
        metadata["yield"] = 1 - metadata["drop_share"]
        metadata["dropped_by"] = dg.MetadataValue.md(_reasons_table(dropped))
    if lost := _loss_table(stats):
        metadata["lost"] = dg.MetadataValue.md(lost)
    metadata |= staged.observed
    if audit := _audit_table(stats):
        metadata["audit"] = dg.MetadataValue.md(audit)
    for name, count in stats.items():
        if name.startswith(("dropped.", "audit.", "lost_")):
            continue
        if name.endswith("_ppm"):
            metadata[name.removesuffix("_ppm")] = count / 1e6
        else:
            metadata[name] = count
    for path in staged.paths():
        if path.suffix == ".html":
            metadata[path.stem] = dg.MetadataValue.path(path)
        elif path.suffix == ".svg":
            drawn = b64encode(path.read_bytes()).decode()
            metadata[path.stem] = dg.MetadataValue.md(f"![{path.stem}](data:image/svg+xml;base64,{drawn})")
    sample = sample_rows(staged)
    if sample:
        metadata["sample"] = _table(sample)
    return metadata


def _table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    columns = [
        dg.TableColumn(name, "int" if isinstance(value, int) else "string")
        for name, value in (rows[0] if rows else {}).items()
    ]
    records = [
        dg.TableRecord({name: value if isinstance(value, int) else _short(value) for name, value in row.items()})
        for row in rows
    ]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def _reasons_table(dropped: Sequence[tuple[str, int]]) -> str:
    """As many as the UI shows without a click, and the rest as one."""
    head, total = ["| reason | dropped | share |", "|---|---|---|"], sum(count for _, count in dropped) or 1
    rows = [f"| {name} | {count:,} | {count / total:.1%} |" for name, count in dropped]
    for shown in range(len(rows), 0, -1):
        rest = sum(count for _, count in dropped[shown:])
        others = [f"| {len(rows) - shown} others | {rest:,} | {rest / total:.1%} |"] * (shown < len(rows))
        text = "\n".join([*head, *rows[:shown], *others])
        if len(text) <= INLINE:
            return text
    return "\n".join([*head, *rows])


def _loss_table(stats: Stats) -> str:
    """Files, records and bytes that were lost, by cause; empty where nothing was."""
    kinds = ("lost_files", "dropped", "lost_bytes")
    rows = {cause: [stats.get(f"{kind}.{cause}", 0) for kind in kinds] for cause in CAUSES}
    lines = [f"| {cause} | {' | '.join(f'{n:,}' for n in row)} |" for cause, row in rows.items() if any(row)]
    return "\n".join(["| cause | files | records | bytes |", "|---|---|---|---|", *lines]) if lines else ""


def _audit_table(stats: Stats) -> str:
    """The S-curve of near-duplicate detection, expected beside observed; empty where no pair was sampled."""
    lines = [
        f"| {place} | {pairs:,} | {stats[f'audit.{place}.expected_ppm'] / 1e6:.3f} "
        f"| {stats[f'audit.{place}.observed_ppm'] / 1e6:.3f} |"
        for name, pairs in sorted(stats.items())
        if name.startswith("audit.") and name.endswith(".pairs")
        for place in [name.removeprefix("audit.").removesuffix(".pairs")]
    ]
    return (
        "\n".join(["| Jaccard from | pairs | expected to meet | met |", "|---|---|---|---|", *lines]) if lines else ""
    )


def sample_rows(staged: Staged) -> list[dict[str, str]]:
    """The first rows of the first Parquet file that has any, or all of a small summary, shortened for a screen."""
    summary = staged.station.schema is not None and "doc" not in staged.station.schema.names
    rows = SMALL_TABLE_ROWS if summary and staged.manifest.rows <= SMALL_TABLE_ROWS else SAMPLE_ROWS
    for path in staged.paths():
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                batch: pa.RecordBatch | None = next(file.iter_batches(rows), None)
            if batch is not None and batch.num_rows:
                return [{name: _short(value) for name, value in row.items()} for row in batch.to_pylist()]
    return []


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return printable(text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + "…")
