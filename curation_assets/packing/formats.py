"""The stations that copy the training shards into other formats: Parquet, and MosaicML's MDS.

A copy has the shards and sequences of the Megatron-LM shards under the same numbers, so that whatever is known of a
position in one format (`trace`, `segments.parquet`) is known in all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.lake.contracts import Column, Contract
from curation_assets.lake.lake import TAKEDOWN_LIST, Partition, Stats, fingerprint, write_atomically
from curation_assets.lake.parts import PartWriter
from curation_assets.lake.station import Check, Inputs, PartJob, PartStation, SnapshotJob, SnapshotStation, Station
from curation_assets.packing.mds import INDEX_FILE, MdsShard, mds_index, write_mds
from curation_assets.packing.rows import SEQUENCES, sequence_rows, shard_ids, shard_segments
from curation_assets.packing.sequences import SEGMENTS, count_sequences
from curation_assets.packing.shards import MANIFEST_FILE, SEGMENTS_FILE, shard_name, shard_number
from curation_assets.recipes.recipe import Recipe

COLUMNS = {field.name: (field.metadata or {}).get(b"description", b"").decode() for field in SEQUENCES}
SHARDS = "training_shards"
ORIGINS = {
    "seq_lengths": ((SHARDS, "token_count"),),
    "docs": ((SHARDS, "doc"),),
    "token_starts": ((SHARDS, "token_start"),),
}


def format_stations(recipe: Recipe) -> list[Station]:
    """The copies that the recipe asks for."""
    made = {"parquet": parquet_shards, "mds": mds_shards}
    return [make(recipe) for name, make in made.items() if name in recipe.packing.formats]


@dataclass(frozen=True, kw_only=True)
class CopyStation(PartStation):
    """A station whose parts are the shards: one is made again only when its own ids or segments have changed."""

    def jobs(self, inputs: Mapping[str, Partition], shared: Mapping[str, Partition], staging: Path) -> list[PartJob]:
        """One job for each shard; one for an empty one when there is none, so that there is a table."""
        shards = inputs[SHARDS]
        dtype = stored_type(shards.folder)
        contents = {file.name: file.sha256 for file in shards.manifest().files}
        of_segments = segment_digests(shards.folder / SEGMENTS_FILE) or {0: ""}
        return [
            PartJob(
                step=self.step,
                schema=self.schema,
                target=staging / f"{shard_name(shard)}.{self.suffix}",
                inputs={SHARDS: shards.folder, "shard": shards.folder / shard_name(shard)},
                params=self.params,
                fingerprint=fingerprint(
                    [*self.identity(), dtype, contents.get(f"{shard_name(shard)}.bin"), digest],
                ),
            )
            for shard, digest in of_segments.items()
        ]


def parquet_shards(recipe: Recipe) -> CopyStation:
    """The training shards as Parquet, one file a shard."""
    return CopyStation(
        key=(recipe.name, "parquet_shards"),
        group="packing",
        description="The training shards once more as Parquet, one file a shard and one row a packed sequence, for "
        "Hugging Face `datasets`, Polars, DuckDB and Spark. Shards and sequences have the same numbers.",
        version="1",
        inputs={SHARDS: (recipe.name, SHARDS)},
        external=(TAKEDOWN_LIST,),
        schema=SEQUENCES,
        step=copy_to_parquet,
        columns=COLUMNS,
        origins=ORIGINS,
        contract=Contract(
            {"shard": Column(least=0), "sequence": Column(least=0)},
            key=("shard", "sequence"),
            conditions={
                "pieces cover the sequence": "list_sum(seq_lengths) = len(input_ids)",
                "each piece has a document and a start": "len(docs) = len(seq_lengths) "
                "AND len(token_starts) = len(seq_lengths)",
                "every piece has tokens and a place": "list_min(seq_lengths) >= 1 AND list_min(token_starts) >= 0",
                "token ids are of the vocabulary": "list_min(input_ids) >= 0",
            },
        ),
        conservation=(
            Check("parquet_holds_the_shards", "The files hold the shards' ids and sequences, cut as the segments say."),
        ),
    )


def copy_to_parquet(inputs: Inputs, writer: PartWriter, params: None) -> None:
    """Write one shard, each batch as a row group."""
    name = inputs["shard"].name
    if not inputs["shard"].with_suffix(".bin").exists():
        return
    segments = shard_segments(inputs[SHARDS], shard_number(name))
    for rows in sequence_rows(shard_ids(inputs[SHARDS], name, stored_type(inputs[SHARDS])), segments):
        writer.write(rows)
        writer.count("rows_in", rows.num_rows)
        writer.count("rows_out", rows.num_rows)
        writer.count("tokens", len(rows["input_ids"].values))


def mds_shards(recipe: Recipe) -> SnapshotStation:
    """The training shards in MosaicML's streaming format."""
    return SnapshotStation(
        key=(recipe.name, "mds_shards"),
        group="packing",
        description="The training shards once more in MosaicML's MDS format, for `StreamingDataset`: one file a shard "
        "and one sample a packed sequence, and `index.json`. Shards and sequences have the same numbers.",
        version="1",
        inputs={SHARDS: (recipe.name, SHARDS)},
        external=(TAKEDOWN_LIST,),
        step=copy_to_mds,
        conservation=(
            Check(
                "mds_holds_the_shards",
                "The files, read again, hold the shards' ids and sequences, cut as the segments say.",
            ),
        ),
    )


