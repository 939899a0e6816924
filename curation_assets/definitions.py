"""The whole factory on one screen."""

import warnings

import dagster as dg
from dagster_aws.s3 import S3Resource

from curation_assets.acquisition.archive import open_archive
from curation_assets.assets import RETRY, EngineResource, LogReporter, Reporter, asset_of
from curation_assets.jobs import backfill_snapshots, curate_snapshot, monthly_snapshot, new_snapshots
from curation_assets.line import Line
from curation_assets.settings import Settings

# Partition-aware checks are marked as a preview in Dagster 1.13; remove this when they are not.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(settings: Settings, reporter: Reporter | None = None) -> dg.Definitions:
    """All assets, jobs, the schedule and the sensor for one set of settings.

    With a `reporter` a person is watching: then a source that fails is an error at once, not tried again later.
    """
    s3 = S3Resource(use_unsigned_session=not settings.s3_signed, endpoint_url=settings.s3_endpoint_url)
    archive = open_archive(settings.source, signed=not s3.use_unsigned_session, endpoint_url=s3.endpoint_url)
    line = Line(settings, archive)
    return dg.Definitions(
        assets=[asset_of(station, line, None if reporter else RETRY) for station in line.stations],
        jobs=[curate_snapshot, backfill_snapshots],
        schedules=[monthly_snapshot(line)],
        sensors=[new_snapshots(line)],
        resources={
            "s3": s3,
            "engine": EngineResource(workers=settings.workers),
            "reporter": reporter or LogReporter(),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: the factory with the settings of this machine."""
    return build_definitions(Settings())
