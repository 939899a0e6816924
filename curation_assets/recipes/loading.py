"""Recipes from YAML: published ones by name, a person's own by path, with what they extend and what is replaced."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from curation_assets.recipes.recipe import GATE, METHODS, Gate, Recipe, complete

PUBLISHED = Path(__file__).parent
SUFFIXES = {".yaml", ".yml"}


class RecipeError(Exception):
    """A recipe cannot be used; the message names the file, the line in it and what is allowed there."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is written twice is an error: of two gates of one name the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises `yaml.YAMLError` for a repeated key."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def published_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in PUBLISHED.glob("*.yaml"))


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe by its published name or from a YAML file, with some values replaced.

    A file may say `extends: NAME` (a published name, or a path beside it): it then holds only what differs. Mappings
    are merged, anything else replaces, and of `signals` and `line_edits` a mapping changes the preset that is named
    there unless it names one itself; a bare name in `stations` stands for the station of that name there, and `set:`
    replaces single values as `overrides` does.

    `overrides` maps a dotted path (`extraction.extractor`, `minhash_duplicates.bands`) to a value, or the name of a
    gate (`language_score`) to its limit, to a rule of its own (`language_score <= 0.7`), or to null to leave it out.

    Raises `RecipeError` when there is no such recipe, key or gate.
    """
    path = _path(name, Path())
    text = _text(path)
    data = _read(path, text, seen=())
    for place, value in (overrides or {}).items():
        _override(data, place, value)
    own = data.get("name")
    if own in published_recipes() and path != PUBLISHED / f"{own}.yaml":
        raise RecipeError(
            f"{name}: {own!r} is the name of a published recipe, whose tables yours would replace; "
            "give yours another `name`"
        )
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = "\n".join(f"  {problem}" for problem in _problems(error, data, text))
        raise RecipeError(f"recipe {name} cannot be used:\n{problems}") from error


def _path(name: str, beside: Path) -> Path:
    if name in published_recipes():
        return PUBLISHED / f"{name}.yaml"
    path = beside / name
    if path.suffix in SUFFIXES and path.is_file():
        return path
    if path.suffix in SUFFIXES:
        raise RecipeError(f"recipe {path}: there is no such file")
    raise RecipeError(
        f"no recipe {name!r}: the published ones are {', '.join(published_recipes())}; "
        "your own is named by the path of its .yaml file"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error


def _read(path: Path, text: str, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The mapping in a file, over what it extends."""
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path} holds no recipe: a mapping with name, description, extraction, stations, ...")
    changes = data.pop("set", None) or {}
    if not isinstance(changes, dict):
        raise RecipeError(f"{path}: `set` maps dotted paths and gates to values, and is {changes!r}")
    parent = data.pop("extends", None)
    if parent is not None:
        extended = _path(str(parent), path.parent).resolve()
        if extended in seen:
            raise RecipeError(f"{path} extends itself by way of {', '.join(str(one) for one in seen)}")
        base = _read(extended, _text(extended), (*seen, path.resolve()))
        for own in ("name", "published_yield"):
            base.pop(own, None)
        if isinstance(data.get("stations"), list):
            known = {next(iter(station)): station for station in base.get("stations", ()) if isinstance(station, dict)}
            data["stations"] = [
                known.get(station, station) if isinstance(station, str) else station for station in data["stations"]
            ]
        data = _merged(base, data)
    for place, value in changes.items():
        _override(data, str(place), value)
    return data


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    base = {key: {"preset": value} if _is_preset(key, value) and key in own else value for key, value in base.items()}
    return base | {
        key: _merged(base[key], value)
        if isinstance(value, dict) and isinstance(base.get(key), dict) and "preset" not in value
        else value
        for key, value in own.items()
    }


def _is_preset(key: str, value: Any) -> bool:
    """Whether a value is the name of a preset, which a mapping changes and does not replace."""
    return key in ("signals", "line_edits") and isinstance(value, str)


