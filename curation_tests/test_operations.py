"""What dagster.yaml, the retry policy and the pools promise, seen by making steps and runs fail.

The daemons are asked what they would do next; none is started.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

import curation_assets.definitions as factory
from curation_assets.acquisition.archive import ArchiveError, LocalArchive, MissingFileError, UnreachableError
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.assets import RETRY
from curation_assets.checks import HEALTH
from curation_assets.definitions import build_definitions
from curation_assets.partitions import SNAPSHOTS
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE

ROOT = Path(__file__).parents[1]
OTHER = "CC-MAIN-2000-02"
LIST = dg.AssetKey("warc_files")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance as `dagster.yaml` of the project sets it up."""
    monkeypatch.setenv("CURATION_STATE", str(tmp_path / "state"))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(ROOT))) as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT, OTHER])
        yield instance


@dataclass(frozen=True)
class Flaky(LocalArchive):
    """A source that fails so many times before it answers."""

    calls: Path
    failures: int
    kind: type[ArchiveError]

    def warc_files(self, snapshot: str) -> list[str]:
        with self.calls.open("ab") as file:
            file.write(b".")
        if self.calls.stat().st_size <= self.failures:
            raise self.kind("the source is not well")
        return super().warc_files(snapshot)


def listed_from(
    sample: Path, tmp_path: Path, patch: pytest.MonkeyPatch, failures: int, kind: type[ArchiveError]
) -> dg.ExecuteInProcessResult:
    """A run of the list of WARC files from a server that fails so many requests."""
    archive = Flaky(str(sample), tmp_path / "calls", failures, kind)
    patch.setattr(factory, "open_archive", lambda *_, **__: archive)
    patch.setattr(factory, "RETRY", dg.RetryPolicy(max_retries=RETRY.max_retries, delay=0))
    settings = Settings(source="https://mirror.example/", lake=tmp_path / "lake", recipe_set=RESILIPARSE, workers=1)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        job = build_definitions(settings).resolve_job_def("curate_snapshot")
        return job.execute_in_process(
            partition_key=SAMPLE_SNAPSHOT, instance=instance, asset_selection=[LIST], raise_on_error=False
        )


def restarts(result: dg.ExecuteInProcessResult) -> int:
    return len([event for event in result.all_events if event.is_step_restarted])


def test_the_policy_is_what_the_runbook_says() -> None:
    assert (RETRY.max_retries, RETRY.delay) == (3, 30)
    assert (RETRY.backoff, RETRY.jitter) == (dg.Backoff.EXPONENTIAL, dg.Jitter.FULL)
    told = " ".join((ROOT / "docs" / "operations.md").read_text().split())
    assert "retry faults of the network three times, half a minute apart and more" in told


