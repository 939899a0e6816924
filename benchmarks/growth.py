"""How CPU time, memory and disk of each station grow with the snapshot: 1, 4 and 16 times as many parts.

    python benchmarks/growth.py [SOURCE SNAPSHOT [WORKERS [FOLDER]]]

SOURCE is a local folder in Common Crawl's layout; without it the embedded sample is taken, which is too small to show
more than that this program works. The plot goes into FOLDER.

The larger snapshots are made of copies of the WARC files. In the n-th copy of a page (n > 1) words of five to twenty
small ASCII letters change places with others of the same length on the page; host and record id are another. So length,
markup, language and the frequencies of words stay, and neither hashes nor 5-grams of an English page do: copies are not
each other's duplicates. (Pages in other scripts are; the recipe, `fineweb` with resiliparse, drops them by language
before it compares.) Only responses are copied.

One process runs the line, with workers that are started anew for each station. Of each station are told CPU seconds of
all processes; wall seconds; the peak memory of the driving process above what it held when the station began, and of
the largest worker in all (from `/proc`, so it runs on Linux only); and the bytes that it leaves in the lake and that it
writes at all. Linear fits of CPU seconds over pages, with R squared, and the exponent of growth from the second to the
last snapshot. The line is taken through the sample first, so that nothing is loaded for the first time.
"""

import ctypes
import gc
import gzip
import json
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecordType
from measure.mirrors import write_list

from curation_assets.acquisition.archive import open_archive
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.engine.local import LocalEngine
from curation_assets.forecasting.metering import descendants, status
from curation_assets.line import Line
from curation_assets.plots import lines, png
from curation_assets.settings import Settings

FACTORS = (1, 4, 16)
TEXT = re.compile(rb">[^<>]+<")
WORD = re.compile(rb"(?<![A-Za-z0-9&;_-])[a-z]{5,20}(?![A-Za-z0-9;_-])")


def copied(html: bytes, seed: str) -> bytes:
    """A page of which words have changed places with others of their length."""
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for text in TEXT.finditer(html):
        for word in WORD.finditer(html, text.start(), text.end()):
            places[len(word[0])].append(word.span())
    out, chance = bytearray(html), random.Random(seed)
    for spans in places.values():
        words = [html[start:end] for start, end in spans]
        chance.shuffle(words)
        for (start, end), word in zip(spans, words, strict=True):
            out[start:end] = word
    return bytes(out)


def write_copy(source: str, target: Path, job: tuple[str, int]) -> tuple[str, int, int]:
    """The n-th copy of a WARC file: its path under `target`, pages and bytes."""
    path, copy = job
    stem, _, name = path.rpartition("/")
    out = target / stem / f"{copy:02d}-{name}"
    out.parent.mkdir(parents=True, exist_ok=True)
    pages = 0
    # What follows a damaged record is not copied.
    with open_archive(source).open(path) as stream, out.open("wb") as file, suppress(OSError):
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=False):
            content = record.reader.read()
            fields = dict(record.headers)
            if copy:
                head, gap, html = content.partition(b"\r\n\r\n")
                content = head + gap + copied(html, f"{copy} {fields['WARC-Record-ID']}")
                uri = fields["WARC-Target-URI"]
                fields["WARC-Target-URI"] = uri.replace("://", f"://copy{copy}.", 1)
                own = fields["WARC-Record-ID"].strip("<>").removeprefix("urn:uuid:")
                fields["WARC-Record-ID"] = f"<urn:uuid:{copy:04x}{own[4:]}>"
            fields = {name: value for name, value in fields.items() if not name.endswith("-Digest")}
            fields["Content-Length"] = str(len(content))
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            file.write(gzip.compress(f"WARC/1.0\r\n{head}\r\n".encode() + content + b"\r\n\r\n", 1, mtime=0))
            pages += 1
    return out.relative_to(target).as_posix(), pages, out.stat().st_size


def write_snapshots(source: str, snapshot: str, target: Path) -> dict[str, tuple[int, int]]:
    """Pages and bytes of the snapshots, which are written under `target`, by name."""
    paths = open_archive(source).warc_files(snapshot)
    jobs = [(path, copy) for copy in range(max(FACTORS)) for path in paths]
    with multiprocessing.get_context("spawn").Pool() as pool:
        made = pool.map(partial(write_copy, source, target), jobs, chunksize=1)
    found = {}
    for factor in FACTORS:
        own = made[: factor * len(paths)]
        name = f"CC-MAIN-2000-{factor:02d}"
        write_list(target, name, [path for path, _, _ in own])
        found[name] = (sum(pages for _, pages, _ in own), sum(size for _, _, size in own))
    return found


@dataclass(frozen=True)
class Process:
    """What the kernel says of one."""

    cpu: float
    """Seconds, of its ended children too."""
    resident: int
    peak: int
    written: int


def written(pid: int) -> int:
    """Bytes that a process wrote to disk; 0 where it has ended."""
    with suppress(OSError):
        found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0
    return 0


def tree() -> dict[int, Process]:
    """This process and all that descend from it."""
    own = os.getpid()
    seconds = {own: sum(os.times()[:4])} | {one.pid: one.cpu for one in descendants(own)}
    return {pid: Process(cpu, status(pid, "VmRSS"), status(pid, "VmHWM"), written(pid)) for pid, cpu in seconds.items()}


