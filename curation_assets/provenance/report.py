"""What is said of one snapshot of one recipe: the funnel, the yields, and what the corpus is like.

Totals come from the manifests and are those of the whole snapshot. What only the rows can tell is counted in at most
`MEASURED_PARTS` parts, chosen by the hashes of their names, and of at most `MEASURED_SHARDS` shards: memory and time do
not grow with the snapshot, and the report says how much was looked at.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict

from curation_assets.lake.lake import Manifest, Partition
from curation_assets.lake.parts import ROW_BITS, part_name
from curation_assets.lake.query import connection, execute, query, source
from curation_assets.packing.shards import SEGMENTS_FILE
from curation_assets.recipes.recipe import KEPT

MEASURED_PARTS = 256
MEASURED_SHARDS = 64
SAMPLES = 3
"""Documents shown of each verdict."""
CHARACTERS = 300
"""Of their texts."""
LARGEST_DOMAINS = 20
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
ACQUISITION = "acquisition"


class ReportParameters(BaseModel):
    """What the manifests do not say of a recipe."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    description: str
    published_yield: float | None


@dataclass(frozen=True)
class Gate:
    """A gate, a deduplication or a reason of acquisition, and what it took."""

    station: str
    name: str
    rule: str
    """What drops a document, in words; empty for a reason of acquisition."""
    came: int
    """Documents that nothing before it had dropped."""
    dropped: int
    failed: int | None
    """Documents of the measured parts that fail it, whatever stopped them first; None where nobody counts that."""

    @property
    def left(self) -> int:
        """Documents that it left."""
        return self.came - self.dropped


@dataclass(frozen=True)
class Language:
    """Texts of a language, with the tokens of those that are kept."""

    name: str
    texts: int
    kept: int
    tokens: int


@dataclass(frozen=True)
class Domain:
    """Response records of a registered domain."""

    name: str
    records: int
    kept: int


@dataclass(frozen=True)
class Spread:
    """How documents are spread over some classes (languages, domains)."""

    classes: int
    documents: int
    effective: float
    """exp of Shannon's entropy of the shares: as many equal classes would be as diverse (Hill 1973, of order 1)."""
    largest: float
    """Share of the largest class."""

    @property
    def evenness(self) -> float:
        """Pielou's index, entropy over its maximum: 1 when all classes are equal; 0 for one class or none."""
        return math.log(self.effective) / math.log(self.classes) if self.classes > 1 else 0.0


@dataclass(frozen=True)
class Counts:
    """How many things have which whole number, such as documents and their words: ascending."""

    values: Sequence[int]
    counts: Sequence[int]

    @property
    def total(self) -> int:
        """Things in all."""
        return sum(self.counts)

    @property
    def sum(self) -> int:
        """Their numbers added up."""
        return sum(value * count for value, count in zip(self.values, self.counts, strict=True))

    def quantile(self, share: float) -> int | None:
        """The smallest number that at least this share of the things do not exceed; None of nothing."""
        wanted, seen = max(math.ceil(share * self.total), 1), 0
        for value, count in zip(self.values, self.counts, strict=True):
            seen += count
            if seen >= wanted:
                return value
        return None

    def bins(self, edges: Sequence[float]) -> list[int]:
        """How many things lie from each edge to before the next."""
        found = [0] * (len(edges) - 1)
        at = 0
        for value, count in zip(self.values, self.counts, strict=True):
            while at < len(found) and value >= edges[at + 1]:
                at += 1
            if at < len(found) and value >= edges[at]:
                found[at] += count
        return found


@dataclass(frozen=True)
class Form:
    """The mean of a statistic over texts, as extracted and of those that are kept; None where there is none."""

    name: str
    extracted: float | None
    kept: float | None


@dataclass(frozen=True)
class Sign:
    """Response records with some sign that they should not be used, and how many are kept all the same."""

    name: str
    honoured: bool
    """Whether the recipe has a gate for it."""
    records: int
    kept: int


@dataclass(frozen=True)
class Masked:
    """Spans of one kind of personal data that were masked, and the documents that they are in."""

    kind: str
    spans: int
    documents: int


@dataclass(frozen=True)
class Sample:
    """A document that a verdict is shown by."""

    doc: int
    url: str
    title: str
    verdict: str
    value: float | None
    limit: float | None
    detail: str
    cluster_size: int
    text: str
    """Beginning of the final text of a document that is kept, of the extracted text of any other."""
    characters: int
    """Length of that text."""


