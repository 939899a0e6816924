"""Write the contracts from the stations themselves: `python docs/write_contracts.py > docs/contracts.md`."""

import sys
from pathlib import Path

from curation_assets.lake.checks import ContractCheck
from curation_assets.lake.station import Station
from curation_assets.line import Line
from curation_assets.settings import Settings

EVERY_METHOD = Path(__file__).parents[1] / "curation_tests" / "every_method.yaml"

INTRODUCTION = """# Contracts

What must hold of each table before it is published. Written by `docs/write_contracts.py` from the stations
themselves: the `fineweb` recipe, then what only other methods have.

A station writes into a staging folder, is judged there, and publishes only what keeps its contract and its
conservation checks; else nothing of it is seen by anything downstream, whether a run, a backfill or an automation
condition asks. In Dagster both are asset checks. `contract_holds` lists the rules that are broken, how many rows
break each, what was observed, and the keys of the first twenty.

How a rule is judged:

- **All rows**, in SQL: DuckDB counts the rows that break each rule in one pass (references and distinct keys too), a
  quarter of a million rows at a time, so that memory does not grow with the table. The counts are the *metrics frame*,
  one row a pass. A key is unique when it is in each pass and the passes' ranges of keys follow one another.
- **A sample** of at most 10,000 rows, the same for the same files: row groups, evenly spread over the parts; of their
  columns the key and those that a rule is about. Long texts (`large_string`) are judged in it alone, and cut to 200
  characters; that none is missing the conservation checks count.

Conservation checks that match rows with those of other tables do it for as many parts at a time, with the counters of
these parts, where the tables have the same parts.

Both frames are judged by Great Expectations, by a suite each; the counts first all together, and rule by rule where
they do not add up to nothing. `curation contract documents` prints a table's rules with what was found, and `curation
contract documents --data-docs folder` writes Great Expectations' pages about them.
The library's pages would load styles, fonts and scripts from seven hosts, and write values as they are, markup or not.
Here these are taken out, a content security policy forbids any other, and the pages show no value of the sample.

{cost}

A name that the world gives, such as a record id, may be anything in one record: 10 % of the rows may break such a rule,
and 100 in any case. What may be null has no rule against it.
"""

COST = """What it costs for a million rows of `signals` (36 columns, 81 rules): 2.4 s of CPU, 0.2 s of them in Great
Expectations, which would take 5.7 s and a frame in memory to judge the whole table by those of the rules that it
knows. Importing it costs 1.3 s and 100 MB once a process, and nothing where everything is up to date: what was found
is kept beside the data. Run `benchmarks/contracts.py` for your machine."""


def write(line: Line, more: Line) -> str:
    """All contracts of a recipe, and those of the tables that only `more` has, as Markdown."""
    parts = [INTRODUCTION.format(cost=COST)]
    named: set[str] = set()
    for station in [*line.stations, *more.stations]:
        if station.name not in named:
            named.add(station.name)
            parts += [_section(station)] if station.schema is not None else []
    return "\n".join(parts)


def _section(station: Station) -> str:
    (check,) = [check for check in station.checks if isinstance(check, ContractCheck)]
    lines = [f"## {station.name}", "", "| rule | judged on |", "|---|---|"]
    for rule in check.rules:
        if rule.kind != "columns":
            says = rule.says.replace("|", "\\|")
            lines.append(f"| {says} | {'a sample' if rule.sampled else 'all rows'} |")
    conserved = [f"- `{one.name}`: {one.description}" for one in station.conservation]
    return "\n".join([*lines, "", *conserved, ""] if conserved else [*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(write(Line(Settings()), Line(Settings(recipe=str(EVERY_METHOD)))))
