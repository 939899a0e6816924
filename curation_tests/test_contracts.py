"""Every rule of every contract is shown to fail, and the faults that must never flow on are stopped by name."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.checks import CheckFailed, CheckResult, ContractCheck, Judged, judge_contract
from curation_assets.lake.contracts import Rule
from curation_assets.lake.lake import Lake
from curation_assets.lake.parts import PartWriter
from curation_assets.lake.station import PartStation, SnapshotStation, Staged, Station, run
from curation_assets.line import Line
from curation_assets.provenance.comparison import comparison_stations
from curation_tests.conftest import Curated

Row = dict[str, Any]


def read(path: Path) -> pa.Table:
    if path.suffix == ".arrow":
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            return reader.read_all()
    return pq.read_table(path)


def write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, path)


def judged(
    lake: Lake, station: Station, snapshot: str, fault: Callable[[pa.Table], pa.Table], folder: Path
) -> CheckResult:
    """What the contract says of a committed partition whose largest part is replaced by a faulty one."""
    partition = lake.partition(station.key, snapshot)
    manifest = partition.manifest()
    largest = max((file for file in manifest.files if file.rows), key=lambda file: file.rows)
    faulty = fault(read(partition.folder / largest.name))
    folder.mkdir(parents=True, exist_ok=True)
    write(faulty, folder / largest.name)
    files = [file.model_copy(update={"rows": faulty.num_rows}) if file == largest else file for file in manifest.files]
    paths = [(folder if file == largest else partition.folder) / file.name for file in manifest.files]
    inputs = {name: lake.partition(key, snapshot) for name, key in station.sources.items()}
    data = Judged(paths, manifest.model_copy(update={"files": files}), inputs, tuple(station.inputs))
    (check,) = [check for check in station.checks if isinstance(check, ContractCheck)]
    return judge_contract(check, data.table)


def broken(result: CheckResult) -> set[str]:
    assert result.passed == ("broken" not in result.evidence)
    return {row["rule"] for row in result.evidence.get("broken", [])}


class Change(NamedTuple):
    """What breaks a condition: in the first row of which something is true, columns get other values."""

    values: Row | Callable[[Row], Row]
    where: Callable[[Row], bool] = lambda row: True


def span(start: int, end: int, **more: Any) -> Row:
    return {"start": start, "end": end, **more}


def dropped(row: Row) -> bool:
    return row["position"] is not None and row["position"] >= 0


CONDITIONS: dict[str, Change] = {
    "size and hash are both known or both unknown": Change({"bytes": None}),
    "doc is of a part of warc_files": Change({"doc": 1 << 60}),
    "what is listed has a category": Change({"url_domain_listed": 1, "url_domain_category": None}),
    "all statistics are missing, or none": Change({"words": None}, lambda row: row["words"] is not None),
    "line_edits follow one another": Change({"line_edits": [span(5, 5, replacement="")]}),
    "line_edits lie in the text": Change({"line_edits": [span(0, 1 << 30, replacement="")]}),
    "what is dropped has a station and a position": Change({"station": None}, dropped),
    "what a gate drops has a value and a limit": Change({"value": None}, dropped),
    "the verdict is the first of the failed gates": Change({"failed_gates": ["other"]}, dropped),
    "edits follow one another": Change({"edits": [span(5, 4, replacement="")]}),
    "masks follow one another": Change(
        {"masks": [span(2, 5, kind="email", replacement="a"), span(4, 6, kind="email", replacement="a")]}
    ),
    "masks are of email or public_ip": Change({"masks": [span(2, 5, kind="other", replacement="a")]}),
    "a survivor names its cluster": Change({"cluster": 1, "survivor": True}, lambda row: row["doc"] != 1),
    "what does not survive is in another's cluster": Change({"survivor": False}, lambda row: row["survivor"]),
    "value is cluster_size": Change({"value": 77.0}),
    "spans follow one another": Change({"spans": [span(2, 5), span(4, 6)]}),
    "segments follow one another": Change({"segments": [{"before": 0, "start": 9, "stop": 3, "end": 3, "key": 1}]}),
    "segments lie in the text": Change({"segments": [{"before": 0, "start": 0, "stop": 3, "end": 1 << 30, "key": 1}]}),
    "paragraphs follow one another": Change({"paragraphs": [span(2, 2, windows=1)], "hashes": [1]}),
    "paragraphs lie in the text": Change({"paragraphs": [span(2, 1 << 30, windows=1)], "hashes": [1]}),
    "hashes are the windows of the paragraphs": Change({"hashes": [1, 2, 3, 4], "paragraphs": []}),
    "what scores": Change({"survivor": False}, lambda row: row["survivor"]),
    "detail is of the first takedown": Change({"detail": "T77: another"}),
    "ids and their hash are there, or neither": Change({"ids_hash": None}),
    "ids are as many as token_count": Change({"token_count": 100_000}),
    "ids are of the vocabulary": Change({"ids": [60_000], "token_count": 1}),
    "the last id is the end of the document": Change({"ids": [1], "token_count": 1}),
    "no sequence is longer than": Change({"position": 2047, "token_count": 2}),
    "what is dropped, and only that, has a station": Change({"station": None}, dropped),
    "what a gate or method drops has a value": Change({"limit": None}, dropped),
    "a duplicate is one of another": Change(lambda row: {"duplicate_of": row["doc"], "detail": None}),
    "pieces cover the sequence": Change(lambda row: {"input_ids": row["input_ids"][1:]}),
    "each piece has a document and a start": Change({"docs": []}),
    "every piece has tokens and a place": Change(lambda row: {"token_starts": [-1, *row["token_starts"][1:]]}),
    "token ids are of the vocabulary": Change(lambda row: {"input_ids": [-1, *row["input_ids"][1:]]}),
    "a class is no more than all": Change({"documents": 1 << 40}, lambda row: row["measure"] != "records"),
    "what comes is dropped or left": Change({"documents": 10_000}),
    "no more is shared than either keeps": Change({"shared": 10_000}),
}
"""For every condition, by how it begins, what breaks it."""


def change_for(rule: Rule) -> Change:
    """What breaks a rule."""
    name = rule.columns[0] if rule.columns else ""
    match rule.kind:
        case "null":
            return Change({name: None})
        case "range":
            return Change({name: rule.of.least - 1 if rule.of.least is not None else rule.of.most + 1})
        case "set":
            return Change({name: "never" if isinstance(rule.of.among[0], str) else 99})
        case "regex":
            return Change({name: "never \n"})
        case "reference":
            return Change({name: (1 << 60) + 7 if name == "doc" else "never"})
    return next(change for says, change in CONDITIONS.items() if rule.says.startswith(says))


def with_faults(table: pa.Table, rules: list[Rule]) -> pa.Table:
    """A table with a row that breaks each rule, many where most rows must keep it, and rows that are the same."""
    rows: list[Row] = table.to_pylist()
    last = dict(rows[-1])
    many: list[Row] = []
    used: set[tuple[int, str]] = set()
    for rule in rules:
        if rule.kind in ("columns", "rows", "unique"):
            continue
        values, where = change_for(rule)
        if rule.kind == "regex" and rule.of.mostly < 1:
            many += [{**last, **dict(values)}] * 150
            continue
        for at, row in enumerate(rows):
            if where(row) and not used & {(at, name) for name in row}:
                row |= values(row) if callable(values) else values
                used |= {(at, name) for name in row}
                break
        else:
            pytest.fail(f"no row is left to break {rule.says}")
    schema = pa.schema([pa.field(field.name, field.type) for field in table.schema])
    return pa.Table.from_pylist([*rows, *many, last, last], schema=schema)


def every_station(curated: dict[str, Curated]) -> Iterator[tuple[Lake, Station, str]]:
    """Each kind of table once, from whatever recipe has rows of it."""
    seen: set[str] = set()
    for line, snapshot, _ in curated.values():
        for station in line.stations:
            if (
                station.schema is None
                or station.name in seen
                or not line.lake.partition(station.key, snapshot).manifest().rows
            ):
                continue
            seen.add(station.name)
            yield line.lake, station, snapshot


def test_every_rule_of_every_contract_can_fail(curated: dict[str, Curated], tmp_path: Path) -> None:
    """Faults of all kinds in one table: each rule finds its own, and says which rows."""
    shown: set[str] = set()
    for lake, station, snapshot in every_station(curated):
        (check,) = [check for check in station.checks if isinstance(check, ContractCheck)]
        rules = [rule for rule in check.rules if rule.kind not in ("columns", "rows")]
        if station.name in ("warc_files", "parquet_shards"):
            # A few rows: one at a time.
            found: set[str] = set()
            for rule in rules:
                one = partial(with_faults, rules=[rule])
                found |= broken(judged(lake, station, snapshot, one, tmp_path / station.name))
        else:
            result = judged(lake, station, snapshot, partial(with_faults, rules=rules), tmp_path / station.name)
            found = broken(result)
            assert all(row["keys"] for row in result.evidence["broken"])
        assert {rule.says for rule in rules} <= found, (station.name, {rule.says for rule in rules} - found)
        shown |= {rule.kind for rule in rules}
    assert shown == {"null", "range", "set", "regex", "unique", "reference", "condition"}


def test_every_condition_has_a_fault_and_every_fault_a_condition(curated: dict[str, Curated]) -> None:
    lines = [line for line, *_ in curated.values()]
    stations = [station for line in lines for station in line.stations]
    stations += comparison_stations([line.recipe for line in lines])
    said = {says for station in stations for says in station.contract.conditions}
    assert all(any(says.startswith(known) for known in CONDITIONS) for says in said)
    assert all(any(says.startswith(known) for says in said) for known in CONDITIONS)


def test_columns_that_are_gone_of_another_type_or_too_many_are_told(
    curated: dict[str, Curated], tmp_path: Path
) -> None:
    for lake, station, snapshot in every_station(curated):
        assert station.schema is not None
        gone, other = station.schema.names[-1], next(one.name for one in station.schema if one.type != pa.string())

        def change(table: pa.Table, gone: str = gone, other: str = other) -> pa.Table:
            more = table.drop_columns([gone]).append_column("more", table[other])
            return more.set_column(more.column_names.index(other), other, more[other].cast(pa.string()))

        rows = {
            row["rule"]: row
            for row in judged(lake, station, snapshot, change, tmp_path / station.name).evidence["broken"]
        }
        assert {says.split(" is ")[0] for says in rows} == {gone, other, "there are no other columns"}
        assert rows["there are no other columns"]["observed"] == "more"
        assert "missing" in {row["observed"] for row in rows.values()}


class Inline:
    """An engine without processes."""

    def map(self, function: Callable, items: list) -> Iterator:
        yield from map(function, items)


def faulty_part(inputs: dict[str, Path], writer: PartWriter, params: Any, folder: Path, fault: Callable) -> None:
    """Write what is committed, with a fault in it."""
    part = f"part-{params.part:05d}" if hasattr(params, "part") else next(iter(inputs.values())).stem
    (path,) = folder.glob(f"{part}.*")
    writer.write(fault(read(path)))
    writer.stats.update(_stats(folder, path.name))


def _stats(folder: Path, name: str) -> dict[str, int]:
    from curation_assets.lake.parts import describe

    return describe(folder / name).stats


def faulty_snapshot(job: Any, folder: Path, stats: dict[str, int], fault: Callable) -> dict[str, int]:
    for number, path in enumerate(sorted(folder.glob("*.parquet"))):
        if (made := fault(read(path), number)) is not None:
            write(made, job.folder / path.name)
    return stats


def rewritten(column: str, change: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    def rewrite(table: pa.Table) -> pa.Table:
        values = change(table[column].to_pylist())
        field = table.schema.field(column)
        return table.set_column(table.column_names.index(column), field, pa.array(values, field.type))

    return rewrite


def swapped(table: pa.Table) -> pa.Table:
    names = ["url" if name == "record_id" else "record_id" if name == "url" else name for name in table.column_names]
    return table.rename_columns(names)


def first_masks_gone(lists: list[list]) -> list[list]:
    return [[] for _ in lists]


def no_masks(lists: list[list]) -> list[None]:
    return [None] * len(lists)


def unmasked(texts: list[str]) -> list[str]:
    return [re.sub("(email|firstname.lastname)@example.(com|org)", "me@a.de", text) for text in texts]


def half(table: pa.Table) -> pa.Table:
    return table.slice(0, table.num_rows // 2)


PARTS_GONE = {
    "minhash_duplicates": lambda table, number: None if number == 0 else table,
    "packed_sequences": lambda table, number: table.slice(0, table.num_rows // 2),
}

NEVER: list[tuple[str, str, str, Callable, str]] = [
    (
        "duplicated key",
        "languages",
        "contract_holds",
        lambda table: pa.concat_tables([table, table.slice(0, 1)]),
        "doc is unique",
    ),
    (
        "duplicated key",
        "documents",
        "contract_holds",
        lambda table: pa.concat_tables([table, table.slice(0, 1)]),
        "doc is unique",
    ),
    ("missing part", "url_matches", "every_document_has_one_row", lambda table: table.slice(0, 0), "'missing': 370"),
    (
        "missing part",
        "minhash_duplicates",
        "clusters_have_one_survivor",
        PARTS_GONE["minhash_duplicates"],
        "missing_or",
    ),
    (
        "half of the rows gone",
        "signals",
        "every_document_has_one_row",
        half,
        "missing",
    ),
    ("half of the rows gone", "documents", "records_are_conserved", half, "'rows'"),
    ("half of the rows gone", "packed_sequences", "tokens_are_conserved", PARTS_GONE["packed_sequences"], "tokens"),
    (
        "token id out of range",
        "tokens",
        "contract_holds",
        rewritten("ids", lambda lists: [[60_000, *ids[1:]] for ids in lists]),
        "ids are of the vocabulary",
    ),
    ("mask missing", "pii_spans", "masks_are_conserved", rewritten("masks", first_masks_gone), "masks"),
    (
        "mask missing",
        "pii_spans",
        "contract_holds",
        rewritten("masks", lambda lists: [None] * len(lists)),
        "masks is never null",
    ),
    (
        "mask missing",
        "corpus",
        "corpus_is_masked",
        rewritten(
            "text",
            lambda texts: [re.sub("(email|firstname.lastname)@example.(com|org)", "me@a.de", text) for text in texts],
        ),
        "documents_with_masks",
    ),
    ("swapped columns", "documents", "contract_holds", swapped, "record_id is like"),
    ("swapped columns", "verdicts", "verdicts_are_conserved", swapped, "documents"),
]
"""The faults that must never flow on: which check stops which station, and what it says."""


@pytest.mark.parametrize(
    ("station_name", "check", "fault", "told"),
    [row[1:] for row in NEVER],
    ids=[f"{fault}-{station}-{check}" for fault, station, check, *_ in NEVER],
)
def test_the_station_stops_itself(
    line: Line,
    staged: dict[str, Staged],
    tmp_path: Path,
    station_name: str,
    check: str,
    fault: Callable,
    told: str,
) -> None:
    """A station that makes faulty data fails by the right check, and publishes nothing."""
    lake = Lake(tmp_path / "lake")
    shutil.copytree(line.lake.root, lake.root)
    station = next(station for station in line.stations if station.name == station_name)
    sound = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    partition = lake.partition(station.key, SAMPLE_SNAPSHOT)
    shutil.rmtree(partition.folder)
    if isinstance(station, PartStation):
        faulty: Station = replace(station, step=partial(faulty_part, folder=sound.folder, fault=fault))
    else:
        assert isinstance(station, SnapshotStation)
        step = partial(faulty_snapshot, folder=sound.folder, stats=sound.manifest().stats, fault=fault)
        faulty = replace(station, step=step)
    with pytest.raises(CheckFailed, match=f"{check}.*{re.escape(told)}") as caught:
        run(faulty, lake, SAMPLE_SNAPSHOT, Inline())
    assert check in {result.check.name for result in caught.value.failed}
    assert partition.committed() is None
    assert [path.name for path in partition.folder.iterdir() if path.is_file()] == [".lock"]
