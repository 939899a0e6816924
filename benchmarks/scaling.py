"""Wall time of the stations that map over parts: one worker against two, on this machine's pool and on a Ray cluster.

    python benchmarks/scaling.py [SOURCE SNAPSHOT [PARTS]]

SOURCE is a local folder in Common Crawl's layout. The snapshot's WARC files are put into one, which is listed PARTS
times (16), so that no part is larger than another, and none so small that it is nothing but overhead. The stations up
to the MinHash signatures run over them with an empty lake.
All processes are held to as many cores of the machine as there are workers: the driver and Ray's head share them with
the workers, so that one worker has no more to itself than each of two. A worker is held to one core, with its sandbox;
a Ray worker is a node. Workers are warm: the embedded sample went through them first. Needs a quiet machine with two
cores to spare; without arguments the sample's file is taken, which is nothing but overhead.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from measure.mirrors import write_list

from curation_assets.acquisition.archive import open_archive
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.engine.local import Engine, LocalEngine
from curation_assets.engine.ray import QUIET, RayEngine
from curation_assets.lake.station import PartStation, run
from curation_assets.line import Line
from curation_assets.settings import Settings

LAST = "minhash_signatures"
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}
Walls = dict[str, float]


def replicate(source: Path, snapshot: str, parts: int, mirror: Path) -> int:
    """List all of the snapshot's WARC files, put into one, `parts` times in a mirror; bytes of it."""
    archive = open_archive(str(source))
    folder = mirror / "crawl-data" / snapshot
    paths = [folder / "warc" / f"{part:05}.warc.gz" for part in range(parts)]
    paths[0].parent.mkdir(parents=True)
    with paths[0].open("wb") as one:
        for path in archive.warc_files(snapshot):
            with archive.open(path) as stream:
                shutil.copyfileobj(stream, one)
    for path in paths[1:]:
        path.symlink_to(paths[0])
    write_list(mirror, snapshot, [path.relative_to(mirror) for path in paths])
    return paths[0].stat().st_size


def line_of(mirror: Path, lake: Path) -> Line:
    """The FineWeb line with fast extraction."""
    return Line(Settings(source=str(mirror), lake=lake, recipe_set={"extraction.extractor": "resiliparse"}))


def walls(mirror: Path, snapshot: str, lake: Path, engine: Engine) -> Walls:
    """Seconds that each station took to make its parts, by name."""
    found: Walls = {}
    line = line_of(mirror, lake)
    for station in line.stations:
        staged = run(station, line.lake, snapshot, engine)
        if isinstance(station, PartStation):
            found[station.name] = staged.seconds
        if station.name == LAST:
            break
    shutil.rmtree(lake)
    return found


def measure(mirror: Path, snapshot: str, sample: Path, folder: Path, engine: Engine) -> Walls:
    """The same with workers that ran the sample before."""
    walls(sample, SAMPLE_SNAPSHOT, folder / "warm", engine)
    return walls(mirror, snapshot, folder / "lake", engine)


def measure_locally(workers: int, mirror: Path, snapshot: str, sample: Path, folder: Path) -> Walls:
    """`measure` with a pool of this machine; for a new process."""
    with held_to(range(workers)), LocalEngine(workers) as engine:
        return measure(mirror, snapshot, sample, folder, engine)


def measure_on_ray(workers: int, mirror: Path, snapshot: str, sample: Path, folder: Path) -> Walls:
    """`measure` with a cluster of as many nodes; for a new process."""
    with held_to(range(workers)), cluster(folder / f"ray{workers}") as started:
        for core in range(workers):
            with held_to([core]):
                started.add_node(**NODE)
        with RayEngine(started.address, folder) as engine:
            return measure(mirror, snapshot, sample, folder, engine)


@contextmanager
def held_to(cores: Iterable[int]) -> Iterator[None]:
    """Start processes on some of the cores that this one may use, by their place among them."""
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {usable[core] for core in cores})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@contextmanager
def cluster(folder: Path) -> Iterator[Any]:
    """A head without a core; nodes are added to it."""
    os.environ.update({**QUIET, "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(folder)})
    from ray.cluster_utils import Cluster

    head: dict[str, Any] = {**NODE, "num_cpus": 0, "include_dashboard": False}
    started = Cluster(shutdown_at_exit=False)
    try:
        started.add_node(**head)
        yield started
    finally:
        started.shutdown()


def main(arguments: list[str]) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="ray") as name:
        folder = Path(name)
        sample, mirror = folder / "sample", folder / "mirror"
        write_sample(sample)
        source, snapshot = (Path(arguments[0]), arguments[1]) if len(arguments) > 1 else (sample, SAMPLE_SNAPSHOT)
        parts = int(arguments[2]) if len(arguments) > 2 else 16
        size = replicate(source, snapshot, parts, mirror)
        print(f"{parts} parts of {size / 1e6:.1f} MB")
        measured: dict[str, list[Walls]] = {"local": [], "ray": []}
        for workers in (1, 2):
            for kind, measured_by in (("local", measure_locally), ("ray", measure_on_ray)):
                # A new process, because what is started by it stays on its cores.
                with ProcessPoolExecutor(1, get_context("spawn")) as apart:
                    task = apart.submit(measured_by, workers, mirror, snapshot, sample, folder)
                    measured[kind].append(task.result())
    ratios = {}
    for kind, (one, two) in measured.items():
        print(f"\n{kind:<22}1 worker   2 workers   times as fast")
        for station in one:
            print(f"{station:<20}{one[station]:>8.2f} s{two[station]:>10.2f} s{one[station] / two[station]:>13.2f}")
        ratios[kind] = sum(one.values()) / sum(two.values())
        print(f"{'all':<20}{sum(one.values()):>8.2f} s{sum(two.values()):>10.2f} s{ratios[kind]:>13.2f}")
    one, two = (sum(found.values()) for found in measured["ray"])
    print(json.dumps({"name": "scaling", "ours": two, "peer": one, "ratio": ratios["ray"], "local": ratios["local"]}))


if __name__ == "__main__":
    main(sys.argv[1:])
