"""The whole factory on one screen."""

import warnings

import dagster as dg
from dagster_aws.s3 import S3Resource

from curation_assets.acquisition.archive import open_archive
from curation_assets.assets import RETRY, LogReporter, Reporter, asset_of, engine_of, takedown_list
from curation_assets.checks import drift_checks, health_checks
from curation_assets.jobs import (
    backfill_snapshots,
    curate_recipe,
    curate_snapshot,
    monthly_snapshot,
    new_snapshots,
    verify_snapshot,
)
from curation_assets.line import Line
from curation_assets.provenance.comparison import comparison_stations
from curation_assets.recipes.recipe import Recipe
from curation_assets.settings import Settings

# Partition-aware checks are marked as a preview in Dagster 1.13; remove this when they are not.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(settings: Settings, reporter: Reporter | None = None) -> dg.Definitions:
    """All assets, jobs, the schedule and the sensor for one set of settings.

    With a `reporter` a person is watching one recipe: then a source that fails is an error at once, not tried again
    later. Without, the further recipes of the settings are there too, and their comparison; what they share is one
    asset.
    """
    s3 = S3Resource(use_unsigned_session=not settings.s3_signed, endpoint_url=settings.s3_endpoint_url)
    archive = open_archive(settings.source, signed=not s3.use_unsigned_session, endpoint_url=s3.endpoint_url)
    line = Line(settings, archive)
    lines = [line]
    if reporter is None:
        further = [recipe for recipe in dict.fromkeys(settings.recipes) if recipe != settings.recipe]
        # Gates and methods are one recipe's own; what all recipes have is set for all.
        common = {
            name: value
            for name, value in settings.recipe_set.items()
            if name.split(".")[0] in Recipe.model_fields and name != "name"
        }
        lines += [
            Line(settings.model_copy(update={"recipe": recipe, "recipe_set": common}), archive) for recipe in further
        ]
    stations = {station.key: (station, one) for one in reversed(lines) for station in one.stations}
    stations |= {station.key: (station, line) for station in comparison_stations([one.recipe for one in lines])}
    return dg.Definitions(
        assets=[
            takedown_list(),
            *(asset_of(station, one, None if reporter else RETRY) for station, one in stations.values()),
        ],
        asset_checks=[health_checks(line), *(drift_checks(one) for one in lines)],
        jobs=[
            curate_snapshot,
            backfill_snapshots,
            *(curate_recipe(one) for one in lines if len(lines) > 1),
            verify_snapshot(line),
        ],
        schedules=[monthly_snapshot(line)],
        sensors=[new_snapshots(line)],
        resources={
            "s3": s3,
            "engine": engine_of(line),
            "reporter": reporter or LogReporter(),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: the factory with the settings of this machine."""
    return build_definitions(Settings())
