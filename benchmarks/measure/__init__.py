"""What the benchmarks share: their texts, the clock, and the last line."""

import json
import sys
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq


def given_texts() -> pa.LargeStringArray | None:
    """The `text` column of the Parquet file that the command line names, without nulls; None if it names none."""
    if len(sys.argv) < 2:
        return None
    return pq.read_table(sys.argv[1], columns=["text"])["text"].cast(pa.large_string()).combine_chunks().drop_null()


def fastest(work: Callable[[], object], repeats: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(repeats):
        began = clock()
        work()
        seconds.append(clock() - began)
    return min(seconds)


def report(name: str, ours: float, peer: float, **more: float) -> None:
    """Print the last line: JSON with both rates, of one unit, and the ratio."""
    print(json.dumps({"name": name, "ours": ours, "peer": peer, "ratio": ours / peer, **more}))
