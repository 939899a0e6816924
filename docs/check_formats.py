"""Read the outputs of a run with the tools that people use, and compare every token with the Megatron-LM shards.

    python docs/check_formats.py LAKE RECIPE SNAPSHOT [TOOL ...]

Each tool is optional: one that is not installed is skipped, unless it was named. What is expected is put together here
from `manifest.json`, `segments.parquet` and the `.bin` files, with NumPy and PyArrow alone, so that this runs in any
environment that holds those two and a tool. The exit status is 0 when every tool that ran agreed, 1 when one did not or
a named one is missing, and 2 when none ran.
"""

import importlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

os.environ.setdefault("HF_HUB_OFFLINE", "1")
JOIN = """
    SELECT count(*) AS pieces, count(DISTINCT segment.doc) AS documents, sum(segment.token_count) AS tokens,
        sum(length(corpus.url)) AS characters, min(shard.first) AS least
    FROM segments AS segment
    JOIN corpus ON corpus.doc = segment.doc
    JOIN (SELECT shard, sequence, {first} AS first FROM shards) AS shard
        ON shard.shard = segment.shard AND shard.sequence = segment.sequence
"""
"""Documents, pieces and packed sequences joined; `{first}` is a sequence's first token in the engine's dialect."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of one recipe for one snapshot."""

    lake: Path
    recipe: str
    snapshot: str

    def folder(self, table: str) -> Path:
        """Where a table lies."""
        return self.lake / self.recipe / table / self.snapshot

    def files(self, table: str, pattern: str) -> list[str]:
        """Its files, in order of name."""
        found = sorted(str(path) for path in self.folder(table).glob(pattern))
        if not found:
            raise FileNotFoundError(f"no {pattern} in {self.folder(table)}: was the recipe run with packing.formats?")
        return found

    @cached_property
    def segments(self) -> pa.Table:
        """Which piece of which document lies where."""
        return pq.read_table(self.folder("training_shards") / "segments.parquet")

    @cached_property
    def dtype(self) -> str:
        """Of the ids in the shards."""
        return json.loads((self.folder("training_shards") / "manifest.json").read_bytes())["packing"]["dtype"]

    @cached_property
    def sequences(self) -> list[dict[str, Any]]:
        """Every packed sequence, in order."""
        found: list[dict[str, Any]] = []
        for file in self.files("training_shards", "*.bin"):
            shard = int(Path(file).stem.removeprefix("shard-"))
            ids, at = np.fromfile(file, self.dtype).tolist(), 0
            for piece in self.segments.filter(pc.field("shard") == shard).to_pylist():
                if piece["position"] == 0:
                    new: dict[str, Any] = {"shard": shard, "sequence": piece["sequence"], "input_ids": []}
                    found.append(new | {"seq_lengths": [], "docs": [], "token_starts": []})
                last, count = found[-1], piece["token_count"]
                last["input_ids"] += ids[at : at + count]
                last["seq_lengths"].append(count)
                last["docs"].append(piece["doc"])
                last["token_starts"].append(piece["token_start"])
                at += count
            assert at == len(ids), "segments and .bin differ"
        return found

    @cached_property
    def joined(self) -> tuple[int, ...]:
        """The answer to `JOIN`."""
        urls = pq.read_table(self.files("corpus", "*.parquet"), columns=["doc", "url"]).to_pylist()
        lengths = {row["doc"]: len(row["url"]) for row in urls}
        docs, counts = self.segments["doc"].to_pylist(), self.segments["token_count"].to_pylist()
        least = min(sequence["input_ids"][0] for sequence in self.sequences)
        return len(docs), len(set(docs)), sum(counts), sum(lengths[doc] for doc in docs), least

    def compare(self, rows: list[dict[str, Any]]) -> str:
        """Fail unless rows are the sequences, in any order; say how much was compared."""
        rows = sorted(rows, key=lambda row: (row["shard"], row["sequence"]))
        assert len(rows) == len(self.sequences), f"{len(rows)} sequences, not {len(self.sequences)}"
        for row, expected in zip(rows, self.sequences, strict=True):
            for name, value in expected.items():
                assert name in row and list(np.ravel(row[name])) == list(np.ravel(value)), (expected["sequence"], name)
        return f"{len(rows):,} sequences, {sum(len(row['input_ids']) for row in rows):,} tokens equal"


