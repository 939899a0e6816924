"""Stations that weigh the documents that are kept, for samplers: nothing is dropped or repeated by them."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from curation_assets.deduplication.soft import weigh
from curation_assets.lake.contracts import Column, Contract
from curation_assets.lake.lake import Stats
from curation_assets.lake.parts import PartWriter, read_table, split_by_part
from curation_assets.lake.station import Check, SnapshotJob, SnapshotStation
from curation_assets.recipes.recipe import KEPT, Recipe, Rehydration, SoftWeights
from curation_assets.selection.rehydration import removal_rates, repetitions, weights
from curation_assets.selection.showing import show_repetitions, show_weights

REPETITIONS = pa.schema([("doc", pa.int64()), ("cluster_size", pa.int32()), ("repetitions", pa.int64())])
SOFT = pa.schema([("doc", pa.int64()), ("commonness", pa.float64()), ("weight", pa.float64())])
OF_CORPUS = Column(references="corpus.doc")
KEPT_HAVE_ONE_ROW = Check(
    "corpus_documents_have_one_row", "The table has exactly one row for each document kept.", by_parts=("corpus",)
)


def weight_stations(recipe: Recipe) -> list[SnapshotStation]:
    """Those that the recipe asks for."""
    made = []
    if recipe.rehydration is not None:
        made.append(rehydration_weights(recipe, recipe.rehydration))
    if recipe.soft_weights is not None:
        made.append(soft_weights(recipe, recipe.soft_weights))
    return made


def rehydration_weights(recipe: Recipe, rehydration: Rehydration) -> SnapshotStation:
    """How often each kept document may be repeated in training."""
    return SnapshotStation(
        key=(recipe.name, "rehydration_weights"),
        group="selection",
        description=f"FineWeb2's rehydration: cluster sizes whose documents the later gates remove least are repeated "
        f"most, {rehydration.max_weight} times, those removed as often as all are not (Penedo et al. 2025).",
        version="1",
        params=rehydration,
        inputs={
            "corpus": (recipe.name, "corpus"),
            "verdicts": (recipe.name, "verdicts"),
            "minhash_duplicates": (recipe.name, "minhash_duplicates"),
        },
        schema=REPETITIONS,
        step=weigh_clusters,
        show=show_repetitions,
        columns={"repetitions": "how often the document may be repeated, from 1"},
        contract=Contract(
            {
                "doc": OF_CORPUS,
                "cluster_size": Column(least=1),
                "repetitions": Column(least=1, most=rehydration.max_weight),
            }
        ),
        conservation=(
            KEPT_HAVE_ONE_ROW,
            Check("repetitions_are_counted", "Nothing is dropped by its weight; repetitions are as counted."),
        ),
    )


def weigh_clusters(job: SnapshotJob) -> Stats:
    """Removal rates by cluster size over the snapshot, then weights of the documents kept, by part."""
    params: Rehydration = job.params
    sizes, removed = [], []
    paths = job.inputs["verdicts"].paths(".parquet")
    for path in paths:
        compared = read_table(job.inputs["minhash_duplicates"].folder / path.name, ["doc", "survivor", "cluster_size"])
        compared = compared.filter(pc.field("survivor"))
        verdicts = read_table(path, ["doc", "verdict"])
        rows = np.searchsorted(verdicts["doc"].to_numpy(), compared["doc"].to_numpy())
        verdict = verdicts["verdict"].take(pa.array(rows))
        sizes += compared["cluster_size"].chunks
        removed.append((pl.Series(pl.from_arrow(verdict)) != KEPT).to_arrow())
    size = pa.chunked_array(sizes, pa.int32()).combine_chunks()
    rates = removal_rates(size, pa.chunked_array(removed, pa.bool_()).combine_chunks(), params.least)
    table = weights(rates, params.max_weight, params.window)
    total = rows_out = 0
    for path in job.inputs["corpus"].paths(".parquet"):
        corpus = read_table(path, ["doc", "cluster_size"])
        times = repetitions(corpus["cluster_size"].combine_chunks(), table)
        with PartWriter(job.folder / path.name, REPETITIONS, "") as writer:
            writer.write(pa.table([corpus["doc"], corpus["cluster_size"], times], schema=REPETITIONS))
        total += int(times.to_numpy().sum())
        rows_out += corpus.num_rows
    return {"rows_in": rows_out, "rows_out": rows_out, "repeated_documents": total, "steps": table.num_rows}


def soft_weights(recipe: Recipe, soft: SoftWeights) -> SnapshotStation:
    """Sampling weights that fall with how common a document is in the corpus."""
    return SnapshotStation(
        key=(recipe.name, "soft_weights"),
        group="selection",
        description="SoftDeDup (He et al. 2024): a 4-gram model of the corpus itself tells how common each document "
        f"is; weights fall with it in {soft.classes} classes, at most {soft.cap:g} to 1, and keep the number of words.",
        version="1",
        params=soft,
        inputs={"corpus": (recipe.name, "corpus")},
        schema=SOFT,
        step=weigh_commonness,
        show=show_weights,
        columns={
            "commonness": "geometric mean of the probabilities of its words; null without words",
            "weight": "how often to sample it, on average 1 a word",
        },
        contract=Contract(
            {"doc": OF_CORPUS, "commonness": Column(null=True, least=0, most=1), "weight": Column(least=0)}
        ),
        conservation=(KEPT_HAVE_ONE_ROW,),
    )


def weigh_commonness(job: SnapshotJob) -> Stats:
    """Weigh the corpus; a table beside each part of it."""
    params: SoftWeights = job.params
    paths = job.inputs["corpus"].paths(".parquet")
    weighed = weigh(paths, params.cells, params.seed, params.classes, params.cap)
    for path, own in split_by_part(weighed, paths):
        with PartWriter(job.folder / path.name, SOFT, "") as writer:
            writer.write(own)
    return {"rows_in": weighed.num_rows, "rows_out": weighed.num_rows}
