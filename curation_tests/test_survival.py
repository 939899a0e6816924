"""Runs that are killed, raced and misled about the time end with the bytes of an undisturbed one.

`make torture` kills a hundred times; the normal suite ten times.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.station import Staged
from curation_assets.line import Line

DRIVER = Path(__file__).with_name("driver.py")
Content = dict[str, bytes]


def content(root: Path) -> Content:
    """Every file of a lake, hidden ones too, but for locks."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def undisturbed(line: Line, staged: dict[str, Staged]) -> Content:
    return content(line.lake.root)


def command(line: Line, lake: Path, *options: str) -> list[str]:
    settings = line.settings.model_copy(update={"lake": lake})
    return [sys.executable, str(DRIVER), settings.model_dump_json(), SAMPLE_SNAPSHOT, *options]


@contextmanager
def started(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A driver in a process group of its own, of which nothing is left afterwards."""
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            kill_group(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def finish(line: Line, lake: Path, *options: str) -> list[str]:
    """Run the line to its end; what the driver prints."""
    done = subprocess.run(command(line, lake, *options), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def first_made(process: subprocess.Popen[str]) -> bool:
    """Wait until a station has been made, not found; False when the line ended before."""
    assert process.stdout is not None
    return any(printed.endswith("made\n") for printed in process.stdout)


def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    line: Line, undisturbed: Content, tmp_path: Path, kills: int
) -> None:
    """Half of the kills strike before a change of the lake's files, in commits too; half at any time.

    Each run goes on where the one before it was killed. When one gets through, its lake is compared, and the next
    one begins with an empty lake.
    """
    moments = random.Random(kills)
    lakes = compared = 0
    lake = tmp_path / "0"
    for kill in range(kills):
        if kill % 2:
            options = ["--die-at", str(moments.randint(1, 120))]
            with started(command(line, lake, *options)) as process:
                _, told = process.communicate(timeout=120)
        else:
            with started(command(line, lake)) as process:
                if first_made(process):
                    time.sleep(moments.uniform(0, 1.5))
                    kill_group(process)
                _, told = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL), told
        if process.returncode == 0:
            assert content(lake) == undisturbed
            compared += 1
            shutil.rmtree(lake)
            lakes += 1
            lake = tmp_path / str(lakes)
    finish(line, lake)
    assert content(lake) == undisturbed
    assert compared < kills, "no run was killed before its end"


def workers_of(driver: int) -> list[int]:
    """Processes below the fork server of a driver: its workers, and what they started."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    children = {pid for pid, parent in parents.items() if parent == driver}
    return sorted(pid for pid, parent in parents.items() if parent in children)


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_worker_ends_the_run_with_a_message_and_costs_nothing(
    line: Line, undisturbed: Content, tmp_path: Path, seed: int
) -> None:
    """Never a success that lost something: the driver says that a worker died, or was not hurt."""
    moments = random.Random(seed)
    lake = tmp_path / "lake"
    with started(command(line, lake)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 60
        while not (workers := workers_of(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5))
        os.kill(moments.choice(workers), signal.SIGKILL)
        _, told = process.communicate(timeout=120)
    if process.returncode:
        assert "a worker process was killed" in told
        assert not (lake / "fineweb" / "training_shards" / SAMPLE_SNAPSHOT / "_manifest.json").exists()
    finish(line, lake)
    assert content(lake) == undisturbed


def test_two_runs_of_one_partition_started_together_do_the_work_once(
    line: Line, undisturbed: Content, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    with started(command(line, lake)) as one, started(command(line, lake)) as other:
        told = [run.communicate(timeout=120) for run in (one, other)]
    assert [run.returncode for run in (one, other)] == [0, 0], told
    made = [line for printed, _ in told for line in printed.splitlines() if line.endswith(" made")]
    assert sorted(made) == sorted(f"{station.name} made" for station in line.stations)
    assert content(lake) == undisturbed


def test_a_clock_that_jumps_changes_nothing(line: Line, undisturbed: Content, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    finish(line, lake, "--clock-jumps", "1")
    assert content(lake) == undisturbed
    assert all("made" not in printed for printed in finish(line, lake, "--clock-jumps", "2"))
