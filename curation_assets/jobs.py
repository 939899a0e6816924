"""What runs the assets: a job for one snapshot, one for backfills, a schedule and a sensor."""

from typing import Any

import dagster as dg

from curation_assets.acquisition.archive import ArchiveError
from curation_assets.assets import begin_takedowns
from curation_assets.lake.integrity import committed_partitions, recorded, require_sound
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS

NEW_SNAPSHOTS_A_TICK = 50
"""More dynamic partitions than this in one request are slow on SQLite."""

curate_snapshot = dg.define_asset_job(
    "curate_snapshot",
    selection=dg.AssetSelection.all(),
    description="The whole line for one snapshot.",
    executor_def=dg.in_process_executor,
)

backfill_snapshots = dg.define_asset_job(
    "backfill_snapshots",
    selection=dg.AssetSelection.all(),
    description="The whole line for many snapshots: a run each, behind everything else in the queue.",
    tags={"dagster/priority": "-1", "curation/backfill": "true"},
    executor_def=dg.in_process_executor,
)


def curate_recipe(line: Line) -> Any:
    """One recipe of several, with what it shares with the others."""
    return dg.define_asset_job(
        f"curate_{line.recipe.name}",
        selection=dg.AssetSelection.assets(*(dg.AssetKey(station.key) for station in line.stations)),
        description=f"The line of the recipe {line.recipe.name} for one snapshot.",
        executor_def=dg.in_process_executor,
    )


def verify_snapshot(line: Line) -> dg.JobDefinition:
    """Reads a snapshot's committed files again; it fails where one is not what was committed, and changes nothing."""

    @dg.op(
        required_resource_keys={"engine"},
        pool="machine",
        description="Every file of every table against the SHA-256 in its manifest.",
    )
    def compare_with_manifests(context: dg.OpExecutionContext) -> None:
        partitions = [one for one in committed_partitions(line.lake) if one.snapshot == context.partition_key]
        items = recorded(*partitions)
        require_sound(items, context.resources.engine)
        context.log.info(f"{len(items):,} files of {len(partitions):,} tables: all as committed")

    @dg.job(
        name="verify_snapshot",
        partitions_def=SNAPSHOTS,
        executor_def=dg.in_process_executor,
        description="Looks for bit rot: reads every committed file of the snapshot again and changes nothing.",
    )
    def verify() -> None:
        compare_with_manifests()

    return verify


def monthly_snapshot(line: Line) -> dg.ScheduleDefinition:
    """Curate the newest snapshot of the source once a month; a snapshot that is done already costs nothing."""

    @dg.schedule(
        name="monthly_snapshot",
        cron_schedule="0 6 5 * *",
        job=curate_snapshot,
        description="Common Crawl publishes about once a month: curate the newest snapshot of the source.",
    )
    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            snapshots = line.archive.snapshots()
        except ArchiveError as error:
            return dg.SkipReason(str(error))
        if not snapshots:
            return dg.SkipReason(f"{line.settings.source} lists no snapshots")
        context.instance.add_dynamic_partitions(str(SNAPSHOTS.name), [snapshots[0]])
        return dg.RunRequest(partition_key=snapshots[0])

    return evaluate


def new_snapshots(line: Line) -> dg.SensorDefinition:
    """Add the snapshots that the source lists and Dagster does not know: the newest if they are many."""

    @dg.sensor(
        name="new_snapshots",
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each snapshot in the source's collinfo.json. It starts no run.",
    )
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        begin_takedowns(context.instance)  # before there is a partition that could be made
        try:
            listed = line.archive.snapshots()
        except ArchiveError as error:
            return dg.SensorResult(skip_reason=str(error))
        known = set(context.instance.get_dynamic_partitions(str(SNAPSHOTS.name)))
        new = [snapshot for snapshot in listed if snapshot not in known][:NEW_SNAPSHOTS_A_TICK]
        if not new:
            return dg.SensorResult(skip_reason=f"nothing new: {len(listed)} snapshots are known")
        # Dagster plots and lists partitions in the order in which they were added: that of time.
        return dg.SensorResult(
            skip_reason=f"added {', '.join(new)}", dynamic_partitions_requests=[SNAPSHOTS.build_add_request(new[::-1])]
        )

    return evaluate
