"""Checks: what must be true of a staged partition before it may be published, and what was found.

There are two kinds. A station's contract is what must hold of its table by itself (and that it refers to rows which
exist); `contracts`, `metrics` and `expectations` judge it. A conservation check is one SQL statement over the table
and its inputs. What was found is kept beside the data, so that nothing is judged twice.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation_assets.lake.contracts import Contract, Rule, number
from curation_assets.lake.expectations import Frames, broken
from curation_assets.lake.lake import (
    CHECKS,
    Manifest,
    Partition,
    Stats,
    added,
    file_size,
    fingerprint,
    write_atomically,
)
from curation_assets.lake.metrics import SHOWN_ROWS, Table, differences, failing, metrics, sample, shown
from curation_assets.lake.query import Source, connection, execute, named, source, statement


@dataclass(frozen=True)
class Check:
    """A proposition about a staged partition, decided by one SQL statement of `sql/checks`.

    The statement sees as views every input and its counters (`<input>_stats`), of shared inputs the counters alone,
    the station's own table (`this`), its counters (`stats`) and its files as they lie on disk (`files`). It returns
    one row whose column `passed` is the verdict; the other columns are kept as evidence.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    by_parts: tuple[str, ...] | None = None
    """For one that holds of a table when it holds of each part, and whose evidence are numbers that add up: the inputs
    whose part of the same name it looks at. A large table is then judged a few parts at a time."""

    @property
    def sql(self) -> str:
        """The statement: `sql/checks/<name>.sql`."""
        return f"checks/{self.name}"

    @property
    def identity(self) -> list[Any]:
        """What decides its verdict on the same data."""
        return [self.name, statement(self.sql), dict(self.parameters)]


@dataclass(frozen=True)
class ContractCheck(Check):
    """The proposition that a table keeps its contract."""

    contract: Contract = field(default_factory=Contract)
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @property
    def rules(self) -> list[Rule]:
        """What the contract says, rule by rule."""
        return self.contract.rules(self.schema)

    @property
    def identity(self) -> list[Any]:
        """The rules, and what each is decided by."""
        return [self.name, [[rule.kind, rule.says, rule.breaks] for rule in self.rules]]


def contract_check(contract: Contract, schema: pa.Schema) -> ContractCheck:
    """The check of a contract, described by all its rules."""
    check = ContractCheck("contract_holds", "", contract=contract, schema=schema)
    rules = [rule for rule in check.rules if rule.kind != "columns"]
    told = [
        "The columns and their types are as declared, and every rule of the contract holds:",
        "",
        *(f"- {rule.says}" for rule in rules),
    ]
    return ContractCheck(check.name, "\n".join(told), contract=contract, schema=schema)


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    check: Check
    passed: bool
    evidence: dict[str, Any]
    """Values that can be JSON; of a contract, tables as lists of rows too: `rules`, and `broken` where it is."""

    @property
    def told(self) -> str:
        """The evidence in one line."""
        if "broken" not in self.evidence:
            return f"{self.check.name} {self.evidence}"
        reasons = [
            f"{row['rule']} ({row['rows that break it']:,} rows break it"
            + (f", observed {row['observed']}" if row["observed"] else "")
            + (f": {row['keys']}" if row["keys"] else "")
            + ")"
            for row in self.evidence["broken"]
        ]
        return f"{self.check.name}: {'; '.join(reasons)}"


class CheckFailed(Exception):
    """A staged partition broke a check and was not published."""

    def __init__(self, partition: str, failed: Sequence[CheckResult]) -> None:
        self.failed = failed
        reasons = "; ".join(result.told for result in failed)
        super().__init__(f"{partition} was not published, its data broke a check: {reasons}")


