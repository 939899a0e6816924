"""Recipes from YAML: published ones by name, a person's own by path, with what they extend and what is replaced."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from curation_assets.recipes.located import Entries, Located, Place, locate, read_located
from curation_assets.recipes.recipe import GATE, METHODS, Gate, Misfit, Recipe, complete

PUBLISHED = Path(__file__).parent
SUFFIXES = {".yaml", ".yml"}


class RecipeError(Exception):
    """A recipe cannot be used; the message names the file, the line in it and what is allowed there."""


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
    data = _read(path, seen=())
    for target, value in (overrides or {}).items():
        _override(data, target, value, Place())
    own = data.get("name")
    if own in published_recipes() and path != PUBLISHED / f"{own}.yaml":
        raise RecipeError(
            f"{name}: {own!r} is the name of a published recipe, whose tables yours would replace; "
            "give yours another `name`"
        )
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        problems = "\n".join(f"  {problem}" for problem in _problems(error, data, path))
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


def _read(path: Path, seen: tuple[Path, ...]) -> Located:
    """The mapping in a file, over what it extends."""
    try:
        data = read_located(_text(path), path)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, Located):
        raise RecipeError(f"{path} holds no recipe: a mapping with name, description, extraction, stations, ...")
    changes = data.pop("set", None) or Located()
    if not isinstance(changes, Located):
        raise RecipeError(f"{path}: `set` maps dotted paths and gates to values, and is {changes!r}")
    parent = data.pop("extends", None)
    if parent is not None:
        extended = _path(str(parent), path.parent).resolve()
        if extended in seen:
            raise RecipeError(f"{path} extends itself by way of {', '.join(str(one) for one in seen)}")
        base = _read(extended, (*seen, path.resolve()))
        for own in ("name", "published_yield"):
            base.pop(own, None)
        if isinstance(data.get("stations"), Entries):
            known = {next(iter(station)): station for station in base.get("stations", ()) if isinstance(station, dict)}
            for station, place in zip(data["stations"], data["stations"].places, strict=True):
                if isinstance(station, str) and station not in known:
                    raise RecipeError(
                        f"{path} line {place.line}: {parent} has no station {station!r}; "
                        f"its stations are {', '.join(known)}"
                    )
            data["stations"][:] = [
                known[station] if isinstance(station, str) else station for station in data["stations"]
            ]
            kept = {name for name, _ in _stations(data)}
            for gone in set(base.get("out_of_order", ())) - kept:
                del base["out_of_order"][gone]
        data = _merged(base, data)
    for target, value in changes.items():
        _override(data, str(target), value, changes.places.get(target, Place()))
    return data


def _merged(base: Located, own: Located) -> Located:
    merged = Located(base)
    for key, value in own.items():
        under = base.get(key)
        if _is_preset(key, under):
            under = Located({"preset": under}, {"preset": base.places[key]})
        if isinstance(value, Located) and isinstance(under, Located) and "preset" not in value:
            value = _merged(under, value)
        merged.put(key, value, own.places[key])
    return merged


def _is_preset(key: str, value: Any) -> bool:
    """Whether a value is the name of a preset, which a mapping changes and does not replace."""
    return key in ("signals", "line_edits") and isinstance(value, str)


def _stations(data: Located) -> Iterator[tuple[str, Any]]:
    """Name and content of each station that is written as it must be."""
    stations = data.get("stations")
    for entry in stations if isinstance(stations, list) else []:
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, content),) = entry.items()
            if content is None and name in METHODS:
                content = entry[name] = Located()
            if isinstance(content, dict):
                yield name, content


def _override(data: Located, target: str, value: Any, place: Place) -> None:
    if target in Recipe.model_fields:
        data.put(target, value, place)
        return
    *parents, leaf = target.split(".")
    for name, content in _stations(data):
        if name in METHODS and parents == [name]:
            content.put(leaf, value, place)
            return
        if name not in METHODS and not parents and leaf in content:
            if value is None:
                del content[leaf]
            elif isinstance(value, str) and GATE.match(value):
                content.put(leaf, value, place)
            else:
                try:
                    gate = Gate.model_validate({"name": leaf, "rule": content[leaf]})
                except ValidationError as error:
                    raise RecipeError(
                        f"gate {leaf!r} reads {content[leaf]!r}, whose limit cannot be replaced"
                    ) from error
                content.put(leaf, f"{gate.signal} {gate.operator} {value}", place)
            return
    if parents and _is_preset(parents[0], data.get(parents[0])):
        data[parents[0]] = Located({"preset": data[parents[0]]}, {"preset": data.places.get(parents[0], Place())})
    content: Any = data
    for step in parents:
        if isinstance(content, Located) and step not in content:
            content.put(step, Located(), place)
        content = content[step] if isinstance(content, Located) else None
    if not isinstance(content, Located):
        raise RecipeError(f"{target!r} names neither a parameter nor a gate of the recipe")
    content.put(leaf, value, place)


MESSAGES = {
    "tuple_type": "a list is needed, such as [a, b], not {input!r}",
    "string_pattern_mismatch": "{input!r} is no name: lower-case letters, digits and _, and a letter first",
}
"""What is said in place of Pydantic's words, by type of error."""


def _problems(error: ValidationError, data: Located, path: Path) -> Iterator[str]:
    """What is wrong, where it was written, and what is allowed there."""
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error")
        place = list(cause.place) if isinstance(cause, Misfit) else _place(list(problem["loc"]), data)
        file, line = locate(data, place)
        where = ".".join(str(step) for step in place) or "recipe"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] in MESSAGES:
            message = MESSAGES[problem["type"]].format(input=problem["input"])
        if problem["type"] == "extra_forbidden":
            message = f"there is no such key; the keys are {', '.join(_keys(list(problem['loc'][:-1])))}"
            if len(place) == 1:
                gates = [gate for name, content in _stations(data) if name not in METHODS for gate in content]
                near = difflib.get_close_matches(str(place[0]), gates, n=1)
                listed = f"did you mean the gate {near[0]}?" if near else f"the gates are {', '.join(gates)}"
                message = f"{message}; {listed}"
        of_file = "" if file is None or file.resolve() == path.resolve() else f" of {file}"
        yield f"{f'line {line}{of_file}, ' if line else ''}{where}: {message}"


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
