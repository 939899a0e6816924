"""The stations of deduplication: signatures a part, clusters a snapshot."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation_assets.deduplication.clusters import CLUSTERS, cluster
from curation_assets.deduplication.minhash import band_keys
from curation_assets.filtering.cleaning import read_cleaned
from curation_assets.lake.lake import Key, Stats
from curation_assets.lake.parts import ROW_BITS, PartWriter, read_table
from curation_assets.lake.station import Check, Inputs, PartStation, SnapshotJob, SnapshotStation
from curation_assets.recipes.recipe import MinHash, Recipe


def signatures(recipe: Recipe, documents: Key) -> PartStation:
    """MinHash band keys of the documents that passed the gates."""
    minhash = recipe.minhash
    return PartStation(
        key=(recipe.name, "signatures"),
        group="deduplication",
        description=f"MinHash of word {minhash.ngram}-grams of the cleaned text, {minhash.bands} bands of "
        f"{minhash.rows} hashes, for the documents that passed the gates; only one 64-bit key a band is kept.",
        version="1",
        params=minhash,
        inputs={
            "documents": documents,
            "signals": (documents[0], "signals"),
            "filter_verdicts": (recipe.name, "filter_verdicts"),
        },
        schema=pa.schema(
            [
                ("doc", pa.int64()),
                ("date", pa.timestamp("us", "UTC")),
                ("bands", pa.list_(pa.uint64(), minhash.bands)),
            ]
        ),
        step=sign,
        columns={"bands": "one key a band; null for a text of fewer words than a shingle, never a duplicate"},
        conservation=(Check("survivors_have_one_row", "The table has exactly one row for each document that passed."),),
    )


def sign(inputs: Inputs, writer: PartWriter, params: MinHash) -> None:
    """Sign the surviving documents of one part."""
    verdicts = read_table(inputs["filter_verdicts"], ["doc", "verdict"])
    passed = verdicts.filter(pc.field("verdict").is_null())["doc"].to_numpy()
    for batch in read_cleaned(inputs["documents"], inputs["signals"], passed, ("date",)):
        bands = band_keys(batch["text"], params.ngram, params.bands, params.rows, params.seed)
        writer.write(pa.table({"doc": batch["doc"], "date": batch["date"], "bands": bands}))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def duplicate_clusters(recipe: Recipe) -> SnapshotStation:
    """Clusters of near-duplicates in the snapshot, with a survivor each."""
    minhash = recipe.minhash
    knee = (1 / minhash.bands) ** (1 / minhash.rows)
    return SnapshotStation(
        key=(recipe.name, "duplicate_clusters"),
        group="deduplication",
        description=f"Connected components of documents that share a band (half of the pairs at Jaccard "
        f"{knee:.2f} do). The survivor is the earliest capture, then the smallest `doc`.",
        version="1",
        params=minhash,
        inputs={"signatures": (recipe.name, "signatures")},
        schema=CLUSTERS,
        step=cluster_snapshot,
        columns={
            "cluster": "the survivor's doc",
            "cluster_size": "documents in the cluster, the survivor included",
            "survivor": "true for the one that is kept",
        },
        conservation=(Check("clusters_have_one_survivor", "Every cluster has two members or more and one survivor."),),
    )


def cluster_snapshot(job: SnapshotJob) -> Stats:
    """Cluster all documents; write each part's members beside its other tables."""
    paths = job.inputs["signatures"].paths(".parquet")
    members = cluster(paths, job.folder / "scratch")
    parts = members["doc"].to_numpy() >> ROW_BITS
    for path in paths:
        part = int(path.stem.removeprefix("part-"))
        first, last = np.searchsorted(parts, [part, part + 1])
        with PartWriter(job.folder / path.name, CLUSTERS, "") as writer:
            writer.write(members.slice(first, last - first))
    survivors = int(members["survivor"].to_numpy().sum())
    rows = job.inputs["signatures"].manifest().rows
    dropped = members.num_rows - survivors
    return {
        "rows_in": rows,
        "rows_out": rows - dropped,
        "dropped.minhash_duplicate": dropped,
        "clusters": survivors,
    }
