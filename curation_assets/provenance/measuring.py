"""What a report needs to know, from the tables of a snapshot.

Totals come from the manifests and are those of the whole snapshot. What only the rows can tell is counted in at most
`MEASURED_PARTS` parts, chosen by the hashes of their names, and in at most `MEASURED_SHARDS` shards: memory and time do
not grow with the snapshot, and the report says how much was looked at.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import duckdb

from curation_assets.lake.checks import outcomes
from curation_assets.lake.lake import Partition
from curation_assets.lake.parts import ROW_BITS, part_name
from curation_assets.lake.query import connection, execute, query, source
from curation_assets.packing.shards import SEGMENTS_FILE
from curation_assets.provenance.report import (
    ACQUISITION,
    Counts,
    Domain,
    Form,
    Gate,
    Language,
    Masked,
    Past,
    Report,
    ReportParameters,
    Sample,
    Sign,
    Table,
    spread,
)
from curation_assets.recipes.recipe import KEPT, TAKEDOWN

MEASURED_PARTS = 256
MEASURED_SHARDS = 64
SAMPLES = 3
"""Documents shown of each verdict."""
CHARACTERS = 300
"""Of their texts."""
LARGEST_DOMAINS = 20


def measure(
    about: ReportParameters,
    inputs: Mapping[str, Partition],
    preceding: Mapping[str, Mapping[str, Partition]],
    parts_at_most: int = MEASURED_PARTS,
) -> Report:
    """Find out everything that a report shows.

    Args:
        about: the recipe.
        inputs: every table of the line, committed, by name.
        preceding: `verdicts` and `training_shards` of earlier snapshots, by snapshot.
        parts_at_most: parts whose rows are counted.
    """
    tables = {name: _table(name, partition) for name, partition in inputs.items()}
    verdicts, packed = tables["verdicts"], tables["packed_sequences"]
    names = chosen([path.stem for path in inputs["verdicts"].paths()], parts_at_most)
    written = tables["training_shards"].stats
    shards, room = written["shards"], written["sequences"] * packed.params["sequence_length"]
    stride = max(math.ceil(shards / MEASURED_SHARDS), 1)
    with connection(_views(inputs, names)) as con:
        gates = list(_gates(tables, _rows(con, "report_gates")))
        languages = [
            Language(row["language"], row["texts"], row["kept"], row["tokens"])
            for row in _rows(con, "report_languages")
        ]
        largest = _rows(con, "report_hosts", most=LARGEST_DOMAINS)
        sizes = _rows(con, "report_host_sizes")
        lengths = _rows(con, "report_lengths")
        fills = _rows(con, "report_fill", stride=stride)
        report = Report(
            snapshot=inputs["verdicts"].snapshot,
            about=about,
            extractor=str(tables["documents"].params.get("extractor", "")),
            tables=list(tables.values()),
            gates=gates,
            records=verdicts.rows,
            texts=verdicts.rows - sum(gate.dropped for gate in gates if gate.station == ACQUISITION),
            kept=verdicts.stats.get("rows_out", 0),
            text_bytes=tables["corpus"].stats.get("text_bytes", 0),
            tokens=written["tokens"],
            sequences=written["sequences"],
            sequence_length=packed.params["sequence_length"],
            fill=round(1e6 * written["tokens"] / room) / 1e6 if room else 1.0,
            documents_cut=packed.stats["documents_cut"],
            parts=verdicts.files,
            measured_parts=len(names),
            shards=shards,
            measured_shards=len(range(0, shards, stride)),
            languages=languages,
            domains=[Domain(row["domain"], row["records"], row["kept"]) for row in largest],
            domains_of_records=spread(_sizes(sizes, "records")),
            domains_of_kept=spread(_sizes(sizes, "kept")),
            words=_counts(lengths, "words", "texts"),
            kept_words=_counts(lengths, "words", "kept"),
            document_tokens=_counts(_rows(con, "report_tokens"), "tokens", "documents"),
            clusters=_counts(_rows(con, "report_clusters"), "size", "clusters"),
            fills=_counts(fills, "tokens", "sequences"),
            segments=sum(row["segments"] for row in fills),
            form=[_form(row) for row in _rows(con, "report_form")],
            signs=list(_signs(_rows(con, "report_signs"), tables["filter_verdicts"])),
            masked=[Masked(row["kind"], row["spans"], row["documents"]) for row in _rows(con, "report_masks")],
            masks=tables["pii_spans"].stats.get("spans", 0),
            samples=list(_samples(_rows(con, "report_samples", samples=SAMPLES), inputs)),
            history=[*_history(preceding), _past(inputs["verdicts"].snapshot, verdicts, tables["training_shards"])],
            shard_files=inputs["training_shards"].manifest().files,
        )
    return report


def chosen(names: Sequence[str], most: int) -> list[str]:
    """At most so many of some names, by their hashes, in their order: the same ones wherever this is asked."""
    by_hash = sorted(names, key=lambda name: sha256(name.encode()).digest())
    wanted = set(by_hash[:most])
    return [name for name in names if name in wanted]


def _table(name: str, partition: Partition) -> Table:
    manifest = partition.manifest()
    return Table(
        name=name,
        rows=manifest.rows,
        bytes=manifest.bytes,
        files=len(manifest.files),
        digest=manifest.digest,
        code_version=manifest.code_version,
        params=manifest.params or {},
        stats=manifest.stats,
        checks=outcomes(partition),
    )


def _views(inputs: Mapping[str, Partition], names: Sequence[str]) -> dict[str, Any]:
    wanted = set(names)
    parts = ("verdicts", "documents", "url_matches", "languages", "signals", "pii_spans", "tokens")
    views: dict[str, Any] = {
        name: source([path for path in inputs[name].paths() if path.stem in wanted]) for name in parts
    }
    return {**views, "segments": source(inputs["training_shards"].paths(SEGMENTS_FILE))}


def _rows(con: duckdb.DuckDBPyConnection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    return execute(con, f"provenance/{name}", parameters).to_pylist()


def _counts(rows: Sequence[Mapping[str, Any]], value: str, count: str) -> Counts:
    found = [(row[value], row[count]) for row in rows if row[count]]
    return Counts([value for value, _ in found], [count for _, count in found])


def _sizes(rows: Sequence[Mapping[str, Any]], what: str) -> list[tuple[int, int]]:
    return [(row["documents"], row["domains"]) for row in rows if row["what"] == what]


def _form(row: Mapping[str, Any]) -> Form:
    def mean(millionths: str, count: str) -> float | None:
        return row[millionths] / row[count] / 1e6 if row[count] else None

    return Form(row["name"], mean("texts_millionths", "texts"), mean("kept_millionths", "kept"))


def _signs(rows: Sequence[Mapping[str, Any]], filtering: Table) -> Iterator[Sign]:
    params = filtering.params
    honoured = {f"opt-out: {signal}" for signal in params.get("consent", ())}
    listed = any(gate["signal"] == "url_domain_listed" for gate in params.get("gates", []))
    for row in rows:
        known = row["sign"] in honoured or (listed and row["sign"].startswith("block list: "))
        yield Sign(row["sign"], known, row["records"], row["kept"])


def _gates(tables: Mapping[str, Table], failed: Sequence[Mapping[str, Any]]) -> Iterator[Gate]:
    """Everything that could drop a document, in the order in which it was asked; by the manifests, not the recipe."""
    verdicts, filtering = tables["verdicts"], tables["filter_verdicts"]
    methods = verdicts.params.get("methods", [])
    dropped = {
        name.removeprefix("dropped."): count for name, count in verdicts.stats.items() if name.startswith("dropped.")
    }
    failing = {row["gate"]: row["documents"] for row in failed}
    steps = {
        gate["position"]: (gate["station"], gate["name"], _gate_rule(gate))
        for gate in filtering.params.get("gates", [])
    }
    steps |= {
        method["position"]: (method["station"], method["verdict"], _method_rule(method["station"], method["limit"]))
        for method in methods
    }
    known = {name for _, name, _ in steps.values()}
    left = verdicts.rows
    for name in sorted(set(dropped) - known - {TAKEDOWN}):
        yield Gate(ACQUISITION, name, "", left, dropped[name], None)
        left -= dropped[name]
    if TAKEDOWN in dropped:
        yield Gate("takedowns", TAKEDOWN, "", left, dropped[TAKEDOWN], None)
        left -= dropped[TAKEDOWN]
    compared = {method["verdict"] for method in methods}
    for _, (station, name, rule) in sorted(steps.items()):
        count = dropped.get(name, 0)
        yield Gate(station, name, rule, left, count, None if name in compared else failing.get(name, 0))
        left -= count


def _gate_rule(gate: Mapping[str, Any]) -> str:
    limit = gate["limit"]
    return f"{gate['signal']} {gate['operator']} {limit if isinstance(limit, str) else f'{limit:g}'}"


def _method_rule(station: str, limit: float) -> str:
    match station:
        case "segment_duplicates" | "substring_duplicates":
            return f"less than {limit:g} bytes are left after the cuts"
        case "bloom_duplicates":
            return f"more than {limit:g} of its n-grams were seen before"
        case "quality_scores":
            return f"score < {limit:g}"
    return "in a cluster of duplicates, and not its survivor"


def _samples(picked: Sequence[Mapping[str, Any]], inputs: Mapping[str, Partition]) -> Iterator[Sample]:
    def texts(table: str, docs: Sequence[int]) -> dict[int, dict[str, Any]]:
        wanted = {part_name(doc >> ROW_BITS) for doc in docs}
        paths = [path for path in inputs[table].paths() if path.name in wanted]
        if not paths:
            return {}
        found = query("provenance/report_texts", {"texts": source(paths)}, {"docs": docs, "characters": CHARACTERS})
        return {row["doc"]: row for row in found.to_pylist()}

    kept = [row["doc"] for row in picked if row["verdict"] == KEPT]
    others = [row["doc"] for row in picked if row["verdict"] != KEPT]
    shown = {**texts("corpus", kept), **texts("documents", others)}
    for row in picked:
        text = shown.get(row["doc"], {})
        yield Sample(
            doc=row["doc"],
            url=row["url"] or "",
            title=text.get("title") or "",
            verdict=row["verdict"],
            value=row["value"],
            limit=row["limit"],
            detail=row["detail"] or "",
            cluster_size=row["cluster_size"],
            text=text.get("text") or "",
            characters=text.get("characters") or 0,
        )


def _history(preceding: Mapping[str, Mapping[str, Partition]]) -> Iterator[Past]:
    shards = preceding.get("training_shards", {})
    for snapshot, verdicts in sorted(preceding.get("verdicts", {}).items()):
        if snapshot in shards:
            tables = (_table(one.key[-1], one) for one in (verdicts, shards[snapshot]))
            yield _past(snapshot, *tables)


def _past(snapshot: str, verdicts: Table, shards: Table) -> Past:
    return Past(snapshot, verdicts.rows, verdicts.stats.get("rows_out", 0), shards.stats["tokens"])
