"""The Dagster layer: what is defined, what a run records, and what a broken check stops."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

import curation_assets.lake.checks as checks_module
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.definitions import build_definitions
from curation_assets.lake.lake import TAKEDOWN_LIST
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_assets.settings import Settings

ROOT = Path(__file__).parents[1]
SPECS = Path(__file__).parent / "asset_specs.json"


@pytest.fixture(scope="module")
def definitions(line: Line) -> dg.Definitions:
    return build_definitions(line.settings)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        yield instance


def curate(definitions: dg.Definitions, instance: dg.DagsterInstance, **options) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_job_def("curate_snapshot")
    return job.execute_in_process(partition_key=SAMPLE_SNAPSHOT, instance=instance, **options)


def test_definitions_load() -> None:
    dg.Definitions.validate_loadable(build_definitions(Settings()))


def test_the_command_line_validates_them_without_a_warning(tmp_path: Path) -> None:
    environment = {**os.environ, "DAGSTER_HOME": str(ROOT), "CURATION_STATE": str(tmp_path)}
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "Warning" in line and "Supersession" not in line]
    assert lines == []


def test_asset_specs_are_as_recorded() -> None:
    """A renamed asset, a lost dependency or tag is a visible change of asset_specs.json.

    Record it again with `python -m curation_tests.test_definitions`.
    """
    assert json.loads(SPECS.read_text()) == specs()


def specs() -> dict[str, dict]:
    definitions = build_definitions(Settings())
    return {
        spec.key.to_user_string(): {
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "owners": list(spec.owners),
            "partitions": spec.partitions_def.name if spec.partitions_def else None,
            "checks": sorted(
                check.name
                for check in definitions.resolve_asset_graph().asset_check_keys
                if check.asset_key == spec.key
            ),
            "has_description": bool(spec.description),
            "has_code_version": bool(spec.code_version),
        }
        for spec in definitions.resolve_all_asset_specs()
    }


def test_a_run_materialises_every_asset_and_records_every_check(
    definitions: dg.Definitions, instance: dg.DagsterInstance, staged: dict[str, Staged]
) -> None:
    result = curate(definitions, instance)
    assert result.success
    for key in definitions.resolve_asset_graph().materializable_asset_keys:
        assert instance.get_materialized_partitions(key) == {SAMPLE_SNAPSHOT}
    checks = result.get_asset_check_evaluations()
    assert {check.check_name for check in checks} == {
        check.name for check in definitions.resolve_asset_graph().asset_check_keys
    }
    assert all(check.passed and check.partition == SAMPLE_SNAPSHOT for check in checks)


def test_metadata_tells_what_happened_to_the_data(
    definitions: dg.Definitions, instance: dg.DagsterInstance, staged: dict[str, Staged]
) -> None:
    curate(definitions, instance)
    event = instance.get_latest_materialization_event(dg.AssetKey(["fineweb", "verdicts"]))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["rows_in"].value == metadata["rows_out"].value + metadata["dropped"].value
    assert "| gopher_short_doc |" in str(metadata["dropped_by"].value)
    corpus = instance.get_latest_materialization_event(dg.AssetKey(["fineweb", "corpus"]))
    assert corpus is not None
    assert corpus.asset_materialization is not None
    lineage = corpus.asset_materialization.metadata["dagster/column_lineage"].value.deps_by_column
    assert {(dep.asset_key.path[-1], dep.column_name) for dep in lineage["text"]} == {
        ("documents", "text"),
        ("signals", "line_edits"),
        ("pii_spans", "masks"),
    }
    assert {"bytes", "yield", "drop_share", "files", "sample", "dagster/partition_row_count", "dagster/uri"} <= set(
        metadata
    )
    assert "seconds" not in metadata, "a run that found everything done says nothing of what it costs"


def test_data_that_breaks_a_check_stops_before_anything_downstream(
    sample: Path, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed check is recorded for its partition; nothing is materialised, published or run after it."""
    real_execute = checks_module.execute

    def execute_and_fail(con, name, parameters=None):
        result = real_execute(con, name, parameters)
        if name == "checks/verdicts_are_conserved":
            result = result.set_column(0, "passed", [[False]])
        return result

    monkeypatch.setattr(checks_module, "execute", execute_and_fail)
    settings = Settings(
        source=str(sample), lake=tmp_path, recipe_set={"extraction.extractor": "resiliparse"}, workers=2, warcs=1
    )
    result = curate(build_definitions(settings), instance, raise_on_error=False)
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [(check.check_name, check.partition) for check in failed] == [("verdicts_are_conserved", SAMPLE_SNAPSHOT)]
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    told = str(failure.step_failure_data.user_failure_data.description)
    for name, value in failed[0].metadata.items():
        assert f"'{name}': {value.value!r}" in told
    for table in ("verdicts", "corpus", "training_shards"):
        assert instance.get_materialized_partitions(dg.AssetKey(["fineweb", table])) == set()
        assert not list((tmp_path / "fineweb").glob(f"{table}/*/_manifest.json"))


