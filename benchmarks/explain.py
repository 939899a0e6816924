"""`curation explain` over one million documents against Polars that reads the tables whole.

The lake is the sample's, each of its documents many times over, in 40 parts; URLs, hosts and record ids are new. Both
look for a URL, a record id and a host, each in a new process: imports count, as they do for who asks. The peer scans
verdicts and documents without their texts, filters, and prints the rows: no story, no edits, no shards.
Wall seconds, the median of three; CPU seconds.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from measure import report
from measure.lakes import ROWS, Columns, multiply, sample_lake

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import Lake

HOSTS = 20_000
TABLES = ("documents", "url_matches", "languages", "signals", "filter_verdicts", "minhash_duplicates", "verdicts")
TABLES += ("minhash_signatures", "pii_spans", "corpus")

PEER = """
import sys
import polars as pl
lake, name = sys.argv[1:]
verdicts = pl.scan_parquet(f"{lake}/verdicts/*/part-*.parquet")
documents = pl.scan_parquet(f"{lake}/documents/*/part-*.parquet").drop("text", "url", "record_id", "verdict")
found = verdicts.filter((pl.col("url") == name) | (pl.col("record_id") == name)).collect()
if found.is_empty():
    found = documents.filter((pl.col("host") == name) | pl.col("host").str.ends_with("." + name))
    print(found.join(verdicts, on="doc").group_by("verdict").len().collect())
else:
    print(found, documents.filter(pl.col("doc").is_in(found["doc"].implode())).collect())
"""


def new_names(chance: np.random.Generator) -> Columns:
    """URL, host and record id of one part's rows."""
    hosts = [f"www.site{number}.example" for number in (chance.zipf(1.3, ROWS) % HOSTS)]
    ids = [chance.bytes(16).hex() for _ in range(ROWS)]
    return {
        "host": pa.array(hosts),
        "url": pa.array(
            [f"https://{host}/{id[:4]}/{id[4:16]}/an-article.html" for host, id in zip(hosts, ids, strict=True)]
        ),
        "record_id": pa.array([f"<urn:uuid:{i[:8]}-{i[8:12]}-{i[12:16]}-{i[16:20]}-{i[20:]}>" for i in ids]),
    }


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds of a command, the median of three, and CPU seconds of one."""
    walls, before = [], resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"})
        walls.append(time.perf_counter() - started)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return statistics.median(walls), (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 3


def main() -> None:
    """Make the lake and ask both."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        small = sample_lake(root, "corpus")
        last = multiply(small, Lake(root / "lake"), TABLES, new_names)[-1]
        names = [last[column][ROWS - 1].as_py() for column in ("url", "record_id", "host")]
        ours = [sys.executable, "-m", "curation_assets", "explain", "--lake", str(root / "lake")]
        folders = root / "peer"
        folders.mkdir()
        for name in ("verdicts", "documents"):
            (folders / name).symlink_to(Lake(root / "lake").partition(small.key(name), SAMPLE_SNAPSHOT).folder.parent)
        for kind, name in zip(("url", "record id", "host"), names, strict=True):
            (wall, cpu), (peer, peer_cpu) = (
                timed([*ours, name]),
                timed([sys.executable, "-c", PEER, str(folders), name]),
            )
            print(f"{kind}: explain {wall:.2f} s ({cpu:.2f} CPU s), Polars {peer:.2f} s ({peer_cpu:.2f} CPU s)")
            report(f"explain_{kind.replace(' ', '_')}", 1 / wall, 1 / peer, seconds=wall, cpu_seconds=cpu)


if __name__ == "__main__":
    main()