@dataclass(frozen=True)
class MdsJob:
    """The work for one shard; picklable."""

    shards: Path
    shard: int
    folder: Path


@dataclass(frozen=True)
class WrittenMds:
    """A shard's entry in the index, and what its file was found to hold when it was read again."""

    entry: dict[str, Any]
    found: Stats


def copy_to_mds(job: SnapshotJob) -> Stats:
    """Write all shards, several at a time, and the index."""
    shards = job.inputs[SHARDS].folder
    jobs = [MdsJob(shards, shard, job.folder) for shard in segment_digests(shards / SEGMENTS_FILE)]
    written = sorted(job.engine.map(write_one_mds, jobs), key=lambda one: one.entry["raw_data"]["basename"])
    write_atomically(job.folder / INDEX_FILE, mds_index([one.entry for one in written]))
    names = ("sequences", "tokens", "id_sum", "sequences_changed", "mds_bytes")
    totals = {name: sum(one.found[name] for one in written) for name in names}
    return {"rows_in": totals["sequences"], "rows_out": totals["sequences"], "shards": len(written), **totals}


def write_one_mds(job: MdsJob) -> WrittenMds:
    """Write one shard and read it again; the function that worker processes run."""
    dtype = stored_type(job.shards)
    segments = shard_segments(job.shards, job.shard)
    ids = shard_ids(job.shards, shard_name(job.shard), dtype)
    path = job.folder / f"shard.{job.shard:05d}.mds"
    entry = write_mds(path, sequence_rows(ids, segments), count_sequences(segments), dtype)
    return WrittenMds(entry, found_in_mds(path, ids, segments))


def found_in_mds(path: Path, ids: np.ndarray, segments: pa.Table) -> Stats:
    """What an MDS shard holds, and how many of its sequences are not those of the shard that it copies."""
    written = MdsShard(path)
    found = {"sequences": len(written), "tokens": 0, "id_sum": 0, "sequences_changed": 0}
    start = 0
    for rows in sequence_rows(ids, segments):
        again = written.rows(start, start + rows.num_rows)
        start += rows.num_rows
        values = again["input_ids"].values.to_numpy()
        found["tokens"] += len(values)
        found["id_sum"] += int(values.sum(dtype=np.int64))
        if not again.equals(rows):
            found["sequences_changed"] += sum(one != other for one, other in zip(again, rows, strict=False)) or 1
    return {**found, "mds_bytes": path.stat().st_size}


def stored_type(folder: Path) -> str:
    """Type of the ids in a folder's shards, as its manifest tells it."""
    return json.loads((folder / MANIFEST_FILE).read_bytes())["packing"]["dtype"]


def segment_digests(file: Path) -> dict[int, str]:
    """A hash of each shard's rows of a `segments.parquet`, however they lie in row groups; in order of the shards."""
    hashes: dict[int, list[Any]] = {}
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(1 << 20, columns=SEGMENTS.names, use_threads=False):
            shards = batch["shard"].to_numpy()
            edges = np.flatnonzero(np.diff(shards, prepend=-1, append=-1))
            for start, stop in pairwise(edges.tolist()):
                of_shard = hashes.setdefault(int(shards[start]), [sha256() for _ in SEGMENTS.names])
                for name, digest in zip(SEGMENTS.names, of_shard, strict=True):
                    digest.update(batch[name].to_numpy()[start:stop].tobytes())
    return {shard: fingerprint([digest.hexdigest() for digest in found]) for shard, found in sorted(hashes.items())}
