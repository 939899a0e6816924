"""What other limits would do: the gates are decided again from the columns, without reading a text.

Gates read nothing but columns, so what they would drop is exact. Deduplication is different: it compares documents with
each other, and a document that a gate dropped was never compared. Known clusters stay as they are, and a document that
passes newly is counted as one that would be compared, at the first method that has not seen it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation_assets.filtering.gates import GateParameters, PlacedGate, decisions
from curation_assets.lake.lake import Lake, LakeError, Partition
from curation_assets.lake.parts import ROW_BITS, part_name, read_table
from curation_assets.lake.query import query
from curation_assets.lake.station import Station
from curation_assets.line import Line
from curation_assets.provenance.comparison import BEFORE_RECIPES
from curation_assets.provenance.stations import VerdictParameters
from curation_assets.recipes.methods import limit_of
from curation_assets.recipes.recipe import KEPT

STEPS = pa.schema([("position", pa.int32()), ("station", pa.string()), ("name", pa.string()), ("changed", pa.bool_())])
LOOKED = pa.schema([("doc", pa.int64()), ("position", pa.int32()), ("survivor", pa.bool_())])

OF_THE_MACHINE = {"warc_files", "tombstones", "tokenizer"}
"""Stations whose parameters are settings, not the recipe's."""

FOLLOWING = {"position", "recipe_fingerprint"}
"""Parameters that follow from the gates."""

DECIDED_AGAIN = {"filter_verdicts", "verdicts", "profile"}
SCORES = "quality_scores"
"""The one method whose limit can be tried: its table has the score of every document that it looked at."""


class NoGateError(ValueError):
    """Something else than a limit differs from what was run; the message says what has to be run again."""


class Fate(NamedTuple):
    """A verdict, with what was measured and what it was compared with where a limit decided."""

    verdict: str
    station: str | None
    value: float | None
    limit: float | None
    unknown: bool = False
    """The station has not seen the document and would have to."""


class Sample(NamedTuple):
    """A document that the change concerns."""

    doc: int
    url: str | None
    was: Fate
    now: Fate


class Step(NamedTuple):
    """A gate or method in the funnel as it was and as it would be; None where it is in one of them only."""

    station: str
    name: str
    rule_was: str | None
    rule: str | None
    """`< 0.65`; None where there is no such gate, empty for methods and for reasons of acquisition."""
    dropped_was: int | None
    left_was: int | None
    dropped: int | None
    left: int | None
    """Documents not dropped up to here, those among them that would have to be compared included."""
    unknown: int
    """Documents that get here and would have to be compared; nothing is known of them from here on."""


@dataclass(frozen=True)
class WhatIf:
    """Two funnels over the same documents."""

    snapshot: str
    recipe: str
    steps: list[Step]
    records: int
    kept_was: int
    kept: int
    """Documents that are left and have been compared."""
    unknown: int
    """Documents that pass the gates and would be compared: up to so many are kept besides."""
    gained: int
    """Documents that were dropped and now are kept, or would be compared."""
    lost: int
    """Documents that were kept and now are dropped."""
    moved: int
    """Documents that are dropped as they were, but by another gate."""
    clusters: int
    """Of the lost documents those that survived for a cluster of duplicates."""
    duplicates: int
    """The other documents of these clusters: some would be kept instead."""
    gained_samples: list[Sample] = field(default_factory=list)
    lost_samples: list[Sample] = field(default_factory=list)

    @property
    def changed(self) -> list[Step]:
        """The gates that are new, gone or have another rule."""
        return [step for step in self.steps if step.rule != step.rule_was]