@dataclass(frozen=True)
class Table:
    """A table that the report is made from, and what it was checked for."""

    name: str
    manifest: Manifest

    @property
    def counters(self) -> dict[str, int]:
        """What it counted, but for the reasons that documents were dropped for."""
        return {name: count for name, count in self.manifest.stats.items() if not name.startswith("dropped.")}


@dataclass(frozen=True)
class Past:
    """An earlier snapshot of the lake, or this one."""

    snapshot: str
    records: int
    kept: int
    tokens: int


@dataclass(frozen=True)
class Report:
    """Everything that is shown."""

    snapshot: str
    about: ReportParameters
    extractor: str
    tables: Sequence[Table]
    gates: Sequence[Gate]
    records: int
    texts: int
    kept: int
    text_bytes: int
    tokens: int
    sequences: int
    sequence_length: int
    fill: float
    documents_cut: int
    parts: int
    measured_parts: int
    shards: int
    measured_shards: int
    languages: Sequence[Language]
    domains: Sequence[Domain]
    domains_of_records: Spread
    domains_of_kept: Spread
    words: Counts
    kept_words: Counts
    document_tokens: Counts
    clusters: Counts
    fills: Counts
    segments: int
    """In the measured shards."""
    form: Sequence[Form]
    signs: Sequence[Sign]
    masked: Sequence[Masked]
    masks: int
    """Spans of all kinds, in the whole snapshot."""
    samples: Sequence[Sample]
    history: Sequence[Past]

    @property
    def complete(self) -> bool:
        """Whether all parts and shards were looked at."""
        return (self.measured_parts, self.measured_shards) == (self.parts, self.shards)

    def table(self, name: str) -> Table:
        """One of the tables."""
        return next(table for table in self.tables if table.name == name)

    @property
    def duplicates(self) -> int:
        """Documents that a method of deduplication dropped."""
        return sum(gate.dropped for gate in self.gates if gate.station.endswith("_duplicates"))

    @property
    def languages_of_texts(self) -> Spread:
        """Of the texts, as extracted."""
        return spread([(one.texts, 1) for one in self.languages])

    @property
    def languages_of_kept(self) -> Spread:
        """Of what is kept."""
        return spread([(one.kept, 1) for one in self.languages])


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
        preceding: `verdicts` and `packed_sequences` of earlier snapshots, by snapshot.
        parts_at_most: parts whose rows are counted.
    """
    manifests = {name: partition.manifest() for name, partition in inputs.items()}
    verdicts, packed = manifests["verdicts"], manifests["packed_sequences"]
    names = chosen([Path(file.name).stem for file in verdicts.files], parts_at_most)
    shards = manifests["training_shards"].stats["shards"]
    stride = max(math.ceil(shards / MEASURED_SHARDS), 1)
    with connection(_views(inputs, names)) as con:
        gates = list(_gates(manifests, _rows(con, "report_gates")))
        languages = [
            Language(row["language"], row["texts"], row["kept"], row["tokens"])
            for row in _rows(con, "report_languages")
        ]
        largest = _rows(con, "report_hosts", most=LARGEST_DOMAINS)
        sizes = _rows(con, "report_host_sizes")
        lengths = _rows(con, "report_lengths")
        fills = _rows(con, "report_fill", stride=stride)
        report = Report(
            snapshot=verdicts.snapshot,
            about=about,
            extractor=_extractor(manifests["documents"]),
            tables=[Table(name, manifest) for name, manifest in manifests.items()],
            gates=gates,
            records=verdicts.rows,
            texts=verdicts.rows - sum(gate.dropped for gate in gates if gate.station == ACQUISITION),
            kept=verdicts.stats.get("rows_out", 0),
            text_bytes=manifests["corpus"].stats.get("text_bytes", 0),
            tokens=packed.stats["tokens"],
            sequences=packed.stats["sequences"],
            sequence_length=(packed.params or {})["sequence_length"],
            fill=packed.stats["fill_ppm"] / 1e6,
            documents_cut=packed.stats["documents_cut"],
            parts=len(verdicts.files),
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
            signs=list(_signs(_rows(con, "report_signs"), manifests["filter_verdicts"])),
            masked=[Masked(row["kind"], row["spans"], row["documents"]) for row in _rows(con, "report_masks")],
            masks=manifests["pii_spans"].stats.get("spans", 0),
            samples=list(_samples(_rows(con, "report_samples", samples=SAMPLES), inputs)),
            history=list(_history(preceding, verdicts, packed)),
        )
    return report


def chosen(names: Sequence[str], most: int) -> list[str]:
    """At most so many of some names, by their hashes, in their order: the same ones wherever this is asked."""
    by_hash = sorted(names, key=lambda name: sha256(name.encode()).digest())
    wanted = set(by_hash[:most])
    return [name for name in names if name in wanted]


def spread(sizes: Iterable[tuple[int, int]]) -> Spread:
    """How documents are spread, from (documents of a class, classes of that size)."""
    found = sorted((size, classes) for size, classes in sizes if size)
    documents = sum(size * classes for size, classes in found)
    # ln N - sum of n ln n over N, in a fixed order: the same to the last bit whatever the order of rows.
    entropy = math.log(documents) - sum(c * n * math.log(n) for n, c in found) / documents if documents else 0.0
    return Spread(
        classes=sum(classes for _, classes in found),
        documents=documents,
        effective=math.exp(entropy) if documents else 0.0,
        largest=found[-1][0] / documents if documents else 0.0,
    )


def _views(inputs: Mapping[str, Partition], names: Sequence[str]) -> dict[str, Any]:
    wanted = set(names)
    parts = ("verdicts", "documents", "url_matches", "languages", "signals", "pii_spans", "tokens")
    views: dict[str, Any] = {
        name: source([path for path in inputs[name].paths() if path.stem in wanted]) for name in parts
    }
    return {**views, "segments": source(inputs["packed_sequences"].paths(SEGMENTS_FILE))}


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


def _signs(rows: Sequence[Mapping[str, Any]], filtering: Manifest) -> Iterator[Sign]:
    params = filtering.params or {}
    honoured = {f"opt-out: {signal}" for signal in params.get("consent", ())}
    listed = any(gate["signal"] == "url_domain_listed" for gate in params.get("gates", []))
    for row in rows:
        known = row["sign"] in honoured or (listed and row["sign"].startswith("block list: "))
        yield Sign(row["sign"], known, row["records"], row["kept"])


def _extractor(documents: Manifest) -> str:
    return str((documents.params or {}).get("extractor", ""))


def _gates(manifests: Mapping[str, Manifest], failed: Sequence[Mapping[str, Any]]) -> Iterator[Gate]:
    """Everything that could drop a document, in the order in which it was asked; by the manifests, not the recipe."""
    verdicts, filtering = manifests["verdicts"], manifests["filter_verdicts"]
    dropped = {
        name.removeprefix("dropped."): count for name, count in verdicts.stats.items() if name.startswith("dropped.")
    }
    failing = {row["gate"]: row["documents"] for row in failed}
    steps = {
        gate["position"]: (gate["station"], gate["name"], _gate_rule(gate))
        for gate in (filtering.params or {}).get("gates", [])
    }
    steps |= {
        method["position"]: (method["station"], method["verdict"], _method_rule(method["station"], method["limit"]))
        for method in (verdicts.params or {}).get("methods", [])
    }
    known = {name for _, name, _ in steps.values()}
    left = verdicts.rows
    for name in sorted(set(dropped) - known):
        yield Gate(ACQUISITION, name, "", left, dropped[name], None)
        left -= dropped[name]
    methods = {method["verdict"] for method in (verdicts.params or {}).get("methods", [])}
    for _, (station, name, rule) in sorted(steps.items()):
        count = dropped.get(name, 0)
        yield Gate(station, name, rule, left, count, None if name in methods else failing.get(name, 0))
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


def _history(preceding: Mapping[str, Mapping[str, Partition]], verdicts: Manifest, packed: Manifest) -> Iterator[Past]:
    """Earlier snapshots in order, then this one."""
    pairs = [
        (partition.manifest(), preceding["packed_sequences"][snapshot].manifest())
        for snapshot, partition in sorted(preceding.get("verdicts", {}).items())
        if snapshot in preceding.get("packed_sequences", {})
    ]
    for judged, filled in [*pairs, (verdicts, packed)]:
        yield Past(judged.snapshot, judged.rows, judged.stats.get("rows_out", 0), filled.stats["tokens"])
