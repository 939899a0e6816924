"""Other limits over one million documents against Polars expressions over the same columns.

The lake is the sample's, each of its documents many times over, in 40 parts. Both are given another limit for
one gate. Ours also finds who is gained and lost, and what deduplication says of them; the peer evaluates every gate
of the recipe and counts the first that each document fails, which is the least that a script would do.
Wall seconds of two threads, CPU seconds and peak memory; without imports and without making the lake.
"""

import operator
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from measure import report
from measure.lakes import PARTS, ROWS, multiply, sample_lake

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.lake import Lake
from curation_assets.lake.parts import part_name
from curation_assets.line import Line
from curation_assets.provenance.whatif import what_if

TABLES = ("documents", "url_matches", "languages", "signals", "filter_verdicts", "minhash_duplicates", "verdicts")
LIMITS = {"gopher_short_doc": 300}
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def ours(line: Line) -> dict[str, int]:
    """Documents that each gate drops first."""
    found = what_if(line, SAMPLE_SNAPSHOT)
    gates = {gate.name for _, _, gate in line.recipe.gates}
    return {step.name: step.dropped for step in found.steps if step.name in gates and step.dropped}


def peer(line: Line) -> dict[str, int]:
    """The same, of Polars expressions, part by part."""
    honoured, language = list(line.recipe.consent), line.recipe.language
    values = {
        "opted_out": pl.col("consent").list.set_intersection(honoured).list.len().fill_null(0),
        "language_kept": pl.col("language").is_in(language.languages).fill_null(False).cast(pl.Int8),
        "language_score": pl.col("language_score").fill_null(0),
    }
    first = pl.lit(None, pl.String)
    for _, _, gate in reversed(list(line.recipe.gates)):
        fails = COMPARE[gate.operator](values.get(gate.signal, pl.col(gate.signal)), gate.limit)
        first = pl.when(fails).then(pl.lit(gate.name)).otherwise(first)
    counted: dict[str, int] = {}
    folders = {name: line.lake.partition(line.key(name), SAMPLE_SNAPSHOT).folder for name in TABLES[:4]}
    for part in range(PARTS):
        documents, *annotations = (pl.scan_parquet(folder / part_name(part)) for folder in folders.values())
        joined = documents.filter(pl.col("verdict").is_null()).select("doc", "consent")
        for table in annotations:
            joined = joined.join(table, on="doc")
        rows = joined.select(first.alias("gate")).drop_nulls().group_by("gate").len().collect().iter_rows()
        for gate, count in rows:
            counted[gate] = counted.get(gate, 0) + count
    return counted


def timed(work: Callable[[Line], dict[str, int]], line: Line) -> tuple[dict[str, int], float, float]:
    """What a function returns, and its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work(line)
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Make the lake, run both, and compare what they say."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        small = sample_lake(root, "verdicts")
        multiply(small, Lake(root / "lake"), TABLES)
        changed = {"lake": root / "lake", "recipe_set": small.settings.recipe_set | LIMITS}
        line = Line(small.settings.model_copy(update=changed))
        (found, wall, cpu), documents = timed(ours, line), PARTS * ROWS
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"what_if: {documents / wall:,.0f} documents/s, {wall:.2f} s, {cpu:.2f} CPU s; process {memory} MiB")
        expected, peer_wall, peer_cpu = timed(peer, line)
        print(f"Polars: {documents / peer_wall:,.0f} documents/s, {peer_wall:.2f} s, {peer_cpu:.2f} CPU s")
        if found != expected:
            raise SystemExit(f"not the same: {found} and {expected}")
        report("whatif", documents / wall, documents / peer_wall, seconds=wall, cpu_seconds=cpu)


if __name__ == "__main__":
    main()
