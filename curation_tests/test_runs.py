"""Runs of the command line in a Dagster instance: those that were killed, and those of another lake."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRun
from rich.console import Console

from curation_assets.acquisition.archive import UnknownSnapshotError
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import LakeError
from curation_assets.partitions import SNAPSHOTS
from curation_assets.runs import HOST, PID, STARTED, materialise, open_instance, prepare, process_start, process_tags
from curation_assets.settings import Settings, SettingsError

RESILIPARSE = {"extraction.extractor": "resiliparse"}
SILENT = Console(quiet=True)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an instance and its settings: the UI shows the lake of `curation.yaml`."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "curation.yaml").write_text("lake: lake\n")
    monkeypatch.chdir(tmp_path)
    for name in ("CURATION_SETTINGS", "CURATION_STATE", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # brought back after the test, also when it is set in between
        monkeypatch.delenv(name)
    return tmp_path


@dg.job
def _empty() -> None:
    pass


def started(instance: dg.DagsterInstance, tags: dict[str, str], **options) -> DagsterRun:
    return instance.create_run_for_job(_empty, tags=tags, **options)


def ended_process() -> dict[str, str]:
    """Tags of a run whose process has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tags = {**process_tags(), PID: str(child.pid), STARTED: str(process_start(child.pid))}
    child.communicate()
    return tags


def status(instance: dg.DagsterInstance, run: DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_process_is_known_by_its_start() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert process_start(child.pid) is None  # a zombie has ended
    child.wait()
    assert process_start(child.pid) is None


@pytest.mark.parametrize("state", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_a_run_whose_process_is_gone_is_marked_failed(instance: dg.DagsterInstance, state: dg.DagsterRunStatus) -> None:
    tags = ended_process()
    dead = started(instance, tags, status=state)
    (told,) = prepare(instance)
    assert f"process {tags[PID]}" in told
    assert status(instance, dead) == dg.DagsterRunStatus.FAILURE
    messages = [entry.message for entry in instance.all_logs(dead.run_id)]
    assert any("ended without saying so" in message for message in messages)
    assert prepare(instance) == []


def test_an_id_that_another_process_has_now_does_not_keep_a_run_alive(instance: dg.DagsterInstance) -> None:
    reused = started(instance, {**process_tags(), STARTED: "1"}, status=dg.DagsterRunStatus.STARTED)
    assert len(prepare(instance)) == 1
    assert status(instance, reused) == dg.DagsterRunStatus.FAILURE


def test_other_runs_are_left_alone(instance: dg.DagsterInstance) -> None:
    gone = ended_process()
    parent = started(instance, gone, status=dg.DagsterRunStatus.FAILURE)
    for tags, options in (
        (process_tags(), {}),  # alive
        ({}, {}),  # not of the command line
        ({**gone, HOST: "another"}, {}),  # of another host
        (gone, {"parent_run_id": parent.run_id, "root_run_id": parent.run_id}),  # repeated by Dagster, tags copied
    ):
        run = started(instance, tags, status=dg.DagsterRunStatus.STARTED, **options)
        assert prepare(instance) == []
        assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_a_dead_run_keeps_no_slot_of_a_pool(instance: dg.DagsterInstance) -> None:
    dead = started(instance, ended_process(), status=dg.DagsterRunStatus.STARTED)
    log = instance.event_log_storage
    log.set_concurrency_slots("machine", 1)
    assert log.claim_concurrency_slot("machine", dead.run_id, "step").is_claimed
    prepare(instance)
    assert not log.get_concurrency_run_ids()


def test_daemons_find_their_cursors_and_they_are_never_moved(instance: dg.DagsterInstance) -> None:
    """Without them the daemon that consumes events warns on every first start."""
    from dagster._daemon.auto_run_reexecution.event_log_consumer import DAGSTER_EVENT_TYPES, _create_cursor_key

    keys = {_create_cursor_key(event) for event in DAGSTER_EVENT_TYPES}
    prepare(instance)
    assert set(instance.daemon_cursor_storage.get_cursor_values(keys)) == keys
    instance.daemon_cursor_storage.set_cursor_values(dict.fromkeys(keys, "7"))
    prepare(instance)
    assert set(instance.daemon_cursor_storage.get_cursor_values(keys).values()) == {"7"}


def test_a_run_is_recorded_with_its_process(home: Path, sample: Path) -> None:
    settings = Settings(source=str(sample), lake=home / "lake", recipe_set=RESILIPARSE, warcs=1, workers=2)
    materialise(settings, SAMPLE_SNAPSHOT, SILENT)
    with open_instance(settings, SILENT) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert process_tags().items() <= run.tags.items()
        assert instance.get_dynamic_partitions(str(SNAPSHOTS.name)) == [SAMPLE_SNAPSHOT]


@pytest.mark.parametrize("snapshot", ["typo", "CC-MAIN-2000-02", "../CC-MAIN-2000-01"])
def test_a_wrong_name_leaves_no_partition(home: Path, sample: Path, snapshot: str) -> None:
    settings = Settings(source=str(sample), lake=home / "lake", recipe_set=RESILIPARSE)
    with pytest.raises(UnknownSnapshotError):
        materialise(settings, snapshot, SILENT)
    with open_instance(settings, SILENT) as instance:
        assert instance.get_dynamic_partitions(str(SNAPSHOTS.name)) == []
        assert instance.get_runs() == []


def test_a_lake_that_cannot_be_made_is_named(home: Path, sample: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(LakeError, match=r"file/lake .setting lake. cannot be made"):
        materialise(Settings(source=str(sample), lake=home / "file" / "lake"), SAMPLE_SNAPSHOT, SILENT)


def test_a_run_into_another_lake_marks_nothing_in_the_ui(home: Path) -> None:
    console = Console(record=True, quiet=False, file=(home / "told").open("w"))
    with open_instance(Settings(lake=home / "other"), console) as instance:
        assert instance.is_ephemeral
    assert "not recorded in the Dagster UI" in console.export_text()
    console.file.close()
    with open_instance(Settings(lake=home / "lake"), SILENT) as instance:
        assert not instance.is_ephemeral


def test_a_home_that_does_not_exist_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home / "none"))
    with pytest.raises(SettingsError, match="DAGSTER_HOME"):
        open_instance(Settings(), SILENT)


def test_an_interrupt_ends_the_command_in_one_line_and_leaves_no_process(home: Path, sample: Path) -> None:
    command = [sys.executable, "-m", "curation_assets.cli", "run", "--snapshot", SAMPLE_SNAPSHOT, "--workers", "2"]
    command += ["--source", str(sample), "--set", "extraction.extractor=resiliparse"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    running = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    staged = home / "lake" / "resiliparse" / "documents" / SAMPLE_SNAPSHOT / ".staging"
    while not staged.exists() and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=60)  # ends when the last process that holds the pipe has
    assert running.returncode == 130, told
    assert told.rstrip().endswith("interrupted; run again to go on")
    assert "Traceback" not in told
