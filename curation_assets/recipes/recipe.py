"""Recipes as data: the parameters of every station, and the stations that decide, in order."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from curation_assets.acquisition.documents import Extraction
from curation_assets.acquisition.loss import Loss
from curation_assets.filtering.definitions import Definitions, LineEdits
from curation_assets.filtering.fineweb2_languages import LANGUAGE_LIMITS
from curation_assets.filtering.signals import SIGNALS
from curation_assets.filtering.urls import URL_ANNOTATIONS
from curation_assets.recipes.methods import METHODS, Method, Parameters

GATE = re.compile(
    r"^\s*(?P<signal>[a-z][a-z0-9_]*)\s*(?P<operator><=|>=|<|>)\s*"
    r"(?P<limit>-?\d+(\.\d+)?([eE][-+]?\d+)?|language\.[a-z0-9_]+)\s*$"
)
BY_LANGUAGE = "language."
"""How a limit begins that is a column of FineWeb2's table, taken for the document's language."""

CONSENT = ("noai", "noimageai", "tdm-reservation")
CONSENT_STATION = {"name": "consent", "gates": [{"name": "consent", "rule": "opted_out > 0"}]}
CLEANING_STATION = {"name": "cleaning", "gates": [{"name": "clean_text_empty", "rule": "clean_lines < 1"}]}

COSTS = {
    **dict.fromkeys(("opted_out", *URL_ANNOTATIONS.names), 0),
    **dict.fromkeys(("language_kept", "language_score", *SIGNALS.names), 1),
}
"""What it costs to know a column that a gate may read: 0 headers and URL, 1 text. Deduplication costs 2."""

TEXT_COLUMNS = frozenset({"line_edits", "url_match", "url_domain_category"})
"""Columns that hold no number, so that no gate can read them."""

SIGNALS_OF_GATES = frozenset(COSTS) - TEXT_COLUMNS
KEPT = "kept"
TAKEDOWN = "takedown"


class Misfit(ValueError):
    """Parts of a recipe that do not fit together; `place` leads to the one that is told of."""

    def __init__(self, message: str, *place: str) -> None:
        super().__init__(message)
        self.place = place


class UrlFilter(Parameters):
    """Which block lists are consulted: categories of the UT1 lists. The usual ones leave out `dating`, `chat` and
    `filehosting`, which hold event listings and large services."""

    categories: tuple[str, ...] = (
        "adult",
        "mixed_adult",
        "phishing",
        "malware",
        "agressif",
        "gambling",
        "arjel",
        "ddos",
    )


class Language(Parameters):
    """Language identification: which languages are kept, and how much of a document is looked at."""

    languages: tuple[str, ...] = ()
    """Labels of the languages that `language_kept` is 1 for; all when there are none."""
    excluded: tuple[str, ...] = ()
    """Labels of languages that it is 0 for."""
    characters: int = Field(default=1000, gt=0)
    model: Path | None = None
    """A fastText model to identify languages with, such as GlotLID; the packaged lid.176 when unset."""
    multilingual: bool = False
    """Treat each language as what it is: labels name language and script (`deu_Latn`), words of scripts without spaces
    come from dictionaries, stop words are the language's, and limits may be `language.<column>`."""


class Pii(Parameters):
    """What is masked."""

    email: bool = True
    public_ip: bool = True


class Rehydration(Parameters):
    """FineWeb2's weights: how often a kept document may be repeated, by the size of its cluster."""

    max_weight: int = Field(default=10, ge=1)
    window: int = Field(default=5, ge=1)
    """Cluster sizes that a removal rate is smoothed over."""
    least: int = Field(default=1000, ge=1)
    """Documents that a class of cluster sizes has at least; larger sizes are joined until it does."""


class SoftWeights(Parameters):
    """SoftDeDup's weights: lower for documents that are common in the corpus."""

    classes: int = Field(default=20, ge=1)
    cap: float = Field(default=10.0, ge=1)
    """Largest ratio of two weights."""
    cells: int = Field(default=1 << 24, ge=1024)
    """Of the n-gram table, 16 bytes each."""
    seed: int = 0


class Packing(Parameters):
    """Tokenizer size and the text it is trained on, sequence length, strategy, tokens of a shard, seed, formats."""

    vocabulary: int = Field(default=32768, ge=257)
    tokenizer_sample_bytes: int = Field(default=67108864, gt=0)
    sequence_length: int = Field(default=2048, gt=1, le=1 << 24)
    strategy: Literal["best_fit", "concat"] = "best_fit"
    shard_tokens: int = Field(default=67108864, gt=0)
    seed: int = 1
    end_of_document: str | None = None
    """Name of the token that ends a document in a given tokenizer; the first of the usual names when unset."""
    formats: tuple[Literal["megatron", "parquet", "mds"], ...] = Field(default=("megatron",), exclude=True)
    """What the shards are written as. The others are copies of Megatron's, so that is always among them; and none of
    them decides what is packed, so that one more format makes nothing else out of date."""

    @model_validator(mode="after")
    def _copies_megatron(self) -> Self:
        if "megatron" not in self.formats:
            raise ValueError("formats must hold megatron: the other formats are copies of its shards")
        return self

    @model_validator(mode="after")
    def _holds_a_sequence(self) -> Self:
        if self.shard_tokens < self.sequence_length:
            raise ValueError(f"a shard of {self.shard_tokens} tokens cannot hold a sequence of {self.sequence_length}")
        return self


