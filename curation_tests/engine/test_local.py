import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation_assets.engine.local import LocalEngine, WorkerDied


def double(number: int) -> int:
    return 2 * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def die_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def process(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_map_gives_every_result_once() -> None:
    with LocalEngine(2) as engine:
        assert sorted(engine.map(double, range(20))) == [2 * number for number in range(20)]
        assert list(engine.map(double, [])) == []


def test_workers_are_as_many_as_asked_for_and_are_kept() -> None:
    with LocalEngine(2) as engine:
        first = set(engine.map(process, range(8)))
        second = set(engine.map(process, range(8)))
    assert len(first) == 2
    assert first == second
    assert os.getpid() not in first


def test_the_first_failure_is_raised_and_workers_are_stopped() -> None:
    engine = LocalEngine(2)
    with pytest.raises(ValueError, match="three"):
        list(engine.map(fail_on_three, range(1000)))
    assert engine._pool is None


def test_a_killed_worker_is_an_error_that_says_what_to_do() -> None:
    with LocalEngine(1) as engine:
        with pytest.raises(WorkerDied, match="fewer workers"):
            list(engine.map(die_on_three, range(10)))
        assert list(engine.map(double, [1])) == [2]


def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LocalEngine(-1)


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "from curation_assets.engine.local import LocalEngine\n"
        "from curation_tests.engine.test_local import process\n"
        "import time\n"
        "if __name__ == '__main__':\n"
        "    engine = LocalEngine(2)\n"
        "    print(*sorted(set(engine.map(process, range(8)))), flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(_is_running, workers)):
        time.sleep(0.05)
    assert not any(map(_is_running, workers))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_fork_server_starts_without_polars() -> None:
    """Its threads would be lost in the workers, which then wait for them forever."""
    code = "import curation_assets.preload, sys; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_workers_start_without_what_none_of_them_needs_and_may_import_it() -> None:
    code = (
        "import curation_assets.preload, sys; found = {'pandas', 'scipy.linalg', 'cffi'} & set(sys.modules)\n"
        "import pyarrow, scipy.linalg\n"
        "series = pyarrow.table({'a': [1]}).to_pandas()['a']\n"
        "sys.exit(bool(found) or pyarrow.array(series).to_pylist() != [1])"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