def what_if(line: Line, snapshot: str, samples: int = 5, progress: Callable[[int, int], None] | None = None) -> WhatIf:
    """Decide the gates of the line's recipe over what was measured when a snapshot was run.

    Limits, operators and columns of gates may differ from what was run, gates may be new or gone, and so may the
    languages that are kept, the opt-out signals that are honoured and the least quality score. Parts are read one by
    one, only the columns that gates changed need, `workers` at a time.

    Args:
        line: recipe and lake.
        snapshot: one that was run.
        samples: documents shown of those gained and of those lost; always the same ones.
        progress: called with parts done and parts in all.

    Raises:
        NoGateError: a parameter differs that is no gate's: what was measured would be another.
        LakeError: the recipe has no verdicts for the snapshot.
    """
    lake = line.lake
    verdicts = lake.partition((line.recipe.name, "verdicts"), snapshot)
    if verdicts.committed() is None:
        raise LakeError(
            f"the lake {lake.root} holds no verdicts of recipe {line.recipe.name} for {snapshot}: "
            f"`curation run --snapshot {snapshot} --recipe {line.settings.recipe}` makes them"
        )
    job = _prepare(line, verdicts)
    parts = [path.name for path in verdicts.paths(".parquet")]
    ways: dict[tuple[Any, ...], Counter[str]] = {}
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    with ThreadPoolExecutor(line.settings.workers) as pool:
        for done, rows in enumerate(pool.map(partial(_decide, job, samples=max(samples, 1)), parts), 1):
            for row in rows:
                way = tuple(row[name] for name in ("was_station", "was", "now_station", "now", "unknown"))
                counted = {name: row[name] for name in ("documents", "clusters", "duplicates")}
                ways.setdefault(way, Counter()).update(counted)
                shown: list[dict[str, Any]] = [*found.get(way, []), *(row["samples"] or [])]
                found[way] = sorted(shown, key=_rank)[:samples]
            if progress:
                progress(done, len(parts))
    return _summed(job, ways, found, samples)


@dataclass(frozen=True)
class _Job:
    """What was decided, and what decides now."""

    verdicts: Partition
    decided: Partition
    annotations: dict[str, Partition]
    methods: dict[str, Partition]
    was: GateParameters
    was_methods: VerdictParameters
    now: GateParameters
    changed: GateParameters
    """Of the gates now only those that must be decided again."""
    now_methods: VerdictParameters
    min_score: float | None


def _prepare(line: Line, verdicts: Partition) -> _Job:
    """Find what was decided. Raises `NoGateError` when it cannot be decided again."""
    lake = line.lake
    decided = lake.origin(verdicts, "filter_verdicts")
    stations = {station.name: station for station in line.stations}
    was_methods = VerdictParameters.model_validate(verdicts.manifest().params)
    now_methods = VerdictParameters.model_validate(stations["verdicts"].recorded_params)
    order = [[one.station for one in params.methods] for params in (was_methods, now_methods)]
    if order[0] != order[1]:
        told = " and ".join(", ".join(names) or "none" for names in reversed(order))
        raise NoGateError(
            f"the methods that look at what the gates leave are now and were: {told}. {_again(line, verdicts)}"
        )
    for station in line.stations:
        if station.name not in OF_THE_MACHINE | DECIDED_AGAIN:
            _refuse_differences(line, station, _made(lake, station, decided), verdicts)
    was = GateParameters.model_validate(decided.manifest().params)
    now = GateParameters.model_validate(stations["filter_verdicts"].recorded_params)
    scores = [method for method in line.recipe.methods if method.name == SCORES]
    return _Job(
        verdicts=verdicts,
        decided=decided,
        annotations={name: lake.origin(decided, name) for name in decided.manifest().inputs},
        methods={one.station: lake.origin(verdicts, one.station) for one in now_methods.methods},
        was=was,
        was_methods=was_methods,
        now=now,
        changed=now.model_copy(update={"gates": tuple(gate for gate in now.gates if _changed(gate, was, now))}),
        now_methods=now_methods,
        min_score=limit_of(scores[0]) if scores else None,
    )


def _changed(gate: PlacedGate, was: GateParameters, now: GateParameters) -> bool:
    """Whether a gate decides otherwise than it did, wherever it stands."""
    if gate.signal == "opted_out" and now.consent != was.consent:
        return True
    if gate.signal == "language_kept" and (now.languages, now.excluded) != (was.languages, was.excluded):
        return True
    rule = (gate.name, gate.signal, gate.operator, gate.limit)
    return rule not in [(one.name, one.signal, one.operator, one.limit) for one in was.gates]


