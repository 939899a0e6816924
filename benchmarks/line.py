"""CPU time of the whole line over that of bare extraction (bytes to text), on the same pages in one run.

    python benchmarks/line.py [SOURCE SNAPSHOT [WORKERS [COPIES]]]

SOURCE is a local folder in Common Crawl's layout. With COPIES, the snapshot is made into one WARC file that holds so
many copies of each page (changed as in growth.py): Common Crawl's have about 30,000 pages, the local ones 1,000.

The line runs in processes of its own, all of which are waited for, so that their CPU time and peak memory are the
system's own figures. It is run with an empty lake: training a tokenizer; with that tokenizer given, as for every
further snapshot; up to the documents only; and both on the embedded sample, which is nothing but start-up. Without
arguments only the last is done: there is no snapshot to be fair with.
"""

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType
from growth import write_copy
from measure.mirrors import write_list
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from curation_assets.acquisition.archive import open_archive
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample

PR_SET_CHILD_SUBREAPER = 36
RUN = """
import sys
if __name__ == "__main__":  # workers import the script, as they do the one that starts `curation`, which is as small
    from curation_assets.line import Line
    from curation_assets.settings import Settings
    settings = Settings(source=sys.argv[1], lake=sys.argv[3], workers=int(sys.argv[4]),
                        recipe_set={"extraction.extractor": "resiliparse"}, tokenizer=sys.argv[5] or None)
    for staged in Line(settings).run(sys.argv[2]):
        if staged.station.name == sys.argv[6]:
            break
        print(f"{staged.station.name:<20}{staged.seconds:>8.2f} s", flush=True)
"""


def in_one_file(source: str, snapshot: str, copies: int, target: Path) -> None:
    """A mirror with one WARC file of so many copies of the snapshot's pages."""
    folder = target / "crawl-data" / snapshot
    folder.mkdir(parents=True)
    jobs = [(path, copy) for copy in range(copies) for path in open_archive(source).warc_files(snapshot)]
    with ProcessPoolExecutor() as pool, (folder / "all.warc.gz").open("wb") as whole:
        for path, _, _ in pool.map(partial(write_copy, source, target), jobs):
            with (target / path).open("rb") as part:
                shutil.copyfileobj(part, whole)
            (target / path).unlink()
    write_list(target, snapshot, [f"crawl-data/{snapshot}/all.warc.gz"])


def extraction_alone(source: str, snapshot: str) -> tuple[float, float, int]:
    """CPU seconds of bare resiliparse on the snapshot's pages: bytes to text, and text alone; and the pages."""
    archive = open_archive(source)
    decoding, extracting, pages = 0.0, 0.0, 0
    for path in archive.warc_files(snapshot):
        with archive.open(path) as stream:
            try:
                for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                    body = record.reader.read()
                    started = time.process_time()
                    html = bytes_to_str(body, detect_encoding(body) or "utf-8")
                    decoded = time.process_time()
                    extract_plain_text(html, preserve_formatting=True, main_content=True, alt_texts=False, links=False)
                    extracting += time.process_time() - decoded
                    decoding += decoded - started
                    pages += 1
            except OSError:
                continue
    return decoding + extracting, extracting, pages


def whole_line(
    source: str, snapshot: str, lake: Path, workers: int, tokenizer: Path | None, last: str = ""
) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and the largest process's peak memory (bytes) of the line with an empty lake.

    It ends after the station called `last`, if one is named.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    script = lake.with_suffix(".py")
    script.write_text(RUN)
    command = [sys.executable, str(script), source, snapshot, str(lake), str(workers), str(tokenizer or ""), last]
    subprocess.run(command, check=True)
    wall = time.perf_counter() - started
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, after.ru_maxrss * 1024


def main(arguments: list[str]) -> None:
    """Measure and print."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sample(folder / "sample")
        workers = int(arguments[2]) if len(arguments) > 2 else os.cpu_count() or 1
        start, _, _ = whole_line(str(folder / "sample"), SAMPLE_SNAPSHOT, folder / "start", workers, None)
        print(f"start-up and a tiny snapshot: {start:.2f} CPU s")
        if len(arguments) < 2:
            print(json.dumps({"name": "line", "start_seconds": start}))
            return
        source, snapshot = arguments[:2]
        if len(arguments) > 3:
            in_one_file(source, snapshot, int(arguments[3]), folder / "mirror")
            source = str(folder / "mirror")
        training, wall, peak = whole_line(source, snapshot, folder / "first", workers, None)
        tokenizer = folder / "first" / "fineweb" / "tokenizer" / snapshot / "tokenizer.json"
        cpu, _, _ = whole_line(source, snapshot, folder / "second", workers, tokenizer)
        station, _, _ = whole_line(source, snapshot, folder / "third", workers, None, "documents")
        sample = str(folder / "sample")
        station_start, _, _ = whole_line(sample, SAMPLE_SNAPSHOT, folder / "fourth", workers, None, "documents")
        alone, decoded, pages = extraction_alone(source, snapshot)
    print(f"\nextraction alone:   {alone:7.2f} CPU s for {pages:,} pages ({decoded:.2f} of it after decoding)")
    for title, seconds in (
        ("the extraction station, WARC to text", station),
        ("the line, training a tokenizer", training),
        ("with a tokenizer given", cpu),
        ("with one given, start-up taken off", cpu - start),
        ("the extraction station without its start-up", station - station_start),
    ):
        print(f"{title:<44}{seconds:7.2f} CPU s, {seconds / alone:.2f} times extraction alone")
    print(f"{wall:.1f} s on {workers} workers; largest process {peak / 2**20:.0f} MiB")
    print(
        f"the line is {training / station:.2f} times its extraction station, {cpu / station:.2f} with one given, "
        f"{(cpu - start) / (station - station_start):.2f} for each further page"
    )
    figures = {
        "with_training": training / alone,
        "of_station": training / station,
        "start_seconds": start,
        "marginal": (cpu - start) / alone,
        "marginal_of_station": (cpu - start) / (station - station_start),
    }
    print(json.dumps({"name": "line", "ours": cpu, "peer": alone, "ratio": cpu / alone, **figures, "peak_bytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1:])
