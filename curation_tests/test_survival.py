"""Runs that are killed, raced and misled about the time end with the bytes of an undisturbed one.

`make torture` kills a hundred times, and says which stations that struck; the normal suite ten times.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.lake import MANIFEST, Lake
from curation_assets.lake.station import Staged
from curation_assets.line import Line

DRIVER = Path(__file__).with_name("driver.py")
CHANGES = 19
"""So many changes of its files does each table see at least."""
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


def finish(line: Line, lake: Path) -> None:
    """Run the line to its end."""
    done = subprocess.run(command(line, lake), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


class Struck(Counter[tuple[str, str]]):
    """How often each station was killed, and at what."""

    def note(self, printed: str) -> None:
        """Count a killed run by what it printed: the station that had begun, and the change that it died before."""
        at, how = "its start", "at any time"
        for told in printed.splitlines():
            if told.endswith(" begins"):
                at = told.removesuffix(" begins")
            elif told.startswith("killed before "):
                # What is renamed into place from staging, or removed beside it, belongs to a commit.
                making = "/.staging/" in told and (" open " in told or ".tmp" in told or " os.mkdir " in told)
                how = "while it was made" if making and MANIFEST not in told else "in a commit"
        self[at, how] += 1

    def of(self, station: str) -> int:
        """How often a station was killed."""
        return sum(count for (struck, _), count in self.items() if struck == station)

    def __str__(self) -> str:
        return "\n".join(f"{count:4} {station}, {how}" for (station, how), count in sorted(self.items()))


def printed_by(process: subprocess.Popen[str], until: str = "\0") -> str:
    """What a driver prints, up to a line that ends so, or to its end."""
    assert process.stdout is not None
    printed = ""
    for told in process.stdout:
        printed += told
        if told.endswith(until):
            break
    return printed


def test_killed_anywhere_it_goes_on_to_the_same_bytes(
    line: Line, undisturbed: Content, tmp_path: Path, kills: int
) -> None:
    """Half of the kills strike at any time, half before a change of the files of a table, in its commit too.

    Those are of a table that was killed least. Each run goes on where the one before it was killed. When one gets
    through, its lake is compared, and the next one begins with an empty lake.
    """
    moments = random.Random(kills)
    struck = Struck()
    compared = 0
    lake = tmp_path / "0"
    while struck.total() < kills:
        if struck.total() % 2:
            here = Lake(lake)
            missing = [one for one in line.stations if here.partition(one.key, SAMPLE_SNAPSHOT).committed() is None]
            least = min((struck.of(station.name) for station in missing), default=0)
            station = moments.choice([one for one in missing if struck.of(one.name) == least] or line.stations)
            options = ["--die-in", station.name, "--die-at", str(moments.randint(2, CHANGES))]
            with started(command(line, lake, *options)) as process:
                printed, told = process.communicate(timeout=120)
        else:
            with started(command(line, lake)) as process:
                printed = printed_by(process, until=" made\n")
                time.sleep(moments.uniform(0, 1.5))
                kill_group(process)
                rest, told = process.communicate(timeout=120)
                printed += rest
        assert process.returncode in (0, -signal.SIGKILL), told
        if process.returncode == 0:
            assert content(lake) == undisturbed
            shutil.rmtree(lake)
            compared += 1
            lake = tmp_path / str(compared)
        else:
            struck.note(printed)
    finish(line, lake)
    assert content(lake) == undisturbed
    compared += 1
    print(f"{struck.total()} runs were killed, {compared} lakes compared:\n{struck}")
    assert any(how == "in a commit" for _, how in struck)
    if kills >= 5 * len(line.stations):
        assert all(struck.of(station.name) for station in line.stations)


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


def test_a_killed_worker_ends_the_run_with_a_message_and_costs_nothing(
    line: Line, undisturbed: Content, tmp_path: Path
) -> None:
    """Never a success that lost something: the driver says that a worker died, or was not hurt."""
    moments = random.Random(1)
    lake = tmp_path / "lake"
    for _ in range(2):
        with started(command(line, lake)) as process:
            while not (workers := workers_of(process.pid)) and process.poll() is None:
                time.sleep(0.02)
            time.sleep(moments.uniform(0, 0.5))
            if workers:
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


def test_a_clock_that_jumps_changes_nothing(
    line: Line, undisturbed: Content, engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By up to three years either way each time that somebody asks for it."""
    jumps, now = random.Random(1), time.time
    monkeypatch.setattr(time, "time", lambda: now() + jumps.uniform(-1e8, 1e8))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    again = Line(line.settings.model_copy(update={"lake": tmp_path / "lake"}))
    assert all(staged.fresh for staged in again.run(SAMPLE_SNAPSHOT, engine))
    assert content(again.lake.root) == undisturbed
    assert not any(staged.fresh for staged in again.run(SAMPLE_SNAPSHOT, engine))
