"""Asset checks that warn and stop nothing: drift against earlier snapshots and the published yield, and the health of
the source and of the lake.

What must hold is not here: a station evaluates its own checks before it publishes (`assets.py`), because a backfill or
an automation condition runs past a check of Dagster's own.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow as pa

from curation_assets.acquisition.health import source_health
from curation_assets.lake.health import Finding as Looked
from curation_assets.lake.health import lake_health
from curation_assets.lake.lake import LakeError
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.provenance.drift import CHECKS, Finding, Report, drift
from curation_assets.terminal import printable

SHOWN = 50
"""Rows of a check's table."""


HEALTH = {
    "source_is_healthy": "The source answers, lists the snapshot, and has a recent one. Warns.",
    "lake_is_healthy": "The lake can be written to, has room for the rest of the snapshot, and runs that ended badly "
    "left nothing lying. Warns.",
}


def health_checks(line: Line) -> dg.AssetChecksDefinition:
    """The health of source and lake, on the list of WARC files: one evaluation a snapshot, never blocking.

    Either can be run alone, without a materialisation, before something long is started.
    """
    key = dg.AssetKey(line.key("warc_files"))

    @dg.multi_asset_check(
        name="health",
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=description, blocking=False, partitions_def=SNAPSHOTS)
            for name, description in HEALTH.items()
        ],
        description="Whether source and lake can take a run.",
        can_subset=True,
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        snapshot, chosen = context.partition_key, {one.name for one in context.selected_asset_check_keys}
        if "source_is_healthy" in chosen:
            findings = source_health(line.archive, snapshot, datetime.now(UTC).date())
            yield _healthy(key, "source_is_healthy", findings)
        if "lake_is_healthy" in chosen:
            try:
                findings = lake_health(line.lake, line.stations, snapshot)
            except (LakeError, OSError, ValueError) as error:
                # What cannot be looked at is not well, but no reason to call the run a failure.
                findings = [Looked("lake_is_readable", False, f"the lake cannot be looked at: {error}")]
            yield _healthy(key, "lake_is_healthy", findings)

    return judge


def _healthy(key: dg.AssetKey, name: str, findings: Sequence[Looked]) -> dg.AssetCheckResult:
    wrong = [one.told for one in findings if not one.passed]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=printable("; ".join(wrong)) if wrong else "all is well",
        metadata={one.name: printable(one.told) for one in findings},
    )


def drift_checks(line: Line) -> dg.AssetChecksDefinition:
    """The drift checks of a recipe, on its profile: one evaluation a snapshot, never blocking."""
    key = dg.AssetKey(line.key("profile"))
    specs = [
        dg.AssetCheckSpec(name, asset=key, description=description, blocking=False, partitions_def=SNAPSHOTS)
        for name, description in CHECKS.items()
    ]

    @dg.multi_asset_check(
        name=f"{line.recipe.name}_drift",
        specs=specs,
        description="How the snapshot differs from those before it.",
        pool="machine",
    )
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        try:
            report = drift(line.recipe, line.lake, context.partition_key)
        except (LakeError, OSError, pa.ArrowException) as error:
            # A profile that cannot be read is no reason to call the run a failure.
            yield from _not_compared(key, error)
            return
        for name in CHECKS:
            found = report.of(name)
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=name,
                passed=not any(finding.exceeded for finding in found),
                severity=dg.AssetCheckSeverity.WARN,
                description=report.notes.get(name) or _told(found),
                metadata=check_metadata(report, name),
            )

    return judge


def _not_compared(key: dg.AssetKey, error: Exception) -> Iterator[dg.AssetCheckResult]:
    for name in CHECKS:
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"profiles cannot be read: {error}",
        )


def _told(found: list[Finding]) -> str:
    warnings = [finding.told for finding in found if finding.exceeded]
    return "; ".join(warnings) if warnings else f"{len(found)} compared, none beyond its threshold"


def check_metadata(report: Report, check: str) -> dict[str, Any]:
    """The table of measured, expected and threshold, and numbers that the UI plots over the runs."""
    found = report.of(check)
    metadata: dict[str, Any] = {
        "compared_with": ", ".join(report.against) or "nothing",
        "comparisons": len(found),
        "warnings": sum(finding.exceeded for finding in found),
    }
    metadata |= {f"median of {name}": round(value, 4) for name, value in report.medians_of(check).items()}
    metadata |= {finding.what: round(finding.measured, 6) for finding in sorted(found, key=lambda one: one.what)}
    if found:
        metadata["drift"] = dg.MetadataValue.table([dg.TableRecord(_row(finding)) for finding in found[:SHOWN]])
    return metadata


def _row(finding: Finding) -> dict[str, str | bool]:
    low, high = finding.shown(finding.low), finding.shown(finding.high)
    row: dict[str, str | bool] = {
        "warning": finding.exceeded,
        "what": finding.what,
        "measured": finding.shown(finding.measured),
        "expected": finding.shown(finding.expected),
        "threshold": high if finding.unit == "PSI" else f"{low} to {high}",
        "chance": finding.shown(finding.noise),
    }
    return row | {"moved": finding.moved} if finding.unit == "PSI" else row
