"""Stations as Dagster assets: one function for all of them, and the metadata that the UI shows.

What a station computes is in the stations of each slice; nothing of it is here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.acquisition.archive import ArchiveError, BrokenTransferError, UnreachableError
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.lake import TAKEDOWN_LIST, Stats
from curation_assets.lake.station import CheckFailed, Progress, Staged, Station, staging
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS

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

    def progress(self, station: Station, log: Callable[[str], None]) -> Progress:
        """What is called as parts are finished."""
        ...

    def published(self, staged: Staged) -> None:
        """Called when a partition is committed, or was found up to date."""
        ...


class LogReporter:
    """Progress as lines of the run's log, one for each tenth of the parts."""

    def progress(self, station: Station, log: Callable[[str], None]) -> Progress:
        """See `Reporter`."""
        told = -1

        def tell(done: int, total: int, stats: Stats) -> None:
            nonlocal told
            tenth = 10 * done // max(total, 1)
            if tenth > told:
                told = tenth
                log(f"{station.name}: part {done} of {total}, {stats.get('rows_out', 0):,} rows")

        return tell

    def published(self, staged: Staged) -> None:
        """Nothing: the materialisation says it all."""


class EngineResource(dg.ConfigurableResource):
    """The worker processes of a run: started at the first station that needs them, stopped with the run."""

    workers: int

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[LocalEngine]:  # type: ignore[override]
        """Give stations the engine itself, not this wrapper."""
        with LocalEngine(self.workers) as engine:
            yield engine


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
        progress = resources.reporter.progress(station, context.log.info)
        with (
            _passing_faults_only(line),
            staging(station, line.lake, context.partition_key, resources.engine, progress) as staged,
        ):
            for result in staged.results:
                yield dg.AssetCheckResult(
                    check_name=result.check.name, passed=result.passed, metadata=result.evidence, asset_key=key
                )
            if staged.failed:
                raise dg.Failure(str(CheckFailed(staged.partition.name, staged.failed)), allow_retries=False)
            staged.publish()
        resources.reporter.published(staged)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={**run_metadata(staged), **column_lineage(station, line)},
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


@contextmanager
def _passing_faults_only(line: Line) -> Iterator[None]:
    """Let the retry policy see only faults of the source that may pass: a broken or unreachable network."""
    try:
        yield
    except ArchiveError as error:
        if isinstance(error, UnreachableError | BrokenTransferError) and "://" in line.settings.source:
            raise
        raise dg.Failure(str(error), allow_retries=False) from error


def definition_metadata(station: Station, line: Line) -> dict[str, Any]:
    """Column names, types, meanings and origins, for the UI's Columns tab."""
    if station.schema is None:
        return {}
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            line.meaning(station, field.name),
            constraints=dg.TableColumnConstraints(nullable=field.name != "doc", unique=field.name == "doc"),
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
        "seconds": round(staged.seconds, 3),
    }
    if staged.note:
        metadata["note"] = staged.note
    if staged.seconds:
        metadata["rows_per_second"] = round(stats.get("rows_in", rows_out) / staged.seconds, 1)
    dropped = {name.removeprefix("dropped."): count for name, count in stats.items() if name.startswith("dropped.")}
    if dropped:
        lines = [f"| {name} | {count:,} |" for name, count in sorted(dropped.items(), key=lambda item: -item[1])]
        metadata["dropped"] = sum(dropped.values())
        metadata["dropped_by"] = dg.MetadataValue.md("\n".join(["| reason | rows |", "|---|---|", *lines]))
    if audit := _audit_table(stats):
        metadata["audit"] = dg.MetadataValue.md(audit)
    for name, count in stats.items():
        if name.startswith(("dropped.", "audit.")):
            continue
        if name.endswith("_ppm"):
            metadata[name.removesuffix("_ppm")] = count / 1e6
        else:
            metadata[name] = count
    sample = sample_rows(staged)
    if sample:
        metadata["sample"] = dg.MetadataValue.table(
            [dg.TableRecord(row) for row in sample],
            dg.TableSchema([dg.TableColumn(name, "string") for name in sample[0]]),
        )
    return metadata


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
    return text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS] + "…"