@dataclass(frozen=True)
class Judged:
    """The data that checks are about."""

    paths: Sequence[Path]
    """The files where they lie now."""
    manifest: Manifest
    inputs: Mapping[str, Partition]
    """Every table that it is made from."""
    read: Sequence[str]
    """Those of them whose rows checks may see; of the others they see the counters."""

    @property
    def stats(self) -> dict[str, pa.Table]:
        """Views of all counters."""
        found = {f"{name}_stats": stats_view(one.manifest().stats) for name, one in self.inputs.items()}
        return {**found, "stats": stats_view(self.manifest.stats)}

    @property
    def table(self) -> Table:
        """As contracts see it."""
        return Table(
            self.paths,
            {file.name: file.rows for file in self.manifest.files},
            {name: self.inputs[name].paths() for name in self.read},
            self.stats,
        )

    @property
    def views(self) -> dict[str, Source]:
        """As the statements of conservation see it."""
        views: dict[str, Source] = {name: source(self.inputs[name].paths()) for name in self.read}
        return {**views, **self.stats, "this": source(self.paths), "files": _sizes(self.paths)}

    def passes(self, inputs: tuple[str, ...]) -> Iterator[dict[str, Source]]:
        """The table and some inputs a few parts at a time, at most `PASS_ROWS` rows, with the counters of those parts;
        all at once where one of the inputs has other parts."""
        own = {path.stem for path in self.paths}
        paths = {name: {path.stem: path for path in self.inputs[name].paths()} for name in inputs}
        if any(found.keys() != own for found in paths.values()):
            yield self.views
            return
        manifests = {"stats": self.manifest} | {f"{name}_stats": self.inputs[name].manifest() for name in inputs}
        counters = {name: _counters(manifest) for name, manifest in manifests.items()}
        for taken in self.table.passes():
            stems = [path.stem for path in taken]
            views: dict[str, Source] = {name: source([found[stem] for stem in stems]) for name, found in paths.items()}
            for name, found in counters.items():
                views[name] = stats_view(added(found[stem] for stem in stems)) if found else self.stats[name]
            yield {**self.stats, **views, "this": source(taken), "files": _sizes(taken)}


def _sizes(paths: Sequence[Path]) -> pa.Table:
    sizes = [max(file_size(path), 0) for path in paths]
    return pa.table(
        {"name": pa.array([path.name for path in paths], pa.string()), "bytes": pa.array(sizes, pa.int64())}
    )


def _counters(manifest: Manifest) -> dict[str, Stats] | None:
    """The counters of each part; None where the partition's are not their sum."""
    if added(file.stats for file in manifest.files) != manifest.stats:
        return None
    return {Path(file.name).stem: file.stats for file in manifest.files}


def stats_view(stats: Stats) -> pa.Table:
    """Counters as checks see them: name, value."""
    return pa.table({"name": pa.array(list(stats), pa.string()), "value": pa.array(list(stats.values()), pa.int64())})


def judge(checks: Sequence[Check], data: Judged) -> list[CheckResult]:
    """Decide all checks. A table that has not its columns is told so, and nothing else is asked of it."""
    results = []
    for check in checks:
        if isinstance(check, ContractCheck):
            results.append(judge_contract(check, data.table))
            if not results[-1].passed and results[-1].evidence["columns_differ"]:
                return results
    stated = [check for check in checks if not isinstance(check, ContractCheck)]
    small = len(list(data.table.passes())) < 2
    rows: dict[str, list[dict[str, Any]]] = {check.name: [] for check in stated}
    alike: dict[tuple[str, ...] | None, list[Check]] = {}
    for check in stated:
        alike.setdefault(None if small else check.by_parts, []).append(check)
    for inputs, asked in alike.items():
        texts = [f"{statement(check.sql)} {check.parameters}" for check in asked]
        for views in [data.views] if inputs is None else data.passes(inputs):
            with connection(named(views, texts)) as con:
                for check in asked:
                    rows[check.name] += execute(con, check.sql, check.parameters).to_pylist()
    return results + [CheckResult(check, *_verdict(rows[check.name])) for check in stated]


def _verdict(rows: Sequence[dict[str, Any]]) -> tuple[bool, dict[str, Any]]:
    """Whether a check passed in all its passes, and its evidence."""
    verdicts = [bool(row.pop("passed")) for row in rows]
    return all(verdicts), rows[0] if len(rows) == 1 else {name: sum(row[name] for row in rows) for name in rows[0]}


def frames(check: ContractCheck, table: Table) -> tuple[Frames, dict[str, str]]:
    """What a contract is judged by; and the columns that are not as declared, without which nothing is counted."""
    rules = check.rules
    differ = differences(table, check.contract, check.schema)
    counted = pa.table({"rows": [sum(table.rows[path.name] for path in table.data())]})
    taken = pa.table({})
    if not differ:
        counted = metrics(table, rules, check.schema)
        taken = sample(table, check.contract, check.schema)
    rows = sum(counted["rows"].to_pylist())
    for rule in rules:
        wrong = 0
        if rule.kind == "columns":
            others = differ.keys() - set(check.schema.names)
            wrong = rule.columns[0] in differ if rule.columns else len(others)
        elif rule.kind == "rows":
            wrong = rows < check.contract.least_rows
        elif rule.says in counted.column_names:
            continue
        counted = counted.append_column(rule.says, pa.array([int(wrong)] * counted.num_rows, pa.int64()))
    return Frames(counted, taken), differ