def test_a_source_that_fails_twice_and_then_works(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt asks twice: it looks what is there, and reads."""
    result = listed_from(sample, tmp_path, monkeypatch, 4, UnreachableError)
    assert result.success
    assert restarts(result) == 2
    assert result.asset_materializations_for_node("warc_files")


def test_patience_ends(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = listed_from(sample, tmp_path, monkeypatch, 1000, UnreachableError)
    assert not result.success
    assert restarts(result) == RETRY.max_retries


def test_a_fault_that_would_come_again_is_not_tried_again(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = listed_from(sample, tmp_path, monkeypatch, 1000, MissingFileError)
    assert not result.success
    assert restarts(result) == 0


def test_only_what_reads_the_source_is_tried_again(tmp_path: Path) -> None:
    definitions = build_definitions(Settings(source=str(tmp_path), lake=tmp_path))
    by_pool: dict[str | None, set[bool]] = {}
    made = [assets for assets in definitions.assets or [] if isinstance(assets, dg.AssetsDefinition)]
    for assets in made:
        assert isinstance(assets.op, dg.OpDefinition)
        by_pool.setdefault(assets.op.pool, set()).add(assets.op.retry_policy is not None)
    assert by_pool == {"source": {True}, "machine": {False}}


@pytest.fixture
def job(sample: Path, tmp_path: Path) -> dg.JobDefinition:
    settings = Settings(source=str(sample), lake=tmp_path / "lake", recipe_set=RESILIPARSE, workers=1)
    return build_definitions(settings).resolve_job_def("curate_snapshot")


def asked_for(
    instance: dg.DagsterInstance, job: dg.JobDefinition, snapshot: str, status: dg.DagsterRunStatus, **tags: str
) -> DagsterRun:
    target = LoadableTargetOrigin(executable_path=None, module_name="curation_assets.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, "curation_assets.definitions")
    return instance.create_run_for_job(
        job,
        status=status,
        tags={"dagster/partition": snapshot, **{name.replace("__", "/"): value for name, value in tags.items()}},
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name),
    )


def would_start(instance: dg.DagsterInstance) -> list[str]:
    """The queued runs that the coordinator would start now, by its own decision."""
    for pool in ("source", "machine"):  # the code server does this when it loads the assets
        instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    daemon._logger = logging.getLogger("test")
    config = instance.get_concurrency_config()
    return [run.run_id for run in daemon._get_runs_to_dequeue(instance, config, time.time())]


def test_two_runs_of_one_machine_are_queued(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    first = asked_for(instance, job, SAMPLE_SNAPSHOT, dg.DagsterRunStatus.QUEUED)
    second = asked_for(instance, job, OTHER, dg.DagsterRunStatus.QUEUED)
    assert would_start(instance) == [first.run_id]
    instance.report_run_canceled(first)
    assert would_start(instance) == [second.run_id]


def test_a_started_run_holds_the_machine(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    running = asked_for(instance, job, SAMPLE_SNAPSHOT, dg.DagsterRunStatus.STARTED)
    waiting = asked_for(instance, job, OTHER, dg.DagsterRunStatus.QUEUED)
    assert would_start(instance) == []
    instance.report_run_failed(running)
    assert would_start(instance) == [waiting.run_id]


def failed(instance: dg.DagsterInstance, job: dg.JobDefinition) -> DagsterRun:
    run = asked_for(instance, job, SAMPLE_SNAPSHOT, dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def test_a_run_that_died_is_started_again_and_one_whose_data_is_wrong_is_not(
    instance: dg.DagsterInstance, job: dg.JobDefinition
) -> None:
    assert (instance.run_monitoring_enabled, instance.run_retries_max_retries) == (True, 2)
    run = failed(instance, job)
    assert auto_reexecution_should_retry_run(instance, run, RunFailureReason.UNKNOWN)
    assert not auto_reexecution_should_retry_run(instance, run, RunFailureReason.STEP_FAILURE)


def test_a_run_of_the_command_line_is_not_started_again(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    """Whoever started it by hand is there to start it again."""
    run = asked_for(instance, job, SAMPLE_SNAPSHOT, dg.DagsterRunStatus.STARTED, dagster__max_retries="0")
    instance.report_run_failed(run)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert not auto_reexecution_should_retry_run(instance, found, RunFailureReason.UNKNOWN)


def test_health_warns_and_stops_nothing(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run beside what a killed one left, from a source that was lost: it succeeds, and both are said."""
    settings = Settings(source=str(sample), lake=tmp_path / "lake", recipe_set=RESILIPARSE, workers=1)
    left = tmp_path / "lake" / "fineweb" / "corpus" / OTHER
    (left / ".staging").mkdir(parents=True)
    (left / ".lock").touch()
    (left / ".staging" / "part-00000.parquet").touch()
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        for well in (True, False):
            archive = Flaky(str(sample), tmp_path / "calls", 0 if well else 1000, UnreachableError)
            monkeypatch.setattr(factory, "open_archive", lambda *_, archive=archive, **__: archive)
            job = build_definitions(settings).resolve_job_def("curate_snapshot")
            done = job.execute_in_process(partition_key=SAMPLE_SNAPSHOT, instance=instance, asset_selection=[LIST])
            assert done.success
            found = {one.check_name: one for one in done.get_asset_check_evaluations() if one.check_name in HEALTH}
            assert {name: one.passed for name, one in found.items()} == {
                "source_is_healthy": well,
                "lake_is_healthy": False,
            }
            assert all(one.severity == dg.AssetCheckSeverity.WARN for one in found.values())
            assert f"fineweb/corpus/{OTHER}" in str(found["lake_is_healthy"].description)