@dataclass(frozen=True)
class Measured:
    """One station of one snapshot."""

    cpu_s: float
    wall_s: float
    driver_bytes: int
    worker_bytes: int
    lake_bytes: int
    written_bytes: int


def measure(source: str, snapshot: str, lake: Path, workers: int) -> Iterator[tuple[str, Measured]]:
    """Run the line, measuring station by station."""
    own = os.getpid()
    settings = Settings(source=source, lake=lake, workers=workers, recipe_set={"extraction.extractor": "resiliparse"})
    with LocalEngine(workers) as engine:
        list(engine.map(str, range(workers)))  # the fork server has loaded what it loads
        stations = Line(settings).run(snapshot, engine)
        while True:
            engine.close()
            gc.collect()
            pa.default_memory_pool().release_unused()
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            before, began = tree(), time.perf_counter()
            if (staged := next(stations, None)) is None:
                return
            seconds, after = time.perf_counter() - began, tree()
            largest = max((one.peak for pid, one in after.items() if pid not in before), default=0)
            yield (
                staged.station.name,
                Measured(
                    cpu_s=sum(one.cpu for one in after.values()) - sum(one.cpu for one in before.values()),
                    wall_s=seconds,
                    driver_bytes=after[own].peak - before[own].resident,
                    worker_bytes=largest,
                    lake_bytes=staged.manifest.bytes,
                    written_bytes=sum(one.written for one in after.values())
                    - sum(one.written for pid, one in before.items() if pid in after),
                ),
            )


def fitted(pages: list[int], seconds: list[float]) -> dict[str, float]:
    """A line through CPU seconds over pages, and the exponent between the last two."""
    slope, start = np.polyfit(pages, seconds, 1)
    spread = np.var(seconds)
    residual = float(np.var(np.array(seconds) - slope * np.array(pages) - start) / spread) if spread else 0.0
    last = np.log(max(seconds[-1], 0.01) / max(seconds[-2], 0.01)) / np.log(pages[-1] / pages[-2])
    return {"ms_a_page": 1000 * slope, "start_s": start, "r_squared": 1 - residual, "exponent": float(last)}


def main(arguments: list[str]) -> None:
    """Measure, and print a table and a line of JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "sample")
        source, snapshot = arguments[:2] if len(arguments) > 1 else (str(folder / "sample"), SAMPLE_SNAPSHOT)
        workers = int(arguments[2]) if len(arguments) > 2 else os.cpu_count() or 1
        sizes = write_snapshots(source, snapshot, folder / "grown")
        for _ in measure(str(folder / "sample"), SAMPLE_SNAPSHOT, folder / "lake", workers):
            pass
        found: dict[str, list[Measured]] = defaultdict(list)
        for number, grown in enumerate(sizes):
            print(f"{grown}: {sizes[grown][0]:,} pages, {sizes[grown][1] / 1e6:,.0f} MB", flush=True)
            for station, one in measure(str(folder / "grown"), grown, folder / f"lake{number}", workers):
                found[station].append(one)
                print(f"  {station:22}{one.cpu_s:8.2f} CPU s{one.wall_s:8.2f} s", flush=True)
    pages = [count for count, _ in sizes.values()]
    input_bytes = [size for _, size in sizes.values()]
    fits = {station: fitted(pages, [one.cpu_s for one in all_]) for station, all_ in found.items()}
    print(f"\n{'':22}{'CPU s':>21}{'ms/page':>9}{'R2':>7}{'exp.':>6}{'driver MB':>16}{'worker MB':>16}{'disk':>7}")
    for station, measured in found.items():
        fit = fits[station]
        times = "".join(f"{one.cpu_s:7.1f}" for one in measured)
        driver = "/".join(f"{one.driver_bytes / 2**20:.0f}" for one in measured)
        worker = "/".join(f"{one.worker_bytes / 2**20:.0f}" for one in measured)
        print(
            f"{station:22}{times:>21}{fit['ms_a_page']:9.2f}{fit['r_squared']:7.3f}{fit['exponent']:6.2f}"
            f"{driver:>16}{worker:>16}{measured[-1].lake_bytes / input_bytes[-1]:7.3f}"
        )
    whole = fitted(pages, [sum(all_[i].cpu_s for all_ in found.values()) for i in range(len(pages))])
    lake = sum(all_[-1].lake_bytes for all_ in found.values()) / input_bytes[-1]
    written = sum(all_[-1].written_bytes for all_ in found.values()) / input_bytes[-1]
    print(
        f"{'the line':22}{'':21}{whole['ms_a_page']:9.2f}{whole['r_squared']:7.3f}{whole['exponent']:6.2f}{lake:39.3f}"
    )
    print(f"bytes written for each byte of WARC: {written:.2f}, of which {lake:.2f} stay in the lake")
    if len(arguments) > 3:
        dearest = sorted(found, key=lambda station: -found[station][-1].cpu_s)[:7]
        series = {station: [one.cpu_s for one in found[station]] for station in dearest}
        figure = lines(pages, series, "pages of the snapshot", "CPU seconds of a station")
        plot = Path(arguments[3], "growth.png")
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_bytes(png(figure))
    print(
        json.dumps(
            {
                "name": "growth",
                "pages": pages,
                "input_bytes": input_bytes,
                "line": whole,
                "lake_bytes_per_byte": lake,
                "written_bytes_per_byte": written,
                "fits": fits,
                "stations": {station: [asdict(one) for one in all_] for station, all_ in found.items()},
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