def judge_contract(check: ContractCheck, table: Table) -> CheckResult:
    """Decide a contract. Evidence of each broken rule are the keys of the first rows that break it."""
    judged, differ = frames(check, table)
    rules = check.rules
    counted, sampled = broken(rules, judged)
    listed = [
        {
            "rule": rule.says,
            "looked at": "sample" if rule.sampled else "all rows",
            "observed": _observed(rule, judged.metrics, differ, check.schema),
            "rows that break it": counted.get(rule.says, len(sampled.get(rule.says, []))),
        }
        for rule in rules
    ]
    evidence: dict[str, Any] = {
        "rows": judged.rows,
        "sampled_rows": judged.sample.num_rows,
        "rules_broken": len({*counted, *sampled}),
        "columns_differ": len(differ),
        "rules": listed,
    }
    if counted or sampled:
        evidence["broken"] = [
            row | _named(rule, check.contract, table, judged.sample, sampled.get(rule.says))
            for rule, row in zip(rules, listed, strict=True)
            if rule.says in counted or rule.says in sampled
        ]
    return CheckResult(check, not (counted or sampled), evidence)


def _observed(rule: Rule, counted: pa.Table, differ: Mapping[str, str], schema: pa.Schema) -> str:
    """What was measured for a rule beside the rows that break it: a range, a column's type."""
    if rule.kind == "columns":
        others = ", ".join(name for name in differ if name not in schema.names)
        return differ.get(rule.columns[0], "") if rule.columns else others
    if rule.kind == "rows":
        return f"{sum(counted['rows'].to_pylist()):,}"
    if rule.kind != "range":
        return ""
    bounds = [
        [value for value in counted[f"{which} {rule.columns[0]}"].to_pylist() if value is not None]
        for which in ("least", "most")
        if f"{which} {rule.columns[0]}" in counted.column_names
    ]
    return f"{number(min(bounds[0]))} to {number(max(bounds[1]))}" if bounds and all(bounds) else ""


def _named(rule: Rule, contract: Contract, table: Table, taken: pa.Table, places: list[int] | None) -> dict[str, Any]:
    """The rows that break a rule, by key, and the values that do it."""
    if rule.kind in ("columns", "rows"):
        return {"keys": "", "values": ""}
    rows: list[dict[str, Any]]
    if places is not None and rule.sampled:
        names = [name for name in dict.fromkeys((*contract.key, *rule.columns)) if name in taken.column_names]
        rows = taken.select(names).take(places[:SHOWN_ROWS]).to_pylist()
    else:
        rows = failing(table, rule, contract)
    keys = ["; ".join(f"{name} {shown(row[name])}" for name in contract.key) for row in rows]
    others = [name for name in rule.columns if name not in contract.key]
    values = ["; ".join(repr(shown(row[name])) for name in others) for row in rows] if others else []
    return {"keys": ", ".join(keys), "values": ", ".join(dict.fromkeys(values))}


def save(results: Sequence[CheckResult], of: Manifest, folder: Path) -> None:
    """Keep what checks found of the data that a manifest describes, in its folder."""
    found = [
        {
            "check": one.check.name,
            "description": one.check.description,
            "identity": fingerprint(one.check.identity),
            "passed": one.passed,
            "evidence": one.evidence,
        }
        for one in results
    ]
    content = {"data": _data(of), "results": found}
    write_atomically(folder / CHECKS, json.dumps(content, indent=1).encode() + b"\n")


def load(checks: Sequence[Check], of: Manifest, folder: Path) -> list[CheckResult] | None:
    """What the same checks found of the same data before; None where they were not asked, or others were."""
    try:
        content = json.loads((folder / CHECKS).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    known = {(one["check"], one["identity"]): one for one in content["results"]}
    wanted = [known.get((check.name, fingerprint(check.identity))) for check in checks]
    if content["data"] != _data(of) or any(one is None for one in wanted):
        return None
    return [
        CheckResult(check, one["passed"], one["evidence"])
        for check, one in zip(checks, wanted, strict=True)
        if one is not None
    ]


@dataclass(frozen=True)
class Outcome:
    """A check that was judged when a partition was published, for a person to read."""

    name: str
    description: str
    passed: bool
    evidence: Mapping[str, Any]
    """Single values; of a list, how many."""


def outcomes(partition: Partition) -> list[Outcome]:
    """What checks found of a committed partition; nothing where an earlier version published it."""
    try:
        content = json.loads((partition.folder / CHECKS).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    if content["data"] != _data(partition.manifest()):
        return []
    return [
        Outcome(
            one["check"],
            one.get("description", "").partition("\n")[0],
            one["passed"],
            {name: len(value) if isinstance(value, list) else value for name, value in one["evidence"].items()},
        )
        for one in content["results"]
    ]


def _data(manifest: Manifest) -> list[str]:
    return [manifest.fingerprint, manifest.digest]