def _made(lake: Lake, station: Station, decided: Partition) -> Partition:
    """The partition of a station that the verdicts stand on; for what comes after them, the committed one."""
    inputs = decided.manifest().inputs
    return lake.partition(inputs.get(station.name, station.key), decided.snapshot)


def _refuse_differences(line: Line, station: Station, made: Partition, verdicts: Partition) -> None:
    manifest = made.committed()
    if manifest is None:
        return
    was, now = (dict(_flat(params or {})) for params in (manifest.params, station.recorded_params))
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    if names:
        told = "; ".join(f"{name} is {now.get(name)!r} and was {was.get(name)!r}" for name in names)
        raise NoGateError(f"{station.name}: {told}. {_again(line, verdicts)}")


def _flat(params: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of all parameters that must be as they were."""
    if isinstance(params, dict):
        for name, value in params.items():
            yield from _flat(value, (*place, name))
    elif place[-1] not in FOLLOWING and place[-2:] != ("method", "min_score"):
        yield ".".join(place).removeprefix("method."), params


def _again(line: Line, verdicts: Partition) -> str:
    return (
        "That is no gate: verdicts cannot tell what it would do, the station and what follows from it must be made "
        f"again. `curation run --snapshot {verdicts.snapshot} --recipe {line.settings.recipe}`, with the same --set, "
        "does so; to try gates only, give the --set that it was run with."
    )


def _decide(job: _Job, part: str, samples: int) -> list[dict[str, Any]]:
    """How many documents of one part go each way; rows of whatif.sql."""
    inputs = {name: partition.folder / part for name, partition in job.annotations.items()}
    gates = [(gate.position, gate.station, gate.name, gate in job.changed.gates) for gate in job.now.gates]
    methods = [(one.position, one.station, one.verdict, False) for one in job.now_methods.methods]
    views = {
        "verdicts": [str(job.verdicts.folder / part)],
        "filter_verdicts": [str(job.decided.folder / part)],
        "redecided": decisions(inputs, job.changed),
        "looked": pa.concat_tables([LOOKED.empty_table(), *_looked(job, part)]),
        "steps": pa.Table.from_pylist([dict(zip(STEPS.names, row, strict=True)) for row in gates + methods], STEPS),
    }
    parameters = {"methods": [position for position, *_ in methods], "samples": samples}
    return query("provenance/whatif", views, parameters, threads=1).to_pylist()


def _looked(job: _Job, part: str) -> Iterator[pa.Table]:
    """What each method said of the documents of one part that it looked at."""
    for one in job.now_methods.methods:
        path = job.methods[one.station].folder / part
        table = read_table(path, ["doc", "survivor", *(["value"] if one.station == SCORES else [])])
        survivor = table["survivor"]
        if one.station == SCORES:
            survivor = pa.array(table["value"].to_numpy() >= job.min_score)
        yield pa.table([table["doc"], pa.repeat(pa.scalar(one.position, pa.int32()), table.num_rows), survivor], LOOKED)


def _summed(
    job: _Job,
    ways: dict[tuple[Any, ...], Counter[str]],
    found: dict[tuple[Any, ...], list[dict[str, Any]]],
    samples: int,
) -> WhatIf:
    total: Counter[str] = Counter()
    samples_of: dict[str, list[tuple[dict[str, Any], tuple[Any, ...]]]] = {"gained": [], "lost": []}
    for way, counted in ways.items():
        _, was, _, now, unknown = way
        left = now == KEPT or unknown
        kind = "gained" if left and was != KEPT else "lost" if was == KEPT and not left else "moved" * (was != now)
        total[kind] += counted["documents"]
        if kind in samples_of:
            samples_of[kind] += [(one, way) for one in found[way]]
        if kind == "lost":
            total["clusters"] += counted["clusters"]
            total["duplicates"] += counted["duplicates"]
    shown = {
        kind: [_sample(job, one, way) for one, way in sorted(of_kind, key=lambda each: _rank(each[0]))[:samples]]
        for kind, of_kind in samples_of.items()
    }
    documents = {way: counted["documents"] for way, counted in ways.items()}
    return WhatIf(
        snapshot=job.verdicts.snapshot,
        recipe=job.verdicts.key[0],
        steps=_funnel(job, documents),
        records=sum(documents.values()),
        kept_was=sum(count for way, count in documents.items() if way[1] == KEPT),
        kept=sum(count for way, count in documents.items() if way[3] == KEPT),
        unknown=sum(count for way, count in documents.items() if way[4]),
        gained=total["gained"],
        lost=total["lost"],
        moved=total["moved"],
        clusters=total["clusters"],
        duplicates=total["duplicates"],
        gained_samples=shown["gained"],
        lost_samples=shown["lost"],
    )


def _rank(one: dict[str, Any]) -> int:
    return one["rank"]


def _sample(job: _Job, one: dict[str, Any], way: tuple[Any, ...]) -> Sample:
    was_station, was, now_station, now, unknown = way
    path: Path = job.verdicts.folder / part_name(one["doc"] >> ROW_BITS)
    (url,) = pq.read_table(path, columns=["url"], filters=[("doc", "=", one["doc"])])["url"].to_pylist()
    return Sample(
        one["doc"],
        url,
        Fate(was, was_station, one["value"], one["limit"]),
        Fate(now, now_station, one["now_value"], one["now_limit"], unknown),
    )


def _funnel(job: _Job, documents: dict[tuple[Any, ...], int]) -> list[Step]:
    """Both funnels, station by station, in the order of now; what is gone stands where it stood."""
    was, now, unknown = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for (was_station, was_verdict, now_station, now_verdict, open_end), count in documents.items():
        was[was_station, was_verdict] += count
        (unknown if open_end else now)[now_station, now_verdict] += count
    before = dict.fromkeys(sorted(step for step in was if step[0] in BEFORE_RECIPES), "")
    old = before | _rules(job.was, job.was_methods)
    new = before | _rules(job.now, job.now_methods)
    order = list(new)
    for place, step in enumerate(old):
        if step not in new:
            order.insert(order.index(list(old)[place - 1]) + 1 if place else 0, step)
    total = sum(documents.values())
    left_was, left = (
        dict(
            zip(
                order,
                accumulate((counts[step] for step in order), lambda rest, gone: rest - gone, initial=total),
                strict=False,
            )
        )
        for counts in (was, now)
    )
    steps = []
    for step in order:
        there, here = step in old, step in new
        steps.append(
            Step(
                *step,
                rule_was=old.get(step),
                rule=new.get(step),
                dropped_was=was[step] if there else None,
                left_was=left_was[step] - was[step] if there else None,
                dropped=now[step] if here else None,
                left=left[step] - now[step] if here else None,
                unknown=unknown[step],
            )
        )
    return steps


def _rules(gates: GateParameters, methods: VerdictParameters) -> dict[tuple[str, str], str]:
    """Station and verdict of every step in order, with what it compares."""
    found = [(gate.position, gate.station, gate.name, _rule(gate, gates)) for gate in gates.gates]
    found += [
        (one.position, one.station, one.verdict, f"< {one.limit:g}" if one.station == SCORES else "")
        for one in methods.methods
    ]
    return {(station, name): rule for _, station, name, rule in sorted(found)}


def _rule(gate: PlacedGate, gates: GateParameters) -> str:
    limit = gate.limit if isinstance(gate.limit, str) else f"{gate.limit:g}"
    rule = f"{gate.signal} {gate.operator} {limit}"
    if gate.signal == "language_kept":
        kept = ", ".join(gates.languages) or "all"
        return f"{rule} ({kept}{''.join(f', not {one}' for one in gates.excluded)})"
    return f"{rule} ({', '.join(gates.consent) or 'none'})" if gate.signal == "opted_out" else rule
