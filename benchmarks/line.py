"""CPU time of the whole line over that of bare extraction (bytes to text), on the same pages in one run.

    python benchmarks/line.py [SOURCE SNAPSHOT [WORKERS]]

SOURCE is a local folder in Common Crawl's layout; the embedded sample snapshot by default (too small for a fair
figure: start-up and compilation weigh more than pages). The line runs in processes of its own, all of which are
waited for, so that their CPU time and peak memory are the system's own figures.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from curation_assets.acquisition.archive import open_archive
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample

PR_SET_CHILD_SUBREAPER = 36
RUN = """
import sys
from curation_assets.line import Line
from curation_assets.settings import Settings
if __name__ == "__main__":
    settings = Settings(source=sys.argv[1], lake=sys.argv[3], workers=int(sys.argv[4]),
                        recipe_set={"extraction.extractor": "resiliparse"})
    for staged in Line(settings).run(sys.argv[2]):
        print(f"{staged.station.name:<20}{staged.seconds:>8.2f} s", flush=True)
"""


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
                    html = bytes_to_str(body, detect_encoding(body))
                    decoded = time.process_time()
                    extract_plain_text(html, preserve_formatting=True, main_content=True, alt_texts=False, links=False)
                    extracting += time.process_time() - decoded
                    decoding += decoded - started
                    pages += 1
            except OSError:
                continue
    return decoding + extracting, extracting, pages


def whole_line(source: str, snapshot: str, workers: int) -> tuple[float, float, int]:
    """CPU seconds, wall seconds and the largest process's peak memory (bytes) of the line with an empty lake."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "run.py")
        script.write_text(RUN)
        command = [sys.executable, str(script), source, snapshot, str(Path(folder, "lake")), str(workers)]
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
    with tempfile.TemporaryDirectory() as folder:
        source, snapshot = (
            (arguments + [folder, SAMPLE_SNAPSHOT])[:2] if len(arguments) >= 2 else (folder, SAMPLE_SNAPSHOT)
        )
        if source == folder:
            write_sample(Path(folder))
        workers = int(arguments[2]) if len(arguments) > 2 else os.cpu_count() or 1
        cpu, wall, peak = whole_line(source, snapshot, workers)
        alone, decoded, pages = extraction_alone(source, snapshot)
    print(f"\nthe line:         {cpu:8.2f} CPU s, {wall:.2f} s on {workers} workers, {pages / cpu:.0f} pages per CPU s")
    print(f"extraction alone: {alone:8.2f} CPU s, {pages:,} pages, {pages / alone:.0f} pages per CPU s")
    print(f"  of decoded text: {decoded:7.2f} CPU s")
    print(f"ratio {cpu / alone:.2f} ({cpu / decoded:.2f} of decoded text); largest process {peak / 2**20:.0f} MiB")
    print(json.dumps({"name": "line", "ours": cpu, "peer": alone, "ratio": cpu / alone, "peak_bytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1:])
