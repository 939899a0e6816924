"""Queries that do not fit into memory: where they spill, and that nothing of it stays."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from curation_assets.lake.lake import SPILL, Lake
from curation_assets.lake.query import connection, spilling_into
from curation_assets.lake.station import SnapshotJob, SnapshotStation, run, staging
from curation_tests.lake.test_station import SNAPSHOT, Inline

ROWS = 400_000
TOO_MUCH = f"CREATE TEMP TABLE t AS SELECT hash(i) AS h, repeat('x', 100) || i AS t FROM range({ROWS}) r(i)"
"""A table of 50 MB, which is more than the memory of these tests."""


ROOT = str(Path(__file__).parents[2])
IMPORTS = (
    "from curation_assets.lake import query; query.MEMORY_LIMIT = '40MB'; from curation_tests.lake.test_spill import *"
)


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation_assets.lake.query.MEMORY_LIMIT", "40MB")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_question_spills_into_the_systems_temporary_folder(here: Path, tmp_path: Path) -> None:
    system = tmp_path / "system"
    system.mkdir()
    script = (
        f"{IMPORTS}; import tempfile\nwith connection({{}}, threads=1) as con:\n"
        "    con.execute(TOO_MUCH)\n"
        "    (folder,) = Path(tempfile.gettempdir()).iterdir()\n"
        "    print(any(folder.iterdir()), con.execute('SELECT count(DISTINCT h) FROM t').fetchone())"
    )
    environment = {**os.environ, "TMPDIR": str(system), "PYTHONPATH": ROOT}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == (f"True ({ROWS},)\n", "")
    assert list(system.iterdir()) == list(here.iterdir()) == []


def spill(job: SnapshotJob) -> dict[str, int]:
    """Spills, and notes whether that made files beside its own; waits for its end where it is told to."""
    with connection({}, threads=1) as con:
        con.execute(TOO_MUCH)
        spilled = list((job.folder.parent / SPILL).iterdir())
        if "WAIT" in os.environ:
            print("spilled", flush=True)
            time.sleep(60)
    (job.folder / "done").write_text(str(bool(spilled)))
    return {}


STATION = SnapshotStation(key=("t",), group="g", description="d", version="1", step=spill)


def test_a_station_spills_beside_its_files(tmp_path: Path, here: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with staging(STATION, lake, SNAPSHOT, Inline()) as staged:
        assert (staged.partition.staging / "done").read_text() == "True"
        spilled = staged.partition.folder / SPILL
    assert not spilled.exists()
    assert list(here.iterdir()) == []


def test_what_a_killed_run_spilled_is_gone_after_the_next(tmp_path: Path, here: Path) -> None:
    lake = Lake(tmp_path / "lake")
    script = f"{IMPORTS}; import sys; run(STATION, Lake(Path(sys.argv[1])), SNAPSHOT, Inline())"
    environment = {**os.environ, "WAIT": "1", "PYTHONPATH": ROOT}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(lake.root)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "spilled\n"
        process.kill()
    left = lake.partition(STATION.key, SNAPSHOT).folder / SPILL
    assert any(left.iterdir())
    run(STATION, lake, SNAPSHOT, Inline())
    assert not left.exists()
    assert list(here.iterdir()) == []


def test_the_folder_is_chosen_for_the_while_alone(tmp_path: Path) -> None:
    def chosen() -> str:
        with connection({}) as con:
            return con.sql("SELECT current_setting('temp_directory')").fetchall()[0][0]

    with spilling_into(tmp_path / "a"):
        with spilling_into(tmp_path / "b"):
            assert chosen() == str(tmp_path / "b")
        assert chosen() == str(tmp_path / "a")
    assert chosen().startswith(tempfile.gettempdir())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads what Linux tells of a process")
def test_memory_of_a_query_goes_back_to_the_system() -> None:
    """A build of DuckDB whose allocator never keeps anything passes too."""
    script = (
        "import os, resource; from pathlib import Path; from curation_assets.lake.query import connection\n"
        "def held(): return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') >> 20\n"
        "with connection({}) as con: con.sql('SELECT 1').fetchall()\n"
        "before = held()\n"
        "with connection({}) as con:\n"
        "    con.sql('SELECT count(DISTINCT i) FROM range(8000000) r(i)').fetchall()\n"
        "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "print(peak - before > 100, held() - before < 30)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")
