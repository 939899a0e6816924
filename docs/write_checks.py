"""Write docs/checks.md from the stations and their SQL: `python docs/write_checks.py > docs/checks.md`."""

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from curation_assets.lake.query import statement
from curation_assets.lake.station import Station
from curation_assets.line import Line
from curation_assets.provenance.comparison import comparison_stations
from curation_assets.recipes.loading import published_recipes
from curation_assets.settings import Settings

ROOT = Path(__file__).parents[1]
EVERY_METHOD = ROOT / "curation_tests" / "every_method.yaml"
QUANTITIES = ("rows", "bytes", "tokens")
HEAD = """# Checks

Written by `docs/write_checks.py` from the stations and from `sql/checks/`, where each check is one statement that says
what it conserves.

A station writes to a staging folder, its checks are evaluated there, and only then is the partition published: what
breaks a check is never seen downstream, neither by the same run nor by a backfill or an automation condition, which
would run past a check of Dagster's own. `curation_tests` puts the fault that each check is there for into real tables
and counters, and sees it found.

## What crosses an edge

Every table of every published recipe, of all methods, and of the comparison of recipes. An empty cell: the table
neither holds nor changes such a thing. Edits (line edits, masks, repairs, cuts) are spans: what they do to the bytes of
a text is checked where they are applied, in `corpus`; what they leave of the texts that were compared, where they are
decided.

| table | made from | rows | bytes | tokens |
|---|---|---|---|---|
"""


def conserves(check: str) -> tuple[str, ...]:
    """Which of `QUANTITIES` a check says it conserves."""
    found = re.search(r"^-- Conserves: (.*)\.$", statement(f"checks/{check}"), re.MULTILINE)
    return tuple(found[1].split(", ")) if found else ()


def stations() -> list[Station]:
    """Each kind of station once, with the most checks that it has in any recipe."""
    lines = [Line(Settings(recipe=recipe)) for recipe in (*published_recipes(), str(EVERY_METHOD))]
    kinds: dict[str, Station] = {}
    for station in chain(*(line.stations for line in lines), comparison_stations([line.recipe for line in lines[:2]])):
        if station.name not in kinds or len(station.checks) > len(kinds[station.name].checks):
            kinds[station.name] = station
    return sorted(kinds.values(), key=lambda station: GROUPS.index(station.group))


GROUPS = ("acquisition", "filtering", "deduplication", "provenance", "selection", "packing")


def edges(listed: Iterable[Station]) -> Iterator[str]:
    """A row of the table for each station."""
    for station in listed:
        sources = dict.fromkeys(key[-1] for key in station.sources.values())
        guards = [
            ", ".join(f"`{check.name}`" for check in station.checks if quantity in conserves(check.name))
            for quantity in QUANTITIES
        ]
        yield f"| {' | '.join([station.name, ', '.join(sources) or 'the source', *guards])} |"


def write() -> str:
    """The page."""
    listed = stations()
    checks = {check.name: check.description for station in listed for check in station.checks}
    table = "\n".join(edges(listed))
    told = "\n".join(f"| `{name}` | {description} |" for name, description in sorted(checks.items()))
    return f"{HEAD}{table}\n\n## What each check says\n\n| check | proposition |\n|---|---|\n{told}\n"


if __name__ == "__main__":
    sys.stdout.write(write())
