"""Recipes as data: the parameters of every station and the gates, in order, read from YAML."""

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from curation_assets.acquisition.documents import Extraction
from curation_assets.filtering.signals import SIGNALS
from curation_assets.filtering.urls import URL_ANNOTATIONS

GATE = re.compile(
    r"^\s*(?P<signal>[a-z][a-z0-9_]*)\s*(?P<operator><=|>=|<|>)\s*(?P<limit>-?\d+(\.\d+)?([eE][-+]?\d+)?)\s*$"
)

PUBLISHED = Path(__file__).parent

COMPUTED_SIGNALS = ("opted_out", "language_kept", "language_score")
"""Columns that sql/filtering/filter_verdicts.sql makes besides those of the annotation tables."""

CONSENT = ("noai", "noimageai", "tdm-reservation")
CONSENT_GATE = {"name": "consent", "station": "consent", "signal": "opted_out", "operator": ">", "limit": 0}

OTHER_VERDICTS = ("kept", "minhash_duplicate", "clean_text_empty")
"""Verdicts that are no gate's; see sql/provenance/verdicts.sql."""

GATED_SIGNALS = frozenset({*COMPUTED_SIGNALS, *SIGNALS.names, *URL_ANNOTATIONS.names} - {"line_edits"})
"""Columns that a gate may read."""


class RecipeError(Exception):
    """A recipe cannot be used; the message names the file, the place in it and what is allowed there."""


class Parameters(BaseModel):
    """Base of every station's parameters: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UrlFilter(Parameters):
    """Which block lists are consulted."""

    categories: tuple[str, ...] = ()


class Language(Parameters):
    """Language identification: which languages are kept, and how much of a document is looked at."""

    languages: tuple[str, ...]
    characters: int = Field(default=1000, gt=0)


class MinHash(Parameters):
    """MinHash LSH: shingle length in words, `bands` of `rows` hashes, seed of the permutations."""

    ngram: int = Field(default=5, gt=0)
    bands: int = Field(default=14, gt=0)
    rows: int = Field(default=8, gt=0)
    seed: int = 1


class Pii(Parameters):
    """What is masked."""

    email: bool = True
    public_ip: bool = True


class Packing(Parameters):
    """Tokenizer size and the text it is trained on, sequence length, strategy, tokens a shard at most, seed."""

    vocabulary: int = Field(default=32768, ge=257)
    tokenizer_sample_bytes: int = Field(default=67108864, gt=0)
    sequence_length: int = Field(default=2048, gt=1, le=1 << 24)
    strategy: Literal["best_fit", "concat"] = "best_fit"
    shard_tokens: int = Field(default=67108864, gt=0)
    seed: int = 1

    @model_validator(mode="after")
    def _holds_a_sequence(self) -> Self:
        if self.shard_tokens < self.sequence_length:
            raise ValueError(f"a shard of {self.shard_tokens} tokens cannot hold a sequence of {self.sequence_length}")
        return self


class Gate(Parameters):
    """A rule over annotations: a document is dropped when `signal operator limit` is true."""

    name: str
    station: str
    signal: str
    operator: Literal["<", "<=", ">", ">="]
    limit: float

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if self.name in OTHER_VERDICTS:
            raise ValueError(f"a gate cannot be called {self.name!r}: that is a verdict of its own")
        if self.signal not in GATED_SIGNALS:
            raise ValueError(
                f"gate {self.name!r} reads {self.signal!r}; the columns are {', '.join(sorted(GATED_SIGNALS))}"
            )
        return self


class Recipe(Parameters):
    """A dataset: the parameters of every station and the ordered gates that decide each document's fate."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str
    extraction: Extraction
    consent: tuple[str, ...] = CONSENT
    """Opt-out signals that are honoured. Unless there are none, a recipe without a consent gate is given one."""
    url_filter: UrlFilter
    language: Language
    gates: tuple[Gate, ...]
    minhash: MinHash = MinHash()
    pii: Pii = Pii()
    packing: Packing = Packing()

    @model_validator(mode="before")
    @classmethod
    def _read_gates(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("gates"), list):
            gates = [gate for group in data["gates"] for gate in _gates_of(group)]
            names = [gate["name"] for gate in gates]
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"gate names are used twice: {', '.join(repeated)}")
            if data.get("consent", CONSENT) and not any(gate["signal"] == "opted_out" for gate in gates):
                gates.insert(0, CONSENT_GATE)
            data = {**data, "gates": gates}
        return data


def _gates_of(group: Any) -> list[dict[str, Any]]:
    if not (isinstance(group, dict) and len(group) == 1):
        raise ValueError(f"a group of gates is `- station: {{gate: signal operator limit}}`, not {group!r}")
    ((station, rules),) = group.items()
    gates = []
    for name, rule in (rules or {}).items():
        match = GATE.match(str(rule))
        if match is None:
            raise ValueError(
                f"gate {name!r} of {station}: {rule!r} is not `signal operator limit`, "
                "for example `language_score < 0.65`"
            )
        gates.append({"name": name, "station": station, **match.groupdict()})
    return gates


def published_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in PUBLISHED.glob("*.yaml"))


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe by its published name or from a YAML file, with some values replaced.

    `overrides` maps a dotted path (`extraction.extractor`, `language.languages`) to a value, or the name of a gate
    to its limit (`language_score`). Raises `RecipeError` when there is no such recipe, key or gate.
    """
    if name in published_recipes():
        text = (PUBLISHED / f"{name}.yaml").read_text()
    elif Path(name).suffix in {".yaml", ".yml"} and Path(name).is_file():
        text = Path(name).read_text()
    else:
        raise RecipeError(
            f"no recipe {name!r}: the published ones are {', '.join(published_recipes())}; "
            "your own is named by the path of its .yaml file"
        )
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{name} holds no recipe: a mapping with name, description, extraction, gates, ...")
    for path, value in (overrides or {}).items():
        _override(data, path, value)
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(str(step) for step in problem['loc']) or 'recipe'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise RecipeError(f"recipe {name} cannot be used:\n{problems}") from error


def _override(data: dict[str, Any], path: str, value: Any) -> None:
    groups = data.get("gates") if path not in Recipe.model_fields else None
    for group in groups if isinstance(groups, list) else []:
        for rules in group.values() if isinstance(group, dict) else []:
            if isinstance(rules, dict) and path in rules:
                match = GATE.match(str(rules[path]))
                if match is None:
                    raise RecipeError(f"gate {path!r} reads {rules[path]!r}, whose limit cannot be replaced")
                rules[path] = f"{match['signal']} {match['operator']} {value}"
                return
    *parents, leaf = path.split(".")
    place: Any = data
    for step in parents:
        place = place.setdefault(step, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise RecipeError(f"{path!r} names neither a parameter nor a gate of the recipe")
    place[leaf] = value
