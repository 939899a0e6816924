"""YAML that remembers where each key and each entry stands, so that an error can name the line."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Place(NamedTuple):
    """Where something was written: a file and a line of it, from 1, or neither where it was set by a caller."""

    file: Path | None = None
    line: int | None = None


class Located(dict[Any, Any]):
    """A mapping that knows where each of its keys was written."""

    def __init__(self, content: Mapping[Any, Any] = {}, places: Mapping[Any, Place] | None = None) -> None:
        super().__init__(content)
        given = places if places is not None else content.places if isinstance(content, Located) else {}
        self.places: dict[Any, Place] = dict(given)

    def put(self, key: Any, value: Any, place: Place) -> None:
        """Set a key, and say where that was asked for."""
        self[key] = value
        self.places[key] = place


class Entries(list[Any]):
    """A list that knows where each of its entries was written."""

    def __init__(self, content: Iterable[Any], places: Iterable[Place]) -> None:
        super().__init__(content)
        self.places = list(places)


def read_located(text: str, file: Path) -> Any:
    """Parse YAML, every mapping as `Located` and every list as `Entries`.

    Raises `yaml.YAMLError` for what is no YAML, and for a key that is written twice in one mapping: of two gates of
    one name the first would be lost.
    """

    class Loader(yaml.SafeLoader):
        pass

    def place(node: yaml.Node) -> Place:
        return Place(file, node.start_mark.line + 1)

    def mapping(loader: Loader, node: yaml.MappingNode) -> Located:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        loader.flatten_mapping(node)
        return Located(
            loader.construct_mapping(node, deep=True),
            {loader.construct_object(key, deep=True): place(key) for key, _ in node.value},
        )

    def entries(loader: Loader, node: yaml.SequenceNode) -> Entries:
        return Entries(loader.construct_sequence(node, deep=True), map(place, node.value))

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:seq", entries)
    return yaml.load(text, Loader)


def locate(data: Any, path: Iterable[Any]) -> Place:
    """Where the innermost part of a path was written that the data itself holds.

    A station is found in the list of stations by its name.
    """
    found = Place()
    for step in path:
        if isinstance(data, Entries):
            if isinstance(step, int) and step < len(data):
                found, data = data.places[step], data[step]
                continue
            data = next((entry for entry in data if isinstance(entry, Located) and step in entry), None)
        if not (isinstance(data, Located) and step in data):
            break
        found, data = data.places.get(step, Place()), data[step]
    return found
