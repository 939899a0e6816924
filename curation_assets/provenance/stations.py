"""The station of provenance: one verdict a document."""

from collections.abc import Iterator

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.lake.lake import Key
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.query import query
from curation_assets.lake.station import Check, Inputs, PartStation
from curation_assets.recipes.recipe import KEPT, Recipe

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


REMOVALS = pa.schema(
    [
        ("doc", pa.int64()),
        ("verdict", pa.string()),
        ("station", pa.string()),
        ("position", pa.int32()),
        ("survivor", pa.bool_()),
        ("duplicate_of", pa.int64()),
        ("cluster_size", pa.int32()),
    ]
)


CHECKS = (
    Check("verdicts_are_conserved", "Documents = kept + dropped; every dropped one says why."),
    Check("kept_documents_survived", "Kept is what passed all gates and deduplications."),
)


class Compared(BaseModel):
    """A deduplication: its table, the verdict of what it drops, and its place in the order of decisions."""

    model_config = ConfigDict(frozen=True)

    station: str
    verdict: str
    position: int


class VerdictParameters(BaseModel):
    """The deduplications, in order."""

    model_config = ConfigDict(frozen=True)

    deduplications: tuple[Compared, ...]


def verdicts(recipe: Recipe, documents: Key) -> PartStation:
    """What became of every response record, and why."""
    deduplications = tuple(
        Compared(station=method.name, verdict=method.verdict, position=recipe.positions[method.name])
        for method in recipe.deduplications
    )
    return PartStation(
        key=(recipe.name, "verdicts"),
        group="provenance",
        description=f"One row per response record: `{KEPT}`, or the gate or deduplication that decided, with value "
        "and limit.",
        version="2",
        params=VerdictParameters(deduplications=deduplications),
        inputs={
            "documents": documents,
            "filter_verdicts": (recipe.name, "filter_verdicts"),
            **{one.station: (recipe.name, one.station) for one in deduplications},
            **({"last": (recipe.name, deduplications[-1].station)} if deduplications else {}),
        },
        schema=VERDICTS,
        step=give_verdicts,
        columns={
            "verdict": f"`{KEPT}`, or the gate or deduplication that decided",
            "station": "the station that it belongs to",
            "position": "its place in the order of decisions; -1 for acquisition",
            "value": "what was measured; of a duplicate, the documents in its cluster",
            "limit": "what it was compared with",
            "detail": "what matched, in words",
            "failed_gates": "all gates that the document fails, in order",
            "duplicate_of": "doc of the survivor of its cluster",
            "cluster_size": "near-duplicates of the document in the snapshot, itself included",
        },
        conservation=(
            Check("verdicts_are_conserved", "Documents = kept + dropped; every dropped one says why."),
            *(
                (Check("kept_documents_survived", "Kept is what all gates and deduplications passed."),)
                * bool(deduplications)
            ),
        ),
    )


def give_verdicts(inputs: Inputs, writer: PartWriter, params: VerdictParameters) -> None:
    """Join the decisions of one part; verdicts.sql."""
    decided = query(
        "provenance/verdicts",
        {name: [str(inputs[name])] for name in ("documents", "filter_verdicts")}
        | {"removals": pa.concat_tables([REMOVALS.empty_table(), *_removals(inputs, params)])},
        threads=1,
    )
    writer.write(decided)
    writer.count("rows_in", decided.num_rows)
    for count in decided["verdict"].value_counts().to_pylist():
        name = "rows_out" if count["values"] == KEPT else f"dropped.{count['values']}"
        writer.count(name, count["counts"])


def _removals(inputs: Inputs, params: VerdictParameters) -> Iterator[pa.Table]:
    """What each deduplication says of the documents that it compared."""
    for one in params.deduplications:
        table = read_table(inputs[one.station], ["doc", "survivor", "cluster", "cluster_size"])
        rows = table.num_rows
        yield pa.table(
            {
                "doc": table["doc"],
                "verdict": pa.repeat(one.verdict, rows),
                "station": pa.repeat(one.station, rows),
                "position": pa.repeat(pa.scalar(one.position, pa.int32()), rows),
                "survivor": table["survivor"],
                "duplicate_of": table["cluster"],
                "cluster_size": table["cluster_size"],
            },
            schema=REMOVALS,
        )
