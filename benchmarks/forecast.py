"""What `curation forecast` says from a sample of WARC files, against what the run then takes.

    python benchmarks/forecast.py [SOURCE SNAPSHOT [PARTS [FILES]]] [--in-order] [--recipe RECIPE]

SOURCE is a local folder in Common Crawl's layout; the embedded sample otherwise. A local snapshot has a handful of WARC
files, too few to sample: its captures (request, response and metadata together) are first dealt out to PARTS files (24
by default), from which FILES (8) are sampled. Dealt out like cards by a hash of their place, files are alike, as in
Common Crawl, where a file holds pages of everywhere. With `--in-order` each file is a stretch of the snapshot instead,
and files differ as much as they can. Both commands run as a person would type them, with resiliparse and two workers;
CPU time is the system's own figure for all their processes.
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Event, Thread

from fastwarc.warc import ArchiveIterator, WarcRecordType
from measure import report
from measure.mirrors import write_list

from curation_assets.acquisition.archive import open_archive
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.forecasting.metering import WORKER_DEPTH, descendants, status
from curation_assets.lake.lake import Lake

PR_SET_CHILD_SUBREAPER = 36
FIRST = (WarcRecordType.request, WarcRecordType.warcinfo)
"""What begins a capture; what a file says of itself is dealt out like one."""
WORKERS = 2
RESILIPARSE = ["--set", "extraction.extractor=resiliparse"]


def captures(source: str, snapshot: str) -> Iterator[bytes]:
    """The bytes of each capture of a snapshot, gzip members as they are stored."""
    archive = open_archive(source)
    for path in archive.warc_files(snapshot):
        with archive.open(path) as stream:
            data = stream.read()
        with archive.open(path) as stream:
            records = ArchiveIterator(stream, parse_http=False)
            starts = []
            with suppress(OSError):  # damaged: what follows goes with the capture before
                starts.extend(record.stream_pos for record in records if record.record_type in FIRST)
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
            yield data[start:end]


def deal(source: str, snapshot: str, parts: int, in_order: bool, mirror: Path) -> None:
    """Write the snapshot anew, its captures dealt out to so many WARC files."""
    dealt: list[list[bytes]] = [[] for _ in range(parts)]
    found = list(captures(source, snapshot))
    for number, capture in enumerate(found):
        chance = int.from_bytes(blake2b(str(number).encode(), digest_size=8).digest())
        dealt[number * parts // len(found) if in_order else chance % parts].append(capture)
    folder = mirror / "crawl-data" / snapshot / "segments" / "1" / "warc"
    folder.mkdir(parents=True)
    paths = []
    for number, content in enumerate(dealt):
        path = folder / f"{snapshot}-{number:05}.warc.gz"
        path.write_bytes(b"".join(content))
        paths.append(path.relative_to(mirror))
    write_list(mirror, snapshot, paths)


@dataclass
class Ran:
    """What a command took."""

    answer: str
    cpu: float = 0.0
    driver_bytes: int = 0
    worker_bytes: int = 0
    """Of the largest worker and the largest sandbox."""


def run(*arguments: str) -> Ran:
    """Run a command of `curation` to its end, and that of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "curation_assets", *arguments]
    environment = {**os.environ, "CURATION_SETTINGS": os.devnull}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    largest: dict[int, int] = {}
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.2):
            for one in descendants(os.getpid()):
                depth = min(one.depth - 1, WORKER_DEPTH + 1)
                largest[depth] = max(largest.get(depth, 0), status(one.pid, "VmHWM"))

    watcher = Thread(target=watch)
    watcher.start()
    answer, _ = process.communicate()
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {answer}")
    with suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(answer, cpu, largest.get(0, 0), largest.get(WORKER_DEPTH, 0) + largest.get(WORKER_DEPTH + 1, 0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", nargs="?")
    parser.add_argument("snapshot", nargs="?", default=SAMPLE_SNAPSHOT)
    parser.add_argument("parts", nargs="?", type=int, default=24)
    parser.add_argument("files", nargs="?", type=int, default=8)
    parser.add_argument("--in-order", action="store_true")
    parser.add_argument("--recipe", default="fineweb")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = given.source
        if source is None:
            source = str(folder / "sample")
            write_sample(folder / "sample")
        deal(source, given.snapshot, given.parts, given.in_order, folder / "mirror")
        options = ["--source", str(folder / "mirror"), "--snapshot", given.snapshot, "--recipe", given.recipe]
        options += [*RESILIPARSE, "--workers", str(WORKERS)]
        began = time.monotonic()
        told = run("forecast", *options, "--files", str(given.files), "--json")
        sampling = time.monotonic() - began
        forecast = json.loads(told.answer)
        lake = folder / "lake"
        actual = run("run", *options, "--lake", str(lake))
        counted = {
            name: Lake(lake).partition(key, given.snapshot).manifest()
            for name, key in (
                ("documents", ("resiliparse", "documents")),
                ("kept", (given.recipe, "corpus")),
                ("tokens", (given.recipe, "tokens")),
            )
        }
        on_disk = sum(path.stat().st_size for path in lake.rglob("*") if path.is_file())
    print(
        f"{given.recipe} on {given.snapshot}: {given.files} of {given.parts} files sampled, "
        f"in {told.cpu:.0f} CPU s ({sampling:.0f} s)"
    )
    start = forecast["start_driver_seconds"] + forecast["workers"] * forecast["start_worker_seconds"]
    print(f"of the CPU time foreseen, {start:.1f} s are start-up")
    rows = (
        ("CPU s", forecast["cpu_seconds"], actual.cpu),
        ("lake, MB", forecast["lake_bytes"], on_disk),
        ("documents", forecast["documents"], counted["documents"].rows),
        ("kept", forecast["kept"], counted["kept"].rows),
        ("tokens", forecast["tokens"], counted["tokens"].stats["tokens"]),
        ("worker and sandbox, MB", forecast["worker_memory_bytes"], actual.worker_bytes),
        ("driver, MB", forecast["driver_memory_bytes"], actual.driver_bytes),
    )
    print(f"{'':<24}{'forecast':>12}{'90 % interval':>28}{'actual':>12}{'error':>9}")
    errors = {}
    for title, foreseen, found in rows:
        scale = 1e6 if title.endswith("MB") else 1.0
        estimate = foreseen if isinstance(foreseen, dict) else {"value": foreseen}
        value, found = estimate["value"] / scale, found / scale
        interval = f"{estimate['low'] / scale:,.1f} to {estimate['high'] / scale:,.1f}" if len(estimate) > 1 else ""
        errors[title.partition(",")[0]] = value / found - 1
        print(f"{title:<24}{value:>12,.1f}{interval:>28}{found:>12,.1f}{value / found - 1:>+9.1%}")
    report("forecast", forecast["cpu_seconds"]["value"], actual.cpu, **errors)


if __name__ == "__main__":
    main()
