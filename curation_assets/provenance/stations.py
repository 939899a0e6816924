"""The station of provenance: one verdict a document."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.lake.lake import Key
from curation_assets.lake.parts import PartWriter
from curation_assets.lake.query import query
from curation_assets.lake.station import Check, Inputs, PartStation
from curation_assets.recipes.recipe import Recipe

KEPT = "kept"
VERDICTS = pa.schema(
    [
        ("doc", pa.int64()),
        ("record_id", pa.string()),
        ("url", pa.string()),
        ("verdict", pa.string()),
        ("station", pa.string()),
        ("position", pa.int32()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("detail", pa.string()),
        ("failed_gates", pa.list_(pa.string())),
        ("duplicate_of", pa.int64()),
        ("cluster_size", pa.int32()),
    ]
)


class VerdictParameters(BaseModel):
    """Where deduplication stands in the order of decisions."""

    model_config = ConfigDict(frozen=True)

    minhash_position: int


def verdicts(recipe: Recipe, documents: Key) -> PartStation:
    """What became of every response record, and why."""
    return PartStation(
        key=(recipe.name, "verdicts"),
        group="provenance",
        description=f"One row per response record: `{KEPT}`, or the gate that decided, with its value and limit.",
        version="1",
        params=VerdictParameters(minhash_position=len(recipe.gates) + 1),
        inputs={
            "documents": documents,
            "filter_verdicts": (recipe.name, "filter_verdicts"),
            "duplicate_clusters": (recipe.name, "duplicate_clusters"),
        },
        schema=VERDICTS,
        step=give_verdicts,
        columns={
            "verdict": f"`{KEPT}` or the gate that decided",
            "station": "the group of gates that it belongs to",
            "position": "place of the gate in the recipe; -1 for acquisition",
            "value": "what was measured",
            "limit": "what it was compared with",
            "detail": "what matched, in words",
            "failed_gates": "all gates that the document fails, in order",
            "duplicate_of": "doc of the survivor of its cluster",
            "cluster_size": "near-duplicates of the document in the snapshot, itself included",
        },
        conservation=(Check("verdicts_are_conserved", "Documents = kept + dropped; every dropped one says why."),),
    )


def give_verdicts(inputs: Inputs, writer: PartWriter, params: VerdictParameters) -> None:
    """Join the decisions of one part; verdicts.sql."""
    decided = query(
        "provenance/verdicts",
        {name: [str(path)] for name, path in inputs.items()},
        {"minhash_position": params.minhash_position},
        threads=1,
    )
    writer.write(decided)
    writer.count("rows_in", decided.num_rows)
    for count in decided["verdict"].value_counts().to_pylist():
        name = "rows_out" if count["values"] == KEPT else f"dropped.{count['values']}"
        writer.count(name, count["counts"])