class Drift(Parameters):
    """From what difference on a snapshot is reported as unlike those before it; it is never stopped by that."""

    earlier: int = Field(default=5, ge=1)
    """Snapshots that it is compared with at most: the latest before it, by name."""
    points: float = Field(default=5.0, gt=0, le=100)
    """Percentage points by which a share may change: what is kept, lost, or dropped of what reaches a gate."""
    factor: float = Field(default=1.5, gt=1)
    """Factor by which it may change, in either direction; changes of less than half a point are not told."""
    published_factor: float = Field(default=2.0, gt=1)
    """Factor by which the share of records kept may differ from `published_yield`."""
    psi: float = Field(default=0.25, gt=0)
    """Population stability index up to which shares of languages, lengths and scores are alike."""


class Gate(Parameters):
    """A rule over annotations: a document is dropped when `signal operator limit` is true."""

    name: str
    signal: str
    operator: Literal["<", "<=", ">", ">="]
    limit: float | str
    """A number, or `language.<column>`: the value in FineWeb2's table for the document's language."""

    @model_validator(mode="before")
    @classmethod
    def _read_rule(cls, data: Any) -> Any:
        if not (isinstance(data, dict) and "rule" in data):
            return data
        match = GATE.match(str(data["rule"]))
        if match is None:
            raise ValueError(
                f"gate {data['name']!r}: {data['rule']!r} is not `column operator limit`, "
                "for example `language_score < 0.65`"
            )
        limit = match["limit"]
        return {
            "name": data["name"],
            **match.groupdict(),
            "limit": limit if limit.startswith(BY_LANGUAGE) else float(limit),
        }

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.name in {KEPT, TAKEDOWN, *METHODS, *(method.verdict for method in METHODS.values())}:
            raise ValueError(f"a gate cannot be called {self.name!r}: that is a verdict or a station of its own")
        if self.signal not in SIGNALS_OF_GATES:
            raise ValueError(
                f"gate {self.name!r} reads {self.signal!r}; the columns are {', '.join(sorted(SIGNALS_OF_GATES))}"
            )
        if self.limit_of is not None and self.limit_of not in LANGUAGE_LIMITS:
            raise ValueError(
                f"gate {self.name!r} is limited by {self.limit!r}; the columns are {', '.join(LANGUAGE_LIMITS)}"
            )
        return self

    @property
    def limit_of(self) -> str | None:
        """The column of the language table that limits, where one does."""
        return self.limit.removeprefix(BY_LANGUAGE) if isinstance(self.limit, str) else None


class Gates(Parameters):
    """A station of gates over annotations, in order."""

    name: str
    gates: tuple[Gate, ...]

    @model_validator(mode="before")
    @classmethod
    def _is_a_station(cls, data: Any) -> Any:
        if isinstance(data, dict) and "gates" in data:
            return data
        raise ValueError(
            f"a station is `- name: {{gate: column operator limit}}` or `- method: {{parameter: value}}`, not {data!r}"
        )

    @property
    def cost(self) -> int:
        """Of the dearest column that its gates read."""
        return max((COSTS[gate.signal] for gate in self.gates), default=0)


def _kind(data: Any) -> str:
    name = data.get("name") if isinstance(data, dict) else getattr(data, "name", None)
    return "method" if name in METHODS else "gates"


DecidingStation = Annotated[Annotated[Gates, Tag("gates")] | Annotated[Method, Tag("method")], Discriminator(_kind)]


