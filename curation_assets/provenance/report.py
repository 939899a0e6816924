"""What is said of one snapshot of one recipe: the funnel, the yields, and what the corpus is like."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from curation_assets.lake.checks import Outcome
from curation_assets.lake.lake import File, Stats

ACQUISITION = "acquisition"
"""The station of the reasons that a record has no text for."""


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
    """What the manifest of a table says, but for its files, of which there may be many."""

    name: str
    rows: int
    bytes: int
    files: int
    digest: str
    code_version: str
    params: Mapping[str, Any]
    stats: Stats
    checks: Sequence[Outcome]


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
    shard_files: Sequence[File]

    @property
    def complete(self) -> bool:
        """Whether all parts and shards were looked at."""
        return (self.measured_parts, self.measured_shards) == (self.parts, self.shards)

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
