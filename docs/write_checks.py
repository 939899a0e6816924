"""Write docs/checks.md from the stations and their SQL: `python docs/write_checks.py > docs/checks.md`."""

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from curation_assets.checks import HEALTH
from curation_assets.lake.query import statement
from curation_assets.lake.station import Station
from curation_assets.line import Line
from curation_assets.provenance.comparison import comparison_stations
from curation_assets.provenance.drift import CHECKS
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
        if station.name not in kinds or len(station.conservation) > len(kinds[station.name].checks):
            kinds[station.name] = station
    return sorted(kinds.values(), key=lambda station: GROUPS.index(station.group))


DRIFT = """
## Drift

`profile` says in a few hundred rows what a snapshot is like under a recipe: response records by WARC file, losses by
cause, the share that each gate and method drops of what reaches it, languages of all texts and of what is kept, and how
lengths (characters of texts, tokens of what is kept), language scores, the classifier's scores and the signals that
gates read are distributed: in twentieths up to 1, in quarters of an octave above. Five checks compare it with the
profiles of earlier snapshots of the same recipe; profiles that another version of the recipe made are left out. With
nothing to compare with, they pass and say so. Thresholds are [the recipe's](recipes.md#drift).

| check | proposition |
|---|---|
{checks}

**Shares** warn when they leave the recipe's `points` or `factor` *and* the difference is more than 4 standard errors of
a two-proportion test with Yates's correction: by chance once in 30,000 comparisons. The published yield is compared in
the same way, as a proportion that is known exactly; where the recipe's classifier is not given, it is not compared.

**Distributions** and languages are compared by the population stability index. It warns above the recipe's `psi` *and*
above what chance gives it: between samples of n and m documents in k classes the index is distributed as chi-squared
with k - 1 degrees of freedom, times 1/n + 1/m (Yurdakul 2018, *Statistical Properties of Population Stability Index*);
the bound is as rare as 4 standard errors. Classes with fewer than 5 expected documents are joined (Cochran 1954).

Documents count as independent, which those of one site are not quite: on a sample of few WARC files a threshold may
be passed by one large site. These checks never block: they are Dagster checks with severity WARN, with one evaluation a
snapshot, and the numbers in their metadata are plotted over the runs. No asset has an automation condition, and the
schedule starts whole runs; who adds one should add `AutomationCondition.all_deps_blocking_checks_passed()`, though a
station that broke a check has published nothing that could be read.
"""

HEALTHY = """
## Health

Two checks of `warc_files` look, with every run and also alone, whether source and lake can take a run, as
[`curation health`](operations.md#before-something-long) does. They warn and stop nothing.

| check | proposition |
|---|---|
{checks}
"""

GROUPS = ("acquisition", "filtering", "deduplication", "provenance", "selection", "packing")


def edges(listed: Iterable[Station]) -> Iterator[str]:
    """A row of the table for each station."""
    for station in listed:
        sources = dict.fromkeys(key[-1] for key in station.sources.values())
        guards = [
            ", ".join(f"`{check.name}`" for check in station.conservation if quantity in conserves(check.name))
            for quantity in QUANTITIES
        ]
        yield f"| {' | '.join([station.name, ', '.join(sources) or 'the source', *guards])} |"


def write() -> str:
    """The page."""
    listed = stations()
    checks = {check.name: check.description for station in listed for check in station.conservation}
    table = "\n".join(edges(listed))
    told = "\n".join(f"| `{name}` | {description} |" for name, description in sorted(checks.items()))
    drift = "\n".join(f"| `{name}` | {description} |" for name, description in CHECKS.items())
    propositions = f"## What each check says\n\n| check | proposition |\n|---|---|\n{told}\n"
    health = "\n".join(f"| `{name}` | {description} |" for name, description in HEALTH.items())
    return f"{HEAD}{table}\n\n{propositions}{DRIFT.format(checks=drift)}{HEALTHY.format(checks=health)}"


if __name__ == "__main__":
    sys.stdout.write(write())
