"""What is wrong with a lake is found, and nothing else is."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import curation_assets.lake.health as health
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.health import begun, lake_health
from curation_assets.lake.lake import LOCK, MANIFEST, Lake
from curation_assets.lake.station import Staged
from curation_assets.line import Line

NEXT = "CC-MAIN-2000-02"


@pytest.fixture
def lake(line: Line, staged: dict[str, Staged], tmp_path: Path) -> Lake:
    """A copy to spoil."""
    shutil.copytree(line.lake.root, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def wrong(line: Line, lake: Lake, snapshot: str | None = SAMPLE_SNAPSHOT) -> dict[str, str]:
    return {one.name: one.told for one in lake_health(lake, line.stations, snapshot) if not one.passed}


def test_a_sound_lake_is_well_and_unchanged(line: Line, lake: Lake) -> None:
    before = sorted(lake.root.rglob("*"))
    assert wrong(line, lake) == {}
    assert sorted(lake.root.rglob("*")) == before
    assert {one.key for one in begun(lake)} >= {station.key for station in line.stations}


def test_a_lake_that_is_not_there_yet_is_well(line: Line, tmp_path: Path) -> None:
    assert wrong(line, Lake(tmp_path / "a" / "b")) == {}
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_written_to(line: Line, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise OSError(30, os.strerror(30), str(dir))

    monkeypatch.setattr(health.tempfile, "TemporaryFile", refuse)
    assert "Read-only file system" in wrong(line, lake)["lake_is_writable"]


def test_room_is_estimated_from_what_other_snapshots_took(
    line: Line, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = lake.partition(line.key("warc_files"), SAMPLE_SNAPSHOT)
    other = lake.partition(line.key("warc_files"), NEXT)
    shutil.copytree(listed.folder, other.folder)
    size = sum(
        lake.partition(station.key, SAMPLE_SNAPSHOT).manifest().bytes
        for station in line.stations
        if station.name != "warc_files"
    )
    assert size > 100_000
    usage = shutil.disk_usage(lake.root)
    for free, enough in ((size + 1, True), (size - 1, False)):
        monkeypatch.setattr(health.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert ("room_is_enough" not in wrong(line, lake, NEXT)) == enough
        assert wrong(line, lake) == {}, "of what is made nothing is still to be written"


@pytest.mark.parametrize("table", ["documents", "verdicts"])
def test_what_a_killed_run_left_is_named(line: Line, lake: Lake, table: str) -> None:
    partition = lake.partition(line.key(table), SAMPLE_SNAPSHOT)
    partition.staging.mkdir(exist_ok=True)
    (partition.staging / "part-00000.parquet").write_bytes(b"x")
    assert partition.name in wrong(line, lake)["nothing_is_left_unfinished"]
    with partition.lock():
        assert wrong(line, lake) == {}, "a run that is at work has not left it"


def test_files_without_a_manifest_are_named(line: Line, lake: Lake) -> None:
    partition = lake.partition(line.key("signals"), SAMPLE_SNAPSHOT)
    (partition.folder / MANIFEST).unlink()
    assert f"{partition.name} (files without {MANIFEST})" in wrong(line, lake)["nothing_is_left_unfinished"]


def test_a_lock_that_outlived_its_process_is_named(line: Line, lake: Lake) -> None:
    """As on a network file system that was not told of the death: a lock that another process really holds."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    partition = lake.partition(line.key("signals"), SAMPLE_SNAPSHOT)
    with partition.lock():
        assert wrong(line, lake) == {}
        (partition.folder / LOCK).write_text(f"process {child.pid} on {socket.gethostname()}")
        assert partition.name in wrong(line, lake)["no_lock_is_of_a_dead_process"]
        (partition.folder / LOCK).write_text(f"process {child.pid} on another.host")
        assert wrong(line, lake) == {}, "of other hosts nothing is known"