class Recipe(Parameters):
    """A dataset: the parameters of every station, and the stations that decide each document's fate, in order."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str
    published_yield: float | None = Field(default=None, gt=0, le=1)
    """Share of all documents of the crawl that the recipe's source says it keeps, for comparison; nothing depends on
    it. A recipe that extends another does not inherit it."""
    extraction: Extraction
    consent: tuple[str, ...] = CONSENT
    """Opt-out signals that are honoured. Unless there are none, a recipe without a consent gate is given one."""
    url_filter: UrlFilter = UrlFilter()
    language: Language
    signals: Definitions = Definitions()
    """How the statistics that gates read are defined: a preset, or one with changes."""
    line_edits: LineEdits = LineEdits()
    """Rules by which lines are dropped; what they leave is what is deduplicated and packed."""
    stations: tuple[DecidingStation, ...]
    out_of_order: dict[str, str] = Field(default_factory=dict)
    """Stations that stand after a costlier one on purpose, and why."""
    repairs: tuple[Literal["encoding", "symbol_lines"], ...] = ()
    """What is mended in the documents that are kept: mojibake (before masking), lines of table symbols (after it)."""
    pii: Pii = Pii()
    rehydration: Rehydration | None = None
    soft_weights: SoftWeights | None = None
    packing: Packing = Packing()
    loss: Loss = Loss()
    """How much of a snapshot may be lost."""
    drift: Drift = Drift()
    """When a snapshot is reported as unlike those before it."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return complete(data) if isinstance(data, dict) and isinstance(data.get("stations"), list) else data

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        limited = {gate.name: station for _, station, gate in self.gates if gate.limit_of is not None}
        if limited and not self.language.multilingual:
            names = ", ".join(limited)
            raise Misfit(f"gates limited by language need `language: {{multilingual: true}}`: {names}", "language")
        for kind, used in (
            ("stations", [(station.name, ()) for station in self.stations]),
            ("gates", [(gate.name, (station,)) for _, station, gate in self.gates]),
        ):
            seen = set()
            for name, station in used:
                if name in seen:
                    raise Misfit(f"names of {kind} are used twice: {name}", "stations", *station, name)
                seen.add(name)
        methods = {method.name for method in self.methods}
        if self.rehydration is not None and "minhash_duplicates" not in methods:
            raise Misfit(
                "rehydration weighs by the clusters of minhash_duplicates, which the recipe has not", "rehydration"
            )
        for name in self.out_of_order:
            if name not in {station.name for station in self.stations}:
                raise Misfit("there is no station of that name", "out_of_order", name)
        dearest = self.stations[0] if self.stations else None
        cut = False
        for station in self.stations:
            if dearest is not None and station.cost < dearest.cost and station.name not in self.out_of_order:
                before = "; its gates read the text as it was before the cuts" if cut else ""
                raise Misfit(
                    f"{station.name} costs less than {dearest.name} and stands after it: move it before, or say why "
                    f"under `out_of_order: {{{station.name}: reason}}`{before}",
                    "stations",
                    station.name,
                )
            cut = cut or (not isinstance(station, Gates) and station.cuts)
            dearest = station if dearest is None or station.cost > dearest.cost else dearest
        return self

    @cached_property
    def positions(self) -> dict[str, int]:
        """The place of each gate and of each deduplication in the order of decisions, from 0."""
        names = (
            name
            for station in self.stations
            for name in ([gate.name for gate in station.gates] if isinstance(station, Gates) else [station.name])
        )
        return {name: position for position, name in enumerate(names)}

    @property
    def decisions(self) -> list[str]:
        """The verdicts of gates and methods, in the order in which they decide."""
        verdict = {method.name: method.verdict for method in self.methods}
        return [verdict.get(name, name) for name in self.positions]

    @property
    def gates(self) -> Iterator[tuple[int, str, Gate]]:
        """Position, station and gate, in order."""
        for station in self.stations:
            for gate in station.gates if isinstance(station, Gates) else ():
                yield self.positions[gate.name], station.name, gate

    @property
    def methods(self) -> list[Method]:
        """The stations that look at what is left, in order."""
        return [station for station in self.stations if not isinstance(station, Gates)]


def complete(data: dict[str, Any]) -> dict[str, Any]:
    """A recipe as in a file, with its stations as the models hold them and the gates that no recipe can do without."""
    stations = [_read_station(entry) for entry in data["stations"]]
    named = [station for station in stations if isinstance(station, dict) and "name" in station]
    rules = [str(gate["rule"]) for station in named for gate in station.get("gates", ())]
    if data.get("consent", CONSENT) and not any("opted_out" in rule for rule in rules):
        stations.insert(0, CONSENT_STATION)
    if data.get("line_edits", "none") not in ("none", {}, None, LineEdits()) and not any(
        "clean_lines <" in rule for rule in rules
    ):
        # Where edits leave nothing there is nothing to compare or to keep.
        compared = [at for at, one in enumerate(stations) if one in named and one["name"] in METHODS]
        stations.insert(compared[0] if compared else len(stations), CLEANING_STATION)
    return {**data, "stations": stations}


def _read_station(entry: Any) -> Any:
    """`name: {gate: rule}` or `method: {parameter: value}`, as in a file, to what the models hold; else unchanged."""
    if not (isinstance(entry, dict) and len(entry) == 1):
        return entry
    ((name, content),) = entry.items()
    content = {} if content is None else content
    if not isinstance(content, dict):
        return entry
    if name in METHODS:
        return {**content, "name": name}
    return {"name": str(name), "gates": [{"name": str(gate), "rule": rule} for gate, rule in content.items()]}
