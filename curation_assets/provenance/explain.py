"""From a URL or a record id to what became of it, in every snapshot of the lake.

What decided is read from the manifests of what was decided, not from the recipe as it stands today.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from curation_assets.filtering.fineweb2_languages import limits_of
from curation_assets.lake.lake import LakeError, Partition
from curation_assets.lake.query import query, source
from curation_assets.line import Line
from curation_assets.packing.shards import SEGMENTS_FILE
from curation_assets.provenance.takedowns import TakedownList, match
from curation_assets.provenance.trace import part_path
from curation_assets.recipes.recipe import BY_LANGUAGE, KEPT, TAKEDOWN

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class JudgedGate(NamedTuple):
    """What one gate saw in a document."""

    station: str
    gate: str
    value: float | None
    """None where nothing was measured; then the gate does not fail."""
    operator: str
    limit: float
    failed: bool


@dataclass(frozen=True)
class Explanation:
    """The life of one document."""

    snapshot: str
    verdict: dict[str, Any]
    """Its row of `verdicts`, with where it lies in its WARC file."""
    annotations: dict[str, Any]
    """Everything that the gates could read, by column; empty when acquisition found no text to annotate."""
    gates: list[JudgedGate]
    """Every gate that it met, in order, with the limits that decided; none when acquisition found no text."""
    segments: list[dict[str, Any]]
    """Where it lies in the shards, when it was kept."""
    pending: str | None = None
    """Id and reason of a takedown that hits it and came after its verdict."""

    @property
    def without_text(self) -> bool:
        """Acquisition gave it its verdict: there was no text, so nothing was measured."""
        return self.verdict["station"] == "acquisition"


def explain(line: Line, name: str, snapshots: list[str] | None = None) -> list[Explanation]:
    """What became of every record that has a URL or a record id. Empty when no snapshot of the lake has one.

    Args:
        line: recipe and lake.
        name: a URL as the crawl has it, or a record id: `<urn:uuid:...>`, with or without brackets and prefix, in
            any case.
        snapshots: where to look; everywhere by default.

    Raises:
        LakeError: nothing is materialised, or it was by a version that recorded less.
    """
    known = line.lake.snapshots(line.key("verdicts"))
    if not known:
        raise LakeError(f"the lake {line.lake.root} holds no verdicts of recipe {line.recipe.name} yet")
    return [explanation for snapshot in snapshots or known for explanation in _explain(line, name, snapshot)]


def _explain(line: Line, name: str, snapshot: str) -> list[Explanation]:
    verdicts = line.lake.partition(line.key("verdicts"), snapshot)
    views = {"verdicts": source(verdicts.paths()), "documents": source(line.lake.origin(verdicts, "documents").paths())}
    found = []
    for verdict in query("provenance/explain", views, {"name": name, "record": record_name(name)}).to_pylist():
        consent = verdict.pop("consent")
        if verdict["duplicate_of"] is not None and verdict["detail"] is not None:
            elsewhere = line.lake.partition(line.key("verdicts"), verdict["detail"])
            survivor = _row(elsewhere, verdict["duplicate_of"])
            verdict |= {f"duplicate_of_{name}": survivor.get(name) for name in ("url", "verdict")}
        pending = _pending(line, line.lake.origin(verdicts, "documents"), verdict)
        explanation = Explanation(snapshot, verdict, {}, [], _segments(line, snapshot, verdict), pending)
        if not explanation.without_text:
            decided = line.lake.origin(verdicts, "filter_verdicts")
            explanation.annotations.update(_annotations(line, decided, verdict["doc"], consent or []))
            explanation.gates.extend(_judged(decided, explanation.annotations, verdict["failed_gates"] or []))
        found.append(explanation)
    return found


def _pending(line: Line, documents: Partition, verdict: dict[str, Any]) -> str | None:
    rules = TakedownList(line.lake.root).rules
    if not rules or verdict["verdict"] == TAKEDOWN or verdict["station"] == "acquisition":
        return None
    hits = match(part_path(documents, verdict["doc"]), rules)
    return dict(zip(hits["doc"].to_pylist(), hits["detail"].to_pylist(), strict=True)).get(verdict["doc"])


def record_name(name: str) -> str:
    """A record id as it is compared: lower case, no brackets, a bare UUID with its prefix."""
    bare = name.strip().removeprefix("<").removesuffix(">").lower()
    return f"urn:uuid:{bare}" if UUID.fullmatch(bare) else bare


def _annotations(line: Line, decided: Partition, doc: int, consent: list[str]) -> dict[str, Any]:
    manifest = decided.manifest()
    params = manifest.params or {}
    values: dict[str, Any] = {}
    for table in manifest.inputs:
        if table != "documents":
            row = _row(line.lake.origin(decided, table), doc)
            values |= {name: value for name, value in row.items() if name != "doc" and not isinstance(value, list)}
    # What filter_verdicts.sql makes of other columns.
    values["opted_out"] = len(set(consent) & set(params.get("consent", ())))
    language, kept = values.get("language"), params.get("languages", ())
    values["language_kept"] = int(
        language is not None and (not kept or language in kept) and language not in params.get("excluded", ())
    )
    values["language_score"] = values.get("language_score") or 0.0
    return values


def _judged(decided: Partition, annotations: dict[str, Any], failed: list[str]) -> list[JudgedGate]:
    return [
        JudgedGate(
            gate["station"],
            gate["name"],
            annotations.get(gate["signal"]),
            gate["operator"],
            _limit(gate["limit"], annotations.get("language")),
            gate["name"] in failed,
        )
        for gate in (decided.manifest().params or {}).get("gates", ())
    ]


def _limit(limit: float | str, language: str | None) -> float:
    """A gate's limit for a document of some language."""
    return limits_of(language)[limit.removeprefix(BY_LANGUAGE)] if isinstance(limit, str) else limit


def _row(table: Partition, doc: int) -> dict[str, Any]:
    rows = pq.read_table(part_path(table, doc), filters=[("doc", "=", doc)]).to_pylist()
    return rows[0] if rows else {}


def _segments(line: Line, snapshot: str, verdict: dict[str, Any]) -> list[dict[str, Any]]:
    shards = line.lake.partition(line.key("training_shards"), snapshot)
    if verdict["verdict"] != KEPT or shards.committed() is None:
        return []
    views = {"segments": source(shards.paths(SEGMENTS_FILE))}
    return query("provenance/segments_of_document", views, {"doc": verdict["doc"]}).to_pylist()
