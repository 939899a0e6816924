"""What judging a contract costs: a table of a million rows by a metrics frame and a sample, and whole by the library.

Both judge the contract of `signals`, in one run. The peer is Great Expectations given the whole frame, with
an expectation for each of the same rules that it has one for. Seconds are of CPU, on all cores.

Usage: python benchmarks/contracts.py [rows]
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.filtering.stations import DOC, SHARES, SIGNALS, SIGNALS_CONTRACT
from curation_assets.lake.checks import contract_check, frames
from curation_assets.lake.expectations import Frames, broken
from curation_assets.lake.metrics import Table
from curation_assets.lake.parts import ROW_BITS, part_name

SCHEMA = pa.schema([DOC, *SIGNALS])
PARTS = 20


def make(folder: Path, rows: int) -> Table:
    """A table of signals, and the documents that it refers to, in parts."""
    random = np.random.default_rng(0)
    paths = []
    for part in range(PARTS):
        count = rows // PARTS
        docs = (part << ROW_BITS) + np.arange(count, dtype=np.int64)
        columns = {"doc": pa.array(docs)}
        for field in SIGNALS:
            if field.name == "line_edits":
                columns[field.name] = pa.array([[]] * count, field.type)
            elif field.name in (*SHARES, "words_removed_share"):
                columns[field.name] = pa.array(random.random(count))
            else:
                columns[field.name] = pa.array(random.integers(0, 200, count)).cast(field.type)
        table = pa.table(columns, schema=SCHEMA)
        paths.append(folder / part_name(part))
        pq.write_table(table, paths[-1], row_group_size=1024, compression="zstd")
    return Table(paths, {path.name: rows // PARTS for path in paths}, {"documents": paths}, {})


def main(rows: int) -> None:
    """Measure both, and print a line of JSON."""
    started = time.process_time()
    import great_expectations

    imported = time.process_time() - started
    check = contract_check(SIGNALS_CONTRACT, SCHEMA)
    with TemporaryDirectory() as folder:
        table = make(Path(folder), rows)
        started = time.process_time()
        judged, _ = frames(check, table)
        counted = time.process_time() - started
        assert broken(check.rules, judged) == ({}, {})
        ours = time.process_time() - started
        started = time.process_time()
        names = [name for name in SCHEMA.names if name != "line_edits"]
        whole = pq.read_table(folder, columns=names)
        assert broken(check.rules, Frames(judged.metrics, whole)) == ({}, {})
        theirs = time.process_time() - started
    print(f"{rows:,} rows, {len(check.rules)} rules; Great Expectations {great_expectations.__version__}")
    print(f"  import                          {imported:6.2f} s, once a process")
    print(f"  metrics frame and sample        {counted:6.2f} s")
    print(f"  the same, judged                {ours:6.2f} s")
    print(f"  the whole frame, judged         {theirs:6.2f} s")
    print(f"  ratio                           {theirs / ours:6.1f}")
    result = {"rows": rows, "import_s": imported, "frames_s": counted, "ours_s": ours, "whole_s": theirs}
    result |= {"ratio": theirs / ours}
    print(json.dumps({"benchmark": "contracts"} | {name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
