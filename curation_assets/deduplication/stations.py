"""The stations of deduplication: for each method keys a part, then groups and their survivors for the snapshot.

Every method compares the documents that nothing before it has dropped. Its last table has one row for each of them and
says which survive; the next method, the verdicts and the corpus read that table.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.deduplication.clusters import cluster
from curation_assets.deduplication.minhash import band_keys
from curation_assets.filtering.survivors import Place, read_texts, survivors
from curation_assets.lake.lake import Key, Stats
from curation_assets.lake.parts import ROW_BITS, PartWriter, read_table
from curation_assets.lake.station import Check, Inputs, PartStation, SnapshotJob, SnapshotStation, Station
from curation_assets.recipes.recipe import MinHash, Recipe

DOC = ("doc", pa.int64())
DUPLICATES = pa.schema(
    [DOC, ("survivor", pa.bool_()), ("cluster", pa.int64()), ("cluster_size", pa.int32())],
)
CLUSTER_COLUMNS = {
    "survivor": "false for the documents that are dropped",
    "cluster": "doc of the survivor of its cluster, which may be itself",
    "cluster_size": "documents in the cluster, the survivor included",
}


class KeyParameters(BaseModel):
    """A method and where in the order of decisions it stands."""

    model_config = ConfigDict(frozen=True)

    method: MinHash
    place: Place


def stations(recipe: Recipe, documents: Key, edits: Mapping[Key, str]) -> list[Station]:
    """The stations of all methods of a recipe, in order, each after what it needs."""
    made: list[Station] = []
    for method in recipe.deduplications:
        made += minhash(recipe, method, documents, edits, made[-1].key if made else None)
    return made


def minhash(
    recipe: Recipe, method: MinHash, documents: Key, edits: Mapping[Key, str], previous: Key | None
) -> list[Station]:
    """Near-duplicates by MinHash LSH: band keys of every surviving document, then clusters and their survivors."""
    place = place_of(recipe, method.name, edits)
    knee = (1 / method.bands) ** (1 / method.rows)
    signatures = PartStation(
        key=(recipe.name, "minhash_signatures"),
        group="deduplication",
        description=f"MinHash of word {method.ngram}-grams of the text so far, {method.bands} bands of "
        f"{method.rows} hashes, for the documents that are left; only one 64-bit key a band is kept.",
        version="2",
        params=KeyParameters(method=method, place=place),
        inputs=inputs_of(recipe, documents, edits, previous),
        schema=pa.schema([DOC, ("date", pa.timestamp("us", "UTC")), ("bands", pa.list_(pa.uint64(), method.bands))]),
        step=sign,
        columns={"bands": "one key a band; null for a text of fewer words than a shingle, never a duplicate"},
        conservation=(survivors_have_one_row(place, previous),),
    )
    duplicates = SnapshotStation(
        key=(recipe.name, method.name),
        group="deduplication",
        description=f"Connected components of documents that share a band (half of the pairs at Jaccard "
        f"{knee:.2f} do). The survivor is the earliest capture, then the smallest `doc`.",
        version="2",
        params=method,
        inputs={"keys": signatures.key},
        schema=DUPLICATES,
        step=cluster_snapshot,
        columns=CLUSTER_COLUMNS,
        origins=dict.fromkeys(CLUSTER_COLUMNS, (("keys", "bands"), ("keys", "date"))),
        conservation=(Check("clusters_have_one_survivor", "Every cluster has one survivor, which names it."),),
    )
    return [signatures, duplicates]


def place_of(recipe: Recipe, name: str, edits: Mapping[Key, str]) -> Place:
    """Where a station stands, and the text that it sees there."""
    return Place(position=recipe.positions[name], edits=tuple((key[-1], column) for key, column in edits.items()))


def inputs_of(recipe: Recipe, documents: Key, edits: Mapping[Key, str], previous: Key | None) -> dict[str, Key]:
    """What a station needs to find the surviving documents and their text."""
    return {
        "documents": documents,
        "filter_verdicts": (recipe.name, "filter_verdicts"),
        **({"previous": previous} if previous else {}),
        **{key[-1]: key for key in edits},
    }


def survivors_have_one_row(place: Place, previous: Key | None) -> Check:
    """The check that a station has looked at all documents that are left, and at no other."""
    name = "survivors_of_deduplication_have_one_row" if previous else "survivors_have_one_row"
    return Check(name, "The table has exactly one row for each document left.", {"position": place.position})


def sign(inputs: Inputs, writer: PartWriter, params: KeyParameters) -> None:
    """Sign the surviving documents of one part."""
    method = params.method
    for batch in read_texts(inputs, params.place.edits, survivors(inputs, params.place), ("date",)):
        bands = band_keys(batch["text"], method.ngram, method.bands, method.rows, method.seed)
        writer.write(pa.table({"doc": batch["doc"], "date": batch["date"], "bands": bands}))
        writer.count("rows_in", batch.num_rows)
        writer.count("rows_out", batch.num_rows)


def cluster_snapshot(job: SnapshotJob) -> Stats:
    """Cluster all documents; write each part's beside its other tables."""
    return write_clusters(job, cluster(job.inputs["keys"].paths(".parquet"), job.folder / "scratch"))


def write_clusters(job: SnapshotJob, members: pa.Table) -> Stats:
    """One row for each document of `keys`, by part, from the members of clusters (schema CLUSTERS, sorted by doc)."""
    clustered = members["doc"].to_numpy()
    parts = clustered >> ROW_BITS
    rows = dropped = 0
    for path in job.inputs["keys"].paths(".parquet"):
        docs = read_table(path, ["doc"])["doc"].to_numpy()
        first, last = np.searchsorted(parts, [int(path.stem.removeprefix("part-")) + add for add in (0, 1)])
        own = members.slice(first, last - first)
        at = np.searchsorted(docs, clustered[first:last])
        cluster, size = docs.copy(), np.ones(len(docs), np.int32)
        cluster[at], size[at] = own["cluster"].to_numpy(), own["cluster_size"].to_numpy()
        survivor = cluster == docs
        with PartWriter(job.folder / path.name, DUPLICATES, "") as writer:
            writer.write(pa.table([docs, survivor, cluster, size], schema=DUPLICATES))
        rows += len(docs)
        dropped += int((~survivor).sum())
    return {
        "rows_in": rows,
        "rows_out": rows - dropped,
        f"dropped.{job.params.verdict}": dropped,
        "clusters": int(members["survivor"].to_numpy().sum()),
    }