def pyarrow(outputs: Outputs) -> str:
    """PyArrow datasets."""
    return outputs.compare(ds.dataset(outputs.files("parquet_shards", "*.parquet")).to_table().to_pylist())


def polars(outputs: Outputs) -> str:
    """Polars' lazy reader, and a join of corpus, segments and shards in its SQL."""
    import polars as pl

    frames = {
        "corpus": pl.scan_parquet(outputs.files("corpus", "*.parquet")),
        "segments": pl.scan_parquet(outputs.folder("training_shards") / "segments.parquet"),
        "shards": pl.scan_parquet(outputs.files("parquet_shards", "*.parquet")),
    }
    said = outputs.compare(frames["shards"].collect().to_dicts())
    first = frames["shards"].select("shard", "sequence", first=pl.col("input_ids").list.first())
    joined = frames["segments"].join(frames["corpus"], on="doc").join(first, on=["shard", "sequence"])
    answer = joined.select(
        pl.len(),
        pl.col("doc").n_unique().alias("documents"),
        pl.col("token_count").cast(pl.Int64).sum().alias("tokens"),
        pl.col("url").str.len_chars().sum().alias("characters"),
        pl.col("first").min(),
    ).collect()
    assert answer.row(0) == outputs.joined, answer
    return f"{said}; joined with corpus and segments"


def duckdb(outputs: Outputs) -> str:
    """DuckDB's Parquet reader, and the join."""
    import duckdb

    with duckdb.connect() as con:
        con.read_parquet(outputs.files("corpus", "*.parquet")).create_view("corpus")
        con.read_parquet(str(outputs.folder("training_shards") / "segments.parquet")).create_view("segments")
        con.read_parquet(outputs.files("parquet_shards", "*.parquet")).create_view("shards")
        said = outputs.compare(con.sql("FROM shards").to_arrow_table().to_pylist())
        (answer,) = con.sql(JOIN.format(first="input_ids[1]")).fetchall()
    assert answer == outputs.joined, answer
    return f"{said}; joined with corpus and segments"


def datasets(outputs: Outputs) -> str:
    """Hugging Face `datasets`, loaded and streamed."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    files = outputs.files("parquet_shards", "*.parquet")
    with tempfile.TemporaryDirectory() as cache:
        loaded = load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
        said = outputs.compare(list(loaded))  # type: ignore[arg-type]
    streamed = load_dataset("parquet", data_files=files, split="train", streaming=True)
    outputs.compare(list(streamed))  # type: ignore[arg-type]
    return f"{said}, loaded and streamed"


def trl(outputs: Outputs) -> str:
    """TRL's collator: position ids that restart with every document."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = ds.dataset(outputs.files("parquet_shards", "*.parquet")).to_table().to_pylist()
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    for row, expected in zip(rows, outputs.sequences, strict=True):
        batch = collate([{"input_ids": row["input_ids"], "seq_lengths": row["seq_lengths"]}])
        positions = np.concatenate([np.arange(count) for count in expected["seq_lengths"]])
        assert batch["input_ids"].numpy()[0].tolist() == expected["input_ids"]
        assert np.array_equal(batch["position_ids"].numpy()[0], positions)
    return f"{len(rows):,} sequences collated without padding, position ids restart at each document"


