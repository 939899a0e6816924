"""The Ray engine on a cluster of several nodes, which are processes of this machine: each has a raylet of its own."""

import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.engine import ray as engine_ray
from curation_assets.engine.local import THREAD_LIMITS, WorkerDied
from curation_assets.engine.ray import ClusterError, RayEngine, checked_address
from curation_assets.lake.lake import LakeError
from curation_assets.lake.station import Staged
from curation_assets.line import Line

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(Path(__file__).parents[2]), **engine_ray.QUIET}
HEALTH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed within seconds, not half a minute."""
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs no tasks, and two nodes of one core each."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        folder = tempfile.mkdtemp(prefix="ray")  # sockets lie in it: its name must be short
        patch.setenv("RAY_TMPDIR", folder)
        cluster = Cluster(shutdown_at_exit=False)
        try:
            cluster.add_node(**NODE | {"num_cpus": 0}, include_dashboard=False, _system_config=HEALTH)
            for _ in range(2):
                cluster.add_node(**NODE)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayEngine]:
    with RayEngine(cluster.address, tmp_path_factory.mktemp("scratch")) as nodes:
        yield nodes


def content(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def double(number: int) -> int:
    return 2 * number


def where(folder: Path) -> tuple[str, int, dict[str, str | None], int]:
    """Where this runs, told when some task has run on each of two nodes, or after a minute."""
    import polars
    import ray

    node = ray.get_runtime_context().get_node_id()
    (folder / node).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    limits = {name: os.environ.get(name) for name in THREAD_LIMITS}
    return node, os.getpid(), limits, polars.thread_pool_size()


def fail_on_three(number: int, folder: Path) -> int:
    (folder / str(number)).touch()
    if number == 3:
        raise LakeError("three")
    time.sleep(0.05)
    return number


class Unpicklable(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def fail_unpicklably(_: int) -> None:
    raise Unpicklable("this", "that")


def die_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(number: int, folder: Path) -> int:
    first = folder / str(number)
    if number == 3 and not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def spin(_: int, folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill_node(node: Any) -> None:
    """SIGKILL the raylet and everything below it, as if the machine were gone."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    lost = {info.process.pid for infos in node.all_processes.values() for info in infos}
    while below := {pid for pid, parent in parents.items() if parent in lost} - lost:
        lost |= below
    for pid in lost:
        os.kill(pid, signal.SIGKILL)


def test_without_ray_an_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        RayEngine("auto", tmp_path) as engine,
        pytest.raises(ClusterError, match=r"pip install 'curation-assets\[ray\]'"),
    ):
        list(engine.map(double, [1]))


def test_a_cluster_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        RayEngine("ray://127.0.0.1:1", tmp_path) as engine,
        pytest.raises(ClusterError, match=r"ray://127.0.0.1:1 \(setting cluster.*refused"),
    ):
        list(engine.map(double, [1]))
    assert time.monotonic() - began < 30


def test_what_is_no_ray_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_ray, "ANSWER_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with RayEngine(address, tmp_path) as engine, pytest.raises(ClusterError, match="answers within 2 seconds"):
            list(engine.map(double, [1]))


