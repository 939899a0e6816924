"""Lakes for benchmarks: the sample's line, and its tables many times over."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.lake.lake import MANIFEST, Lake
from curation_assets.lake.parts import ROW_BITS, describe, part_name
from curation_assets.line import Line
from curation_assets.settings import Settings

PARTS, ROWS = 40, 25_000
"""Parts of a multiplied lake, and documents of each."""

Columns = dict[str, pa.Array]
"""Columns of one part, with a value for each of its rows."""


def sample_lake(root: Path, last: str) -> Line:
    """The line of the sample snapshot with resiliparse, run up to the station called `last`, below a folder."""
    write_sample(root / "sample")
    settings = Settings(
        source=str(root / "sample"),
        lake=root / "small",
        workers=2,
        recipe_set={"extraction.extractor": "resiliparse"},
    )
    line = Line(settings)
    for staged in line.run(SAMPLE_SNAPSHOT):
        if staged.station.name == last:
            break
    return line


def make_tokenizer(root: Path) -> Path:
    """A tokenizer trained on the sample."""
    line = sample_lake(root, "tokenizer")
    return line.lake.partition(line.key("tokenizer"), SAMPLE_SNAPSHOT).folder / "tokenizer.json"


def multiply(
    line: Line,
    lake: Lake,
    tables: Collection[str],
    new_columns: Callable[[np.random.Generator], Columns] = lambda chance: {},
) -> list[Columns]:
    """Write tables of a line again, `documents` first, with its documents repeated until there are enough of them.

    `new_columns` makes values for the rows of one part, which replace the columns of these names in every table.
    Returns them, by part.
    """
    chance = np.random.default_rng(1)
    made_columns = [new_columns(chance) for _ in range(PARTS)]
    known = np.array([], np.int64)
    for name in tables:
        made = line.lake.partition(line.key(name), SAMPLE_SNAPSHOT)
        table = pa.concat_tables([pq.read_table(path) for path in made.paths(".parquet")])
        docs = table["doc"].to_numpy()
        known = docs if name == "documents" else known
        folder = lake.partition(made.key, SAMPLE_SNAPSHOT).folder
        folder.mkdir(parents=True)
        times = -(-ROWS // len(known))
        rows = (np.searchsorted(known, docs)[None, :] + len(known) * np.arange(times)[:, None]).ravel()
        repeated = table.take(pa.array(np.tile(np.arange(len(docs)), times)[rows < ROWS]))
        rows = rows[rows < ROWS]
        files = []
        for part, columns in enumerate(made_columns):
            written = repeated.set_column(0, "doc", pa.array(rows + (part << ROW_BITS)))
            for column, values in columns.items():
                if column in table.column_names:
                    at = written.column_names.index(column)
                    written = written.set_column(at, column, values.take(pa.array(rows)))
            pq.write_table(written, folder / part_name(part), compression="zstd", row_group_size=1024)
            files.append(describe(folder / part_name(part)))
        (folder / MANIFEST).write_text(made.manifest().model_copy(update={"files": files}).model_dump_json())
    return made_columns