def _stations(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each station that is written as it must be."""
    stations = data.get("stations")
    for entry in stations if isinstance(stations, list) else []:
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, content),) = entry.items()
            if content is None and name in METHODS:
                content = entry[name] = {}
            if isinstance(content, dict):
                yield name, content


def _override(data: dict[str, Any], place: str, value: Any) -> None:
    if place in Recipe.model_fields:
        data[place] = value
        return
    *parents, leaf = place.split(".")
    for name, content in _stations(data):
        if name in METHODS and parents == [name]:
            content[leaf] = value
            return
        if name not in METHODS and not parents and leaf in content:
            if value is None:
                del content[leaf]
            elif isinstance(value, str) and GATE.match(value):
                content[leaf] = value
            else:
                try:
                    gate = Gate.model_validate({"name": leaf, "rule": content[leaf]})
                except ValidationError as error:
                    raise RecipeError(
                        f"gate {leaf!r} reads {content[leaf]!r}, whose limit cannot be replaced"
                    ) from error
                content[leaf] = f"{gate.signal} {gate.operator} {value}"
            return
    target: Any = data
    if parents and _is_preset(parents[0], data.get(parents[0])):
        data[parents[0]] = {"preset": data[parents[0]]}
    for step in parents:
        target = target.setdefault(step, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise RecipeError(f"{place!r} names neither a parameter nor a gate of the recipe")
    target[leaf] = value


def _problems(error: ValidationError, data: dict[str, Any], text: str) -> Iterator[str]:
    """What is wrong, where it stands in the file, and what is allowed there."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for problem in error.errors():
        place = _place(list(problem["loc"]), data)
        line = _line(root, place)
        where = ".".join(str(step) for step in place) or "recipe"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"there is no such key; the keys are {', '.join(_keys(list(problem['loc'][:-1])))}"
            if len(place) == 1:
                gates = [gate for name, content in _stations(data) if name not in METHODS for gate in content]
                near = difflib.get_close_matches(str(place[0]), gates, n=1)
                listed = f"did you mean the gate {near[0]}?" if near else f"the gates are {', '.join(gates)}"
                message = f"{message}; {listed}"
        yield f"{f'line {line}, ' if line else ''}{where}: {message}"


def _place(loc: list[Any], data: dict[str, Any]) -> list[Any]:
    """The keys by which a file leads to a part of the validated recipe."""
    if loc[:1] != ["stations"] or len(loc) < 2:
        return loc
    station = complete(data)["stations"][loc[1]]
    if not (isinstance(station, dict) and "name" in station):
        return ["stations", data["stations"].index(station)]
    inner = loc[3:] if loc[2:3] == ["gates"] else loc[4:]
    if inner[:1] == ["gates"]:
        inner = [station["gates"][inner[1]]["name"]] if len(inner) > 1 else []
    return ["stations", station["name"], *inner]


def _line(node: yaml.Node | None, place: list[Any]) -> int | None:
    """The line, from 1, of the innermost part of a place that the file itself holds; None for what it lacks."""
    line = None
    for step in place:
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            pairs = node.value
        elif isinstance(node, yaml.SequenceNode):
            if isinstance(step, int) and step < len(node.value):
                return node.value[step].start_mark.line + 1
            pairs = [pair for entry in node.value if isinstance(entry, yaml.MappingNode) for pair in entry.value]
        found = next(((key, value) for key, value in pairs if key.value == step), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _keys(loc: list[Any]) -> list[str]:
    """The keys that are allowed at a place."""
    model: type[BaseModel] = Recipe
    for step in loc:
        if step in METHODS:
            model = METHODS[step]
        elif isinstance(step, str) and step in model.model_fields:
            annotation = model.model_fields[step].annotation
            for candidate in (annotation, *get_args(annotation)):
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    model = candidate
    return sorted(set(model.model_fields) - {"name"} if model in METHODS.values() else model.model_fields)
