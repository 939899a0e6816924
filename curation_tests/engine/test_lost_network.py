"""A node of a cluster that loses its network among the parts. Nodes are network namespaces: it takes root and `ip`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.engine import ray as engine_ray
from curation_assets.lake.station import Staged
from curation_assets.line import Line
from curation_tests.engine.test_ray import ENVIRONMENT, HEALTH, content

SPACES = tuple(f"c{os.getpid()}-{role}" for role in ("head", "lost", "other"))
ADDRESSES = ("198.51.100.1", "198.51.100.2", "198.51.100.3")  # for documentation (RFC 5737): nobody's
WATCHFUL = dict.fromkeys(engine_ray.WATCHFUL, "2000")
RAY = (str(Path(sys.executable).parent / "ray"), "start", "--object-store-memory=80000000")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def inside(space: str, *command: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", space, *command)


@pytest.fixture
def network() -> Iterator[str]:
    """Three machines with a network of their own, and nothing on them when it is taken down; a folder for sockets."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip")
    if subprocess.run(["ip", "netns", "add", SPACES[0]], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not allowed here")
    sockets = tempfile.mkdtemp(prefix="ray")  # their names must be short
    try:
        head = SPACES[0]
        run("ip", "-n", head, "link", "add", "bridge", "type", "bridge")
        for space, address in zip(SPACES, ADDRESSES, strict=True):
            if space != head:
                run("ip", "netns", "add", space)
                run("ip", "-n", head, "link", "add", space, "type", "veth", "peer", "name", "wire", "netns", space)
                run("ip", "-n", head, "link", "set", space, "master", "bridge", "up")
            device = "bridge" if space == head else "wire"
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "-n", space, "address", "add", f"{address}/24", "dev", device)
            run("ip", "-n", space, "link", "set", device, "up")
        yield sockets
    finally:
        for space in SPACES:
            found = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
            for pid in found.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)
        shutil.rmtree(sockets, ignore_errors=True)


def test_a_node_that_loses_its_network_changes_nothing(
    line: Line, staged: dict[str, Staged], network: str, tmp_path: Path
) -> None:
    """Its part is made elsewhere; when it comes to it, the run is over, and it does no harm."""
    head, lost, other = SPACES
    where = f"{ADDRESSES[0]}:6379"
    options = (f"--temp-dir={network}", f"--system-config={json.dumps(HEALTH)}", f"--node-ip-address={ADDRESSES[0]}")
    run(*inside(head, *RAY, "--head", "--num-cpus=0", "--include-dashboard=false", *options))
    for space, address in zip((lost, other), ADDRESSES[1:], strict=True):
        run(*inside(space, *RAY, "--num-cpus=1", f"--address={where}", f"--node-ip-address={address}"))
    settings = line.settings.model_copy(update={"lake": tmp_path / "lake", "cluster": where})
    script = str(Path(__file__).with_name("lost_node.py"))
    command = inside(
        head, sys.executable, script, settings.model_dump_json(), SAMPLE_SNAPSHOT, ADDRESSES[1], str(tmp_path)
    )
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT | WATCHFUL
    ) as driver:
        until(tmp_path / "begun", driver)
        run("ip", "-n", head, "link", "set", lost, "down")
        told, noise = driver.communicate(timeout=120)
    assert driver.returncode == 0, noise
    assert told.split() == list(staged)
    assert "its task is run again" in noise
    until(tmp_path / "late")
    assert content(tmp_path / "lake") == content(line.lake.root)


def until(path: Path, driver: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert driver is None or driver.poll() is None, driver.stderr and driver.stderr.read()
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.05)
