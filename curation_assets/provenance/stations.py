"""The station of provenance: one verdict a document."""

from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation_assets.acquisition.documents import REASONS
from curation_assets.acquisition.stations import RECORD_ID, URL
from curation_assets.filtering.gates import GATE_VALUES, READ_BY_GATES, GateParameters, decisions, gate_parameters
from curation_assets.lake.contracts import Column, Contract, each
from curation_assets.lake.lake import TAKEDOWN_LIST, Key
from curation_assets.lake.parts import PartWriter, read_table
from curation_assets.lake.query import query
from curation_assets.lake.station import Check, Inputs, PartStation, Station
from curation_assets.provenance.showing import show_verdicts
from curation_assets.recipes.methods import limit_of
from curation_assets.recipes.recipe import KEPT, TAKEDOWN, Recipe

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
        ("gate_values", GATE_VALUES),
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
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("duplicate_of", pa.int64()),
        ("cluster_size", pa.int32()),
        ("cluster_snapshot", pa.string()),
    ]
)
CHECKS = (
    Check(
        "verdicts_are_conserved",
        "Documents = kept + dropped; every dropped one says why.",
        by_parts=("documents", "takedowns", "filter_verdicts"),
    ),
    Check("verdicts_are_counted", "The counters of the manifest are those of the table."),
    Check(
        "kept_documents_survived",
        "Kept is what passed all gates and deduplications.",
        by_parts=("takedowns", "filter_verdicts", "last"),
    ),
)


class Judged(BaseModel):
    """A method: its table, the verdict of what it drops, its place in the order of decisions, and its limit."""

    model_config = ConfigDict(frozen=True)

    station: str
    verdict: str
    position: int
    limit: float


class VerdictParameters(BaseModel):
    """The gates, and the methods that drop documents besides them, in order."""

    model_config = ConfigDict(frozen=True)

    methods: tuple[Judged, ...]
    gates: GateParameters


def verdicts(recipe: Recipe, documents: Key, takedowns: Key, annotations: Sequence[Station]) -> PartStation:
    """What became of every response record, why, and what every gate measured.

    A takedown goes before everything but having no text.
    """
    methods = tuple(
        Judged(
            station=method.name,
            verdict=method.verdict,
            position=recipe.positions[method.name],
            limit=limit_of(method),
        )
        for method in recipe.methods
    )
    return PartStation(
        key=(recipe.name, "verdicts"),
        group="provenance",
        description=f"One row per response record: `{KEPT}`, or the gate or deduplication that decided, with value "
        "and limit, and what every gate measured. What is taken down is dropped before all of them; nothing is "
        "compared anew for that.",
        version="5",
        params=VerdictParameters(methods=methods, gates=gate_parameters(recipe)),
        inputs={
            "documents": documents,
            **{station.name: station.key for station in annotations},
            "takedowns": takedowns,
            "filter_verdicts": (recipe.name, "filter_verdicts"),
            **{one.station: (recipe.name, one.station) for one in methods},
            **({"last": (recipe.name, methods[-1].station)} if methods else {}),
        },
        external=(TAKEDOWN_LIST,),
        schema=VERDICTS,
        step=give_verdicts,
        show=partial(show_verdicts, names=recipe.decisions),
        columns={
            "verdict": f"`{KEPT}`, or the gate or deduplication that decided",
            "station": "the station that it belongs to",
            "position": "its place in the order of decisions; -1 for acquisition and takedowns",
            "value": "what was measured; of a duplicate, the documents in its cluster",
            "limit": "what it was compared with",
            "detail": "what matched, in words; of a takedown its id and reason",
            "failed_gates": "all gates that the document fails, in order",
            "gate_values": "what every gate measured, in order, those after the decision included, with its limit for "
            "this document; empty without text",
            "duplicate_of": "doc of the survivor of its cluster",
            "cluster_size": "near-duplicates that the latest comparison found, the document itself included",
        },
        contract=verdicts_contract(recipe),
        conservation=CHECKS if methods else CHECKS[:-1],
    )


def verdicts_contract(recipe: Recipe) -> Contract:
    """What holds of a document's fate."""
    gates = [gate.name for _, _, gate in recipe.gates]
    methods = {method.verdict: method.name for method in recipe.methods}
    stations = dict.fromkeys([*(station for _, station, _ in recipe.gates), *methods.values()])
    return Contract(
        {
            "doc": Column(references="documents.doc"),
            "record_id": RECORD_ID,
            "url": URL,
            "verdict": Column(among=(KEPT, TAKEDOWN, *REASONS, *gates, *methods)),
            "station": Column(null=True, among=("acquisition", "takedowns", *stations)),
            "position": Column(null=True, least=-1, most=max(recipe.positions.values(), default=-1)),
            **each(("value", "limit", "detail"), Column(null=True)),
            "duplicate_of": Column(null=True, least=0),
            "cluster_size": Column(least=1),
        },
        conditions={
            "what is dropped, and only that, has a station and a position": f"(verdict = '{KEPT}') = (station IS NULL) "
            f"AND (verdict = '{KEPT}') = (position IS NULL)",
            "what a gate or method drops has a value and a limit": "position IS NULL OR position < 0 "
            'OR (value IS NOT NULL AND "limit" IS NOT NULL)',
            "a duplicate is one of another": "duplicate_of IS NULL OR duplicate_of <> doc OR detail IS NOT NULL",
        },
    )


def give_verdicts(inputs: Inputs, writer: PartWriter, params: VerdictParameters) -> None:
    """Join the decisions of one part, verdicts.sql, and set beside them what every gate measured."""
    decided = query(
        "provenance/verdicts",
        {name: [str(inputs[name])] for name in ("documents", "takedowns", "filter_verdicts")}
        | {"removals": pa.concat_tables([REMOVALS.empty_table(), *_removals(inputs, params)])},
        threads=1,
    )
    # Both have a row for each document, in order.
    values = decisions({name: inputs[name] for name in READ_BY_GATES}, params.gates)["gate_values"]
    writer.write(decided.append_column("gate_values", values))
    writer.count("rows_in", decided.num_rows)
    for count in decided["verdict"].value_counts().to_pylist():
        name = "rows_out" if count["values"] == KEPT else f"dropped.{count['values']}"
        writer.count(name, count["counts"])


def _removals(inputs: Inputs, params: VerdictParameters) -> Iterator[pa.Table]:
    """What each method says of the documents that it looked at."""
    for one in params.methods:
        table = read_table(inputs[one.station])
        rows = table.num_rows
        clustered = "cluster" in table.column_names
        yield pa.table(
            [
                table["doc"],
                pa.repeat(one.verdict, rows),
                pa.repeat(one.station, rows),
                pa.repeat(pa.scalar(one.position, pa.int32()), rows),
                table["survivor"],
                table["value"],
                pa.repeat(one.limit, rows),
                table["cluster"] if clustered else pa.nulls(rows, pa.int64()),
                table["cluster_size"] if clustered else pa.nulls(rows, pa.int32()),
                table["cluster_snapshot"] if clustered else pa.nulls(rows, pa.string()),
            ],
            schema=REMOVALS,
        )
