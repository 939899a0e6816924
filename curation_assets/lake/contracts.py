"""Contracts: what must hold of every row of a table, said beside its schema.

    Contract(
        {"doc": Column(references="documents.doc"), "language": Column(null=True, regex="[a-z]{2,3}"),
         "language_score": Column(least=0, most=1)},
    )

A column that a contract does not name has no nulls, and that is all. The rules of a contract are counted over all rows
in SQL (`metrics`) and judged, with a sample of the rows, by Great Expectations (`expectations`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from curation_assets.lake.query import literal, quoted

Value = str | int

FEW = 100
"""Rows that never break a rule which only most rows must keep."""

Kind = Literal["columns", "rows", "null", "range", "set", "regex", "unique", "reference", "condition"]

VALUE_KINDS: tuple[Kind, ...] = ("null", "range", "set", "regex")
"""Those about the values of one column, each value by itself."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """What holds of the values of one column. Nulls break no other rule than that against nulls."""

    null: bool = False
    """Whether there may be nulls."""
    least: float | None = None
    most: float | None = None
    """Bounds, inclusive; with either, NaN and infinity are out."""
    among: tuple[Value, ...] = ()
    """The values that there may be."""
    regex: str | None = None
    """What the whole of each text is like, in the syntax that RE2 and Python share."""
    mostly: float = 1.0
    """Share of the rows that keep the regex at least; `FEW` may break it in any case. For names that the world gives,
    which may be anything in a single record and not in most."""
    unique: bool = False
    """Whether no value occurs twice in the table."""
    references: str | None = None
    """`input.column`: where each value is found. Where both tables have the same parts, in the part of that name."""
    types: tuple[pa.DataType, ...] = ()
    """The types that it may have, where that is not the schema's alone."""


@dataclass(frozen=True)
class Rule:
    """One proposition of a contract; what breaks it is counted in rows."""

    kind: Kind
    says: str
    """In words: `language_score is from 0 to 1`."""
    columns: tuple[str, ...] = ()
    breaks: str = ""
    """For a rule about single rows, SQL that is true for those that break it."""
    of: Column = Column()
    sampled: bool = False
    """Whether the sample alone is looked at: long texts are not read whole to judge them."""

    def limit(self, rows: int) -> int:
        """The most rows, of so many, that may break it."""
        mostly = self.of.mostly if self.kind == "regex" else 1.0
        return 0 if mostly == 1 else max(FEW, int((1 - mostly) * rows))


@dataclass(frozen=True)
class Contract:
    """What holds of a table."""

    columns: Mapping[str, Column] = field(default_factory=dict)
    key: tuple[str, ...] = ("doc",)
    """The columns that together name a row: no two rows have the same ones."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What holds of each row across columns: a sentence, and SQL that is true or null for a row that keeps it. It may
    read counters, as in `(SELECT value FROM tokenizer_stats WHERE name = 'vocabulary')`."""
    least_rows: int = 0

    def rules(self, schema: pa.Schema) -> list[Rule]:
        """All rules for a table of this schema. Raises `ValueError` when a rule is about a column that it lacks."""
        if unknown := {*self.columns, *self.key} - set(schema.names):
            raise ValueError(f"the contract names columns that the table has not: {', '.join(sorted(unknown))}")
        rules = [
            Rule("columns", f"{found.name} is {_types(found, self.columns.get(found.name, Column()))}", (found.name,))
            for found in schema
        ]
        rules.append(Rule("columns", "there are no other columns"))
        if self.least_rows:
            rules.append(Rule("rows", f"rows are at least {self.least_rows:,}"))
        for found in schema:
            rules += _rules_of(found, self.columns.get(found.name, Column()))
        if not any(self.key == (name,) and column.unique for name, column in self.columns.items()):
            rules.append(Rule("unique", f"{', '.join(self.key)} {_is(self.key)} unique", self.key))
        rules += [
            Rule("condition", says, breaks=f"NOT coalesce({condition}, true)")
            for says, condition in self.conditions.items()
        ]
        return rules


def number(value: float) -> str:
    """A limit as a person writes it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _rules_of(found: pa.Field, column: Column) -> list[Rule]:
    name, at = found.name, quoted(found.name)
    sampled = pa.types.is_large_string(found.type)

    def rule(kind: Kind, says: str, breaks: str = "") -> Rule:
        return Rule(kind, f"{name} {says}", (name,), breaks, column, sampled)

    made = []
    if not column.null:
        made.append(rule("null", "is never null", f"{at} IS NULL"))
    if column.least is not None or column.most is not None:
        bounds = [(">=", column.least), ("<=", column.most)]
        sound = [f"{at} {operator} {limit!r}" for operator, limit in bounds if limit is not None]
        if pa.types.is_floating(found.type):
            sound.append(f"isfinite({at})")
        made.append(rule("range", _range(column), f"NOT ({' AND '.join(sound)})"))
    if column.among:
        values = ", ".join(literal(value) for value in column.among)
        told = ", ".join(f"`{value}`" for value in column.among)
        made.append(rule("set", f"is {'one of ' if len(column.among) > 1 else ''}{told}", f"{at} NOT IN ({values})"))
    if column.regex is not None:
        pattern = literal(column.regex)
        share = "" if column.mostly == 1 else f" in {column.mostly:.0%} of the rows"
        made.append(rule("regex", f"is like `{column.regex}`{share}", f"NOT regexp_full_match({at}, {pattern}, 's')"))
    if column.unique:
        made.append(rule("unique", "is unique"))
    if column.references is not None:
        made.append(rule("reference", f"is in {column.references}"))
    return made


def _range(column: Column) -> str:
    match column.least, column.most:
        case None, most:
            return f"is at most {number(most or 0)}"
        case least, None:
            return f"is at least {number(least)}"
        case least, most:
            return f"is from {number(least)} to {number(most)}"


def _types(found: pa.Field, column: Column) -> str:
    return " or ".join(str(one) for one in column.types or (found.type,))


def _is(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are together"


def each(names: tuple[str, ...] | list[str], column: Column) -> dict[str, Column]:
    """The same for several columns."""
    return dict.fromkeys(names, column)


def spans(column: str, start: str = "start", end: str = "end", least: int = 1) -> dict[str, str]:
    """The condition that the spans of each row follow one another and have `least` bytes or more."""
    at = quoted(column)
    follow = f'range(1, len({at}) + 1), lambda i: {at}[i]."{end}" >= {at}[i]."{start}" + {least}'
    order = f'({at}[i - 1]."{end}" <= {at}[i]."{start}" OR i = 1)'
    says = f"{column} follow one another" + (", none of them empty" if least else "")
    return {says: f"list_bool_and(list_transform({follow} AND {order}))"}