def test_map_gives_every_result_once_and_says_nothing(nodes: RayEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert sorted(nodes.map(double, range(20))) == [2 * number for number in range(20)]
    assert list(nodes.map(double, [])) == []
    assert capfd.readouterr() == ("", "")


def test_tasks_run_on_every_node_with_one_thread(nodes: RayEngine, tmp_path: Path) -> None:
    found = list(nodes.map(where, [tmp_path] * 8))
    assert len({node for node, *_ in found}) == 2
    assert nodes.workers == 2
    assert os.getpid() not in {pid for _, pid, *_ in found}
    for _, _, limits, threads in found:
        assert limits == dict.fromkeys(THREAD_LIMITS, "1")
        assert threads == 1


def test_the_line_on_the_cluster_gives_the_bytes_of_the_local_one(
    line: Line, staged: dict[str, Staged], cluster: Any, tmp_path: Path
) -> None:
    settings = line.settings.model_copy(update={"lake": tmp_path / "lake", "cluster": cluster.address})
    elsewhere = Line(settings)
    with elsewhere.engine() as running:
        assert isinstance(running, RayEngine)
        assert all(one.fresh for one in elsewhere.run(SAMPLE_SNAPSHOT, running))
    assert content(elsewhere.lake.root) == content(line.lake.root)


def test_the_first_failure_arrives_as_itself_and_nothing_more_is_started(nodes: RayEngine, tmp_path: Path) -> None:
    with pytest.raises(LakeError) as caught:
        list(nodes.map(partial(fail_on_three, folder=tmp_path), range(1000)))
    assert (type(caught.value), str(caught.value)) == (LakeError, "three")
    assert "fail_on_three" in caught.value.__notes__[0]
    started = len(list(tmp_path.iterdir()))
    assert started < 20
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == started


def test_an_exception_that_cannot_travel_is_told(nodes: RayEngine) -> None:
    with pytest.raises(RuntimeError, match="Unpicklable: this and that"):
        list(nodes.map(fail_unpicklably, [1]))


def test_what_is_not_wanted_any_more_is_killed(nodes: RayEngine, tmp_path: Path) -> None:
    with pytest.raises(LakeError):
        list(nodes.map(partial(spin_or_fail, folder=tmp_path), [0, 3]))
    (spinning,) = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and is_running(spinning):
        time.sleep(0.05)
    assert not is_running(spinning)


def spin_or_fail(number: int, folder: Path) -> None:
    if number == 0:
        spin(number, folder)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(folder.iterdir()):
        time.sleep(0.05)
    raise LakeError("three")


def test_a_task_whose_worker_died_is_run_again(
    nodes: RayEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)
    assert sorted(nodes.map(partial(die_once, folder=tmp_path), range(6))) == list(range(6))
    assert [record.getMessage()[:46] for record in caplog.records] == ["a worker died: its task is run again (2 of 4):"]
    time.sleep(1)
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_dies_each_time_is_an_error_that_says_what_to_do(
    nodes: RayEngine, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WorkerDied, match=r"lost its worker 4 times.*more memory"):
        list(nodes.map(die_on_three, [3]))
    assert len(caplog.records) == 3
    assert capfd.readouterr() == ("", "")
    assert list(nodes.map(double, [1])) == [2]


def test_a_node_that_does_not_see_the_lake_is_named(cluster: Any, tmp_path: Path) -> None:
    elsewhere = RayEngine(cluster.address, tmp_path / "lake", [tmp_path / "source"])
    with elsewhere, pytest.raises(ClusterError, match=f"{re.escape(socket.gethostname())} does not see .*/source"):
        list(elsewhere.map(double, [1]))
    assert list((tmp_path / "lake").iterdir()) == []


def test_a_node_with_other_versions_is_named(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_ray, "_versions", lambda: (("polars", "0.1"),))
    with (
        RayEngine(cluster.address, tmp_path) as elsewhere,
        pytest.raises(ClusterError, match=r"would make other bytes: it has polars 2.*, not 0.1"),
    ):
        list(elsewhere.map(double, [1]))


def test_signal_handlers_are_left_as_they_are(nodes: RayEngine) -> None:
    assert list(nodes.map(double, [1])) == [2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def linger(item: object, function: Callable[[object], object], node: str, begun: Path) -> object:
    """Does the work, but never comes to it on the node named, once it has told that it is there."""
    import ray

    if ray.get_runtime_context().get_node_id() == node:
        begun.touch()
        time.sleep(60)
    return function(item)


def test_a_node_that_dies_among_the_parts_changes_nothing(
    line: Line,
    staged: dict[str, Staged],
    cluster: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = line.settings.model_copy(update={"lake": tmp_path / "lake", "cluster": cluster.address})
    elsewhere = Line(settings)
    doomed = next(iter(cluster.worker_nodes))
    begun = tmp_path / "begun"

    def kill_when_it_works() -> None:
        while not begun.exists():
            time.sleep(0.05)
        kill_node(doomed)

    (tmp_path / "nodes").mkdir()
    killer = Thread(target=kill_when_it_works, daemon=True)
    with elsewhere.engine() as running:
        assert len({node for node, *_ in running.map(where, [tmp_path / "nodes"] * 2)}) == 2
        mapped = running.map
        monkeypatch.setattr(
            running,
            "map",
            lambda function, items: mapped(partial(linger, function=function, node=doomed.node_id, begun=begun), items),
        )
        killer.start()
        assert all(one.fresh for one in elsewhere.run(SAMPLE_SNAPSHOT, running))
    assert begun.exists()
    assert any("run again" in record.getMessage() for record in caplog.records)
    assert content(elsewhere.lake.root) == content(line.lake.root)


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "10.0.0.1:6379", "[::1]:6379"])
def test_addresses(address: str) -> None:
    assert checked_address(address) == address


@pytest.mark.parametrize("address", ["", "head", "http://head:1", "head:", "head:0", "head:70000", "a b:1", "local"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="write ray://host:10001"):
        checked_address(address)
