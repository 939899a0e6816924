"""From a URL or a record id to what became of it, in every snapshot of the lake."""

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from curation_assets.lake.lake import LakeError
from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.packing.shards import SEGMENTS_FILE
from curation_assets.provenance.stations import KEPT
from curation_assets.provenance.trace import part_path


@dataclass(frozen=True)
class Explanation:
    """The life of one document."""

    snapshot: str
    verdict: dict[str, Any]
    """Its row of `verdicts`, with where it lies in its WARC file."""
    annotations: dict[str, Any]
    """All values that gates read, by column."""
    gates: list[tuple[str, str, float, str, float, bool]]
    """Each gate of the recipe: station, gate, value, operator, limit, failed."""
    segments: list[dict[str, Any]]
    """Where it lies in the shards, when it was kept."""


def explain(line: Line, name: str, snapshots: list[str] | None = None) -> list[Explanation]:
    """What became of a URL or record id. Empty when no snapshot of the lake has it.

    Raises `LakeError` when nothing is materialised.
    """
    known = line.lake.snapshots(line.key("verdicts"))
    if not known:
        raise LakeError(f"the lake {line.lake.root} holds no verdicts of recipe {line.recipe.name} yet")
    found = []
    for snapshot in snapshots or known:
        views = {
            table: source(line.lake.partition(line.key(table), snapshot).paths()) for table in ("verdicts", "documents")
        }
        for verdict in query("provenance/explain", views, {"name": name}).to_pylist():
            annotations = _annotations(line, snapshot, verdict["doc"])
            gates = [
                (gate.station, gate.name, value, gate.operator, gate.limit, gate.name in verdict["failed_gates"])
                for gate in line.recipe.gates
                if (value := annotations.get(gate.signal)) is not None
            ]
            segments = _segments(line, snapshot, verdict["doc"]) if verdict["verdict"] == KEPT else []
            found.append(Explanation(snapshot, verdict, annotations, gates, segments))
    return found


def _annotations(line: Line, snapshot: str, doc: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for table in ("url_matches", "languages", "signals"):
        path = part_path(line.lake.partition(line.key(table), snapshot), doc)
        (row,) = pq.read_table(path, filters=[("doc", "=", doc)]).to_pylist()
        values |= {name: value for name, value in row.items() if name not in ("doc", "line_edits")}
    return values


def _segments(line: Line, snapshot: str, doc: int) -> list[dict[str, Any]]:
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    if shards.committed() is None:
        return []
    views = {"segments": source(shards.paths(SEGMENTS_FILE))}
    return query("provenance/segments_of_document", views, {"doc": doc}).to_pylist()