def test_a_source_that_is_not_there_fails_at_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """Retries are for a network: a folder will not appear by waiting minutes for it."""
    result = curate(
        build_definitions(Settings(source=str(tmp_path / "none"), lake=tmp_path)), instance, raise_on_error=False
    )
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert not [event for event in result.all_node_events if event.is_step_restarted]
    assert "does not exist" in str(failure.step_failure_data.user_failure_data.description)


def test_the_sensor_adds_what_the_source_lists_once(definitions: dg.Definitions) -> None:
    (sensor,) = definitions.sensors or []
    with dg.instance_for_test() as instance:
        first = sensor(dg.build_sensor_context(instance=instance))
        assert [request.partition_keys for request in first.dynamic_partitions_requests] == [[SAMPLE_SNAPSHOT]]
        assert not first.run_requests
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        second = sensor(dg.build_sensor_context(instance=instance))
        assert not second.dynamic_partitions_requests
        assert "nothing new" in second.skip_reason.skip_message


def test_the_sensor_gives_the_list_of_takedowns_its_first_event(definitions: dg.Definitions) -> None:
    """In an instance that plain `dagster dev` opened: without it the first takedown would make nothing stale."""
    (sensor,) = definitions.sensors or []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            sensor(dg.build_sensor_context(instance=instance))
        assert len(instance.fetch_observations(dg.AssetKey(TAKEDOWN_LIST), 9).records) == 1


def test_the_sensor_adds_snapshots_in_order_of_time(tmp_path: Path) -> None:
    listed = [{"id": f"CC-MAIN-2025-{week}"} for week in ("13", "08", "05")]  # the newest first, as Common Crawl does
    (tmp_path / "collinfo.json").write_text(json.dumps(listed))
    (sensor,) = build_definitions(Settings(source=str(tmp_path), lake=tmp_path)).sensors or []
    with dg.instance_for_test() as instance:
        (request,) = sensor(dg.build_sensor_context(instance=instance)).dynamic_partitions_requests
    assert list(request.partition_keys) == ["CC-MAIN-2025-05", "CC-MAIN-2025-08", "CC-MAIN-2025-13"]


def test_the_schedule_asks_for_the_newest_snapshot(definitions: dg.Definitions) -> None:
    (schedule,) = definitions.schedules or []
    with dg.instance_for_test() as instance:
        request = schedule(dg.build_schedule_context(instance=instance))
        assert request.partition_key == SAMPLE_SNAPSHOT
        assert instance.get_dynamic_partitions(str(SNAPSHOTS.name)) == [SAMPLE_SNAPSHOT]


def test_a_source_out_of_reach_is_a_reason_to_skip_not_a_traceback(tmp_path: Path) -> None:
    definitions = build_definitions(Settings(source=str(tmp_path / "none"), lake=tmp_path))
    (sensor,), (schedule,) = definitions.sensors or [], definitions.schedules or []
    with dg.instance_for_test() as instance:
        ticks = [
            sensor(dg.build_sensor_context(instance=instance)).skip_reason,
            schedule(dg.build_schedule_context(instance=instance)),
        ]
    for skipped in ticks:
        assert isinstance(skipped, dg.SkipReason)
        assert "does not exist" in str(skipped.skip_message)


def test_snapshot_names_are_safe_partition_keys() -> None:
    """Commas and pipes in keys break the backfill dialog."""
    assert not set(SAMPLE_SNAPSHOT) & set(",|")
    assert "..." not in SAMPLE_SNAPSHOT


if __name__ == "__main__":
    SPECS.write_text(json.dumps(dict(sorted(specs().items())), indent=1) + "\n")
