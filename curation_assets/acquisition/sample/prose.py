"""The sample's prose: hand-written paragraphs with alternatives, told differently on every page.

A file of `prose/` is a topic: `title:` lines, `$slot:` lines that list values, and the sections `@intro`, `@body` and
`@end`, whose paragraphs are parted by blank lines and written one sentence or two to the line. In a line

- `[a|b]` and `<a|b>` stand for one of their alternatives, `<3-9>` for a whole number from 3 to 9,
- `$slot` for a value that stays the same throughout a page; `$person` and `$other` are two people,
- a leading `~` marks a line that is left out on every other page or so.
"""

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TypeVar

T = TypeVar("T")

TOPICS = (
    "harbour", "clocks", "bread", "bicycles", "astronomy", "rivers", "library", "markethall", "allotment",
    "handtools", "weather", "choir", "mathematics", "trains", "bees", "maps", "paper", "wool", "lighthouse",
    "chess", "jam", "bridges", "birds", "sleep", "dictionary", "pottery", "theatre",
)  # fmt: skip
"""English topics, one file each."""

LANGUAGES = ("de", "fr", "es", "ru", "zh", "ja", "ar", "hi")
"""Other languages, one file each."""

_CHOICE = re.compile(r"\[([^\[\]]*)\]|<([^<>]*)>")
_SLOT = re.compile(r"(^|[.?!] )?\$([a-z]+)")
_RANGE = re.compile(r"(\d+)-(\d+)")


class Draw:
    """Choices that depend on nothing but a key.

    Only `random.Random.random` is used: of the module's methods it alone is promised to give the same numbers in
    every version of Python.
    """

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return int(self._random.random() * limit)

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `items`, in their own order."""
        return [items[i] for i in sorted(self.shuffled(range(len(items)))[:count])]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All of `items` in another order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]


@dataclass(frozen=True)
class Topic:
    """One file of `prose/`: titles, slot values, and paragraphs (tuples of lines) by section."""

    titles: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    sections: dict[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class Story:
    """What a page tells: title, author and paragraphs, and the slot values that they share."""

    title: str
    author: str
    paragraphs: tuple[str, ...]
    values: dict[str, str]


@cache
def _text(name: str) -> str:
    return (resources.files("curation_assets.acquisition.sample") / "prose" / name).read_text(encoding="utf-8")


def _values(line: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in line.partition(":")[2].split(" | "))


@cache
def read_topic(name: str) -> Topic:
    """Parse `prose/<name>.txt`."""
    titles: tuple[str, ...] = ()
    slots: dict[str, tuple[str, ...]] = {}
    sections: dict[str, list[tuple[str, ...]]] = {}
    current: list[tuple[str, ...]] = []
    for block in _text(f"{name}.txt").split("\n\n"):
        lines = block.strip().split("\n")
        while lines and lines[0].startswith(("title:", "$", "@")):
            line = lines[0]
            if line.startswith("title:"):
                titles = _values(line)
            elif line.startswith("@"):
                current = sections.setdefault(line[1:], [])
            elif re.match(r"\$[a-z]+:", line):
                slots[line[1 : line.index(":")]] = _values(line)
            else:
                break
            lines = lines[1:]
        if lines:
            current.append(tuple(lines))
    return Topic(titles, slots, {name: tuple(section) for name, section in sections.items()})


@cache
def pieces(section: str) -> tuple[str, ...]:
    """The lines of one section of `prose/pieces.txt`."""
    for block in _text("pieces.txt").split("\n@")[1:]:
        name, *lines = block.split("\n")
        if name == section:
            return tuple(line for line in lines if line)
    raise KeyError(section)


@cache
def comments() -> tuple[str, ...]:
    """What readers write beneath articles, with slots."""
    return tuple(_text("comments.txt").strip().split("\n"))


def page_values(draw: Draw, topic: Topic | None = None) -> dict[str, str]:
    """A value for every slot of `prose/names.txt` and of the topic."""
    slots = {**read_topic("names").slots, **(topic.slots if topic else {})}
    values = {slot: draw.pick(choices) for slot, choices in slots.items()}
    firsts, lasts = (draw.shuffled(slots[slot])[:2] for slot in ("first", "last"))
    people = [f"{first} {last}" for first, last in zip(firsts, lasts, strict=True)]
    return values | {"person": people[0], "other": people[1]}


def tell(line: str, draw: Draw, values: dict[str, str]) -> str:
    """One line with its alternatives chosen and its slots filled."""

    def choose(match: re.Match[str]) -> str:
        span = _RANGE.fullmatch(match[2] or "")
        if span:
            return str(int(span[1]) + draw.below(int(span[2]) - int(span[1]) + 1))
        return draw.pick((match[1] if match[1] is not None else match[2]).split("|"))

    def fill(match: re.Match[str]) -> str:
        value = values[match[2]]
        return value if match[1] is None else match[1] + value[:1].upper() + value[1:]

    text = _SLOT.sub(fill, _CHOICE.sub(choose, line))
    return text[:1].upper() + text[1:]


def paragraph(lines: tuple[str, ...], draw: Draw, values: dict[str, str]) -> str:
    """One paragraph; the lines marked by `~` are in it on every other page."""
    told = [line.removeprefix("~ ") for line in lines if not line.startswith("~") or draw.below(2)]
    return " ".join(tell(line, draw, values) for line in told)


def quartet(way: int) -> list[int]:
    """One of fourteen ways to take four of eight paragraphs; any two ways share none of them or two.

    They are the planes of the affine space of three dimensions over two elements, so that pages of one topic, each
    told in a way of its own, have little text in common.
    """
    return [i for i in range(8) if (i & (way // 2 + 1)).bit_count() % 2 == way % 2]


def story(name: str, draw: Draw, length: int = 4, way: int | None = None) -> Story:
    """A page's worth of a topic: an introduction, some of the body, an end.

    Of the body, the four paragraphs of `quartet(way)`, or `length` of them at random where no way is given.
    """
    topic = read_topic(name)
    values = page_values(draw, topic)
    body = topic.sections["body"]
    chosen = draw.sample(body, length) if way is None else [body[i] for i in quartet(way)]
    if "intro" in topic.sections:
        chosen.insert(0, draw.pick(topic.sections["intro"]))
    chosen.append(draw.pick(topic.sections["end"]))
    title = tell(draw.pick(topic.titles), draw, values)
    return Story(title, values["person"], tuple(paragraph(lines, draw, values) for lines in chosen), values)