def megatron(outputs: Outputs) -> str:
    """Megatron-LM's own reader of its shards."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    tokens, at = 0, 0
    for file in outputs.files("training_shards", "*.bin"):
        indexed = IndexedDataset(file.removesuffix(".bin"), mmap=True)
        assert len(indexed) == len(indexed.document_indices) - 1
        for sequence in range(len(indexed)):
            ids = indexed[sequence]
            assert ids.dtype == outputs.dtype
            assert ids.tolist() == outputs.sequences[at]["input_ids"], (file, sequence)
            tokens, at = tokens + len(ids), at + 1
    assert at == len(outputs.sequences)
    return f"{at:,} sequences, {tokens:,} tokens equal"


def streaming(outputs: Outputs) -> str:
    """MosaicML's `StreamingDataset`; and its `MDSWriter` writes the very same bytes."""
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    folder = outputs.folder("mds_shards")
    outputs.files("mds_shards", "index.json")
    dataset = StreamingDataset(local=str(folder), batch_size=1, shuffle=False)
    samples = [dataset[index] for index in range(dataset.num_samples)]
    assert {str(sample["tokens"].dtype) for sample in samples} == {outputs.dtype}
    said = outputs.compare([{**sample, "input_ids": sample["tokens"]} for sample in samples])
    assert sum(1 for _ in dataset) == len(samples), "iterated"
    index = json.loads((folder / "index.json").read_bytes())
    for entry in index["shards"]:
        columns = dict(zip(entry["column_names"], entry["column_encodings"], strict=True))
        shard = int(entry["raw_data"]["basename"].split(".")[1])
        with tempfile.TemporaryDirectory() as again:
            with MDSWriter(out=again, columns=columns, size_limit=None) as writer:
                for sample in samples:
                    if sample["shard"] == shard:
                        writer.write(sample)
            written = Path(again, "shard.00000.mds").read_bytes()
            assert written == (folder / entry["raw_data"]["basename"]).read_bytes(), "MDSWriter's bytes differ"
            (of_writer,) = json.loads(Path(again, "index.json").read_bytes())["shards"]
            of_writer["raw_data"]["basename"] = entry["raw_data"]["basename"]
            assert of_writer == entry, "MDSWriter's index differs"
    return f"{said}; MDSWriter writes the same bytes"


def pyspark(outputs: Outputs) -> str:
    """Spark SQL over corpus, segments and shards."""
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    builder = SparkSession.builder.master("local[2]").appName("formats")  # type: ignore[attr-defined]
    session = builder.config(map=settings).getOrCreate()
    try:
        session.read.parquet(*outputs.files("corpus", "*.parquet")).createOrReplaceTempView("corpus")
        session.read.parquet(str(outputs.folder("training_shards") / "segments.parquet")).createOrReplaceTempView(
            "segments"
        )
        shards = session.read.parquet(*outputs.files("parquet_shards", "*.parquet"))
        shards.createOrReplaceTempView("shards")
        said = outputs.compare([row.asDict() for row in shards.collect()])
        (answer,) = session.sql(JOIN.format(first="input_ids[0]")).collect()
    finally:
        session.stop()
    assert tuple(answer) == outputs.joined, answer
    return f"{said}; joined with corpus and segments"


TOOLS: dict[str, tuple[str, Callable[[Outputs], str]]] = {
    "pyarrow": ("pyarrow", pyarrow),
    "polars": ("polars", polars),
    "duckdb": ("duckdb", duckdb),
    "datasets": ("datasets", datasets),
    "trl": ("trl", trl),
    "megatron.core": ("megatron-core", megatron),
    "streaming": ("mosaicml-streaming", streaming),
    "pyspark": ("pyspark", pyspark),
}
"""By the module that must be there: the distribution, and what reads the outputs with it."""


def main(lake: str, recipe: str, snapshot: str, *named: str) -> int:
    """Run the tools and print a line for each."""
    outputs, ran, failed = Outputs(Path(lake), recipe, snapshot), 0, 0
    for module, (distribution, check) in TOOLS.items():
        if named and module not in named and distribution not in named:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except ModuleNotFoundError:
            print(f"{distribution:18} not installed")
            failed += bool(named)
            continue
        ran += 1
        try:
            print(f"{distribution:18} {version(distribution):8} {check(outputs)}")
        except Exception as error:
            failed += 1
            print(f"{distribution:18} {version(distribution):8} FAILED: {type(error).__name__}: {str(error)[:300]}")
    print(f"{ran} of {len(named or TOOLS)} tools ran, {failed} failed")
    return 1 if failed else 0 if ran else 2


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
