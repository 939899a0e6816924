"""Rows, bytes and tokens across every edge of the line: each check is shown to fail, and no edge is without one."""

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake import checks, metrics
from curation_assets.lake.checks import Judged, stats_view
from curation_assets.lake.query import query
from curation_assets.lake.station import Staged, Station
from curation_assets.line import Line
from curation_assets.settings import Settings
from curation_tests.conftest import RESILIPARSE, Curated
from curation_tests.test_checks import (
    FAULTS,
    FAULTS_OF_METHODS,
    Fault,
    always,
    empty_span,
    files_of,
    first_instead_of_last,
    moved_span,
    of_first,
    station_of,
    table_of,
    verdict,
    without_first,
)

Counters = dict[str, dict[str, int]]
SURVIVORS = ("url_duplicates", "text_duplicates", "simhash_duplicates", "quality_scores")
CUTS = ("segment_duplicates", "bloom_duplicates", "substring_duplicates")


def without(table: pa.Table, measure: str) -> pa.Table:
    """A table without the largest class of a measure."""
    rows = table.to_pylist()
    (largest, *_) = sorted((row for row in rows if row["measure"] == measure), key=lambda row: -row["documents"])
    return pa.Table.from_pylist([row for row in rows if row != largest], schema=table.schema)


TABLE_FAULTS: list[tuple[str, str, str, Fault]] = [
    # Two records that share a byte, a record of a file that nobody listed, one that lost its end.
    ("fineweb", "documents", "warc_bytes_are_conserved", of_first("warc_offset", lambda at: at > 5000, always(1))),
    ("fineweb", "documents", "warc_bytes_are_conserved", of_first("warc_file", bool, always("another.warc.gz"))),
    ("fineweb", "documents", "warc_bytes_are_conserved", of_first("warc_length", bool, lambda length: length - 1)),
    ("fineweb", "documents", "records_are_conserved", of_first("text", bool, lambda text: text[:-1])),
    *(
        ("fineweb", table, "verdicts_are_counted", fault)
        for table in ("documents", "filter_verdicts", "verdicts")
        for fault in (without_first, of_first("verdict", lambda one: one not in (None, "kept"), always("another")))
    ),
    ("fineweb", "languages", "only_texts_have_a_language", of_first("language_score", bool, always(None))),
    ("fineweb", "languages", "only_texts_have_a_language", of_first("language", bool, always(None))),
    ("fineweb", "languages", "only_texts_have_a_language", of_first("language", lambda one: one is None, always("en"))),
    ("fineweb", "signals", "all_texts_are_measured", of_first("words", bool, always(None))),
    ("fineweb", "signals", "all_texts_are_measured", of_first("words", lambda one: one is None, always(3))),
    *(
        ("every_method", table, "survivors_are_counted", fault)
        for table in CUTS
        for fault in (without_first, of_first("survivor", bool, always(False)))
    ),
    *(("every_method", table, "survivors_are_counted", without_first) for table in SURVIVORS),
    *(
        ("every_method", table, "cut_bytes_are_conserved", of_first("spans", bool, fault))
        for table in CUTS
        for fault in (moved_span, empty_span, lambda spans: spans[1:])
    ),
    *(
        ("every_method", table, "cut_bytes_are_conserved", of_first("value", bool, lambda left: left + 1))
        for table in ("segment_duplicates", "substring_duplicates")
    ),
    ("fineweb", "tokens", "corpus_and_tombstones_have_one_row", first_instead_of_last),
    ("fineweb", "tokens", "text_bytes_are_tokenised", without_first),
    ("fineweb2", "rehydration_weights", "repetitions_are_counted", of_first("repetitions", bool, always(0))),
    *(
        ("fineweb", "profile", "profile_adds_up", of_first(column, lambda n: n > 9, lambda n: n - 1))
        for column in ("documents", "of")
    ),
    ("fineweb", "profile", "profile_adds_up", without_first),
    *(
        ("fineweb", "profile", "profile_adds_up", lambda table, measure=measure: without(table, measure))
        for measure in ("lost", "dropped", "languages", "characters")
    ),
    ("fineweb2", "rehydration_weights", "repetitions_are_counted", of_first("repetitions", bool, lambda n: n + 1)),
]

COUNTER_FAULTS: list[tuple[str, str, str, Callable[[Counters], Counters]]] = [
    # A file that was not read to its end.
    ("fineweb", "documents", "warc_bytes_are_conserved", lambda c: {"stats": {"warc_bytes": -1}}),
    ("fineweb", "documents", "warc_bytes_are_conserved", lambda c: {"stats": {"record_bytes": 1}}),
    ("fineweb", "documents", "verdicts_are_counted", lambda c: {"stats": {"rows_in": 1}}),
    ("fineweb", "documents", "losses_are_bounded", lambda c: {"stats": {"lost_bytes.warc_truncated": 1 << 20}}),
    ("fineweb", "documents", "losses_are_bounded", lambda c: {"stats": {"dropped.http_malformed": 100}}),
    ("fineweb", "documents", "records_are_conserved", lambda c: {"stats": {"text_bytes": 1}}),
    # Text that was lost before, by, or after the edits.
    ("every_method", "corpus", "text_bytes_are_conserved", lambda c: {"stats": {"extracted_bytes": 1}}),
    ("every_method", "corpus", "text_bytes_are_conserved", lambda c: {"stats": {"text_bytes": -1}}),
    *(
        ("every_method", table, "survivors_are_counted", lambda c: {"stats": {"rows_out": 1}})
        for table in ("minhash_duplicates", *CUTS)
    ),
    *(("every_method", table, "cut_bytes_are_conserved", lambda c: {"stats": {"bytes_cut": 1}}) for table in CUTS),
    ("every_method", "bloom_duplicates", "cut_bytes_are_conserved", lambda c: {"stats": {"bytes_in": -(1 << 40)}}),
    ("fineweb2", "band_index", "band_index_holds_the_compared", lambda c: {"stats": {"rows_out": -1}}),
    ("fineweb2", "band_index", "band_index_holds_the_compared", lambda c: {"stats": {"keys": -c["stats"]["keys"]}}),
    ("fineweb2", "band_index", "band_index_holds_the_compared", lambda c: {"stats": {"keys": 1 << 40}}),
    ("fineweb", "tokens", "text_bytes_are_tokenised", lambda c: {"stats": {"text_bytes": -1}}),
    ("fineweb", "tokens", "text_bytes_are_tokenised", lambda c: {"stats": {"spelled_bytes": -1}}),
    ("fineweb", "tokens", "text_bytes_are_tokenised", lambda c: {"corpus_stats": {"text_bytes": 1}}),
]
"""What is added to counters."""


def named(faults: list[Any]) -> list[str]:
    return [f"{table}-{check}-{i}" for i, (_, table, check, _) in enumerate(faults)]


def judge(curated: Curated, name: str, check: str, fault: Fault | None = None, **stats: dict[str, int]) -> bool:
    line, snapshot, _ = curated
    station = station_of(line, name)
    partition = line.lake.partition(station.key, snapshot)
    (judged,) = [one for one in station.checks if one.name == check]
    table = table_of(partition) if station.schema is not None else pa.table({"doc": []})
    return verdict(line, station, judged, fault(table) if fault else table, files_of(partition), snapshot, **stats)


def counters_of(curated: Curated, name: str) -> Counters:
    line, snapshot, _ = curated
    station = station_of(line, name)
    inputs = {
        f"{one}_stats": line.lake.partition(key, snapshot).manifest().stats for one, key in station.sources.items()
    }
    return {**inputs, "stats": line.lake.partition(station.key, snapshot).manifest().stats}


@pytest.mark.parametrize(("recipe", "name", "check", "fault"), TABLE_FAULTS, ids=named(TABLE_FAULTS))
def test_a_fault_of_a_table_is_found(
    curated: dict[str, Curated], recipe: str, name: str, check: str, fault: Fault
) -> None:
    assert judge(curated[recipe], name, check)
    assert not judge(curated[recipe], name, check, fault)


@pytest.mark.parametrize(("recipe", "name", "check", "change"), COUNTER_FAULTS, ids=named(COUNTER_FAULTS))
def test_a_counter_that_does_not_add_up_is_found(
    curated: dict[str, Curated], recipe: str, name: str, check: str, change: Callable[[Counters], Counters]
) -> None:
    counters = counters_of(curated[recipe], name)
    wrong = {
        view: {counter: counters[view][counter] + more for counter, more in added.items()}
        for view, added in change(counters).items()
    }
    assert judge(curated[recipe], name, check)
    assert not judge(curated[recipe], name, check, None, **wrong)


@pytest.mark.parametrize(
    ("table", "column"),
    [("signals", "line_edits"), ("segment_duplicates", "spans"), ("pii_spans", "masks"), ("encoding_edits", "edits")],
)
def test_an_edit_that_was_not_applied_is_found(curated: dict[str, Curated], table: str, column: str) -> None:
    """The recorded edits say that more was taken out of a kept text than is missing there."""
    line, snapshot, _ = curated["every_method"]
    station = station_of(line, "corpus")
    (check,) = [one for one in station.conservation if one.name == "text_bytes_are_conserved"]
    tables = {name: table_of(line.lake.partition(station.inputs[name], snapshot)) for name in station.inputs}
    views = {**tables, "stats": stats_view(line.lake.partition(station.key, snapshot).manifest().stats)}
    assert query(check.sql, views, check.parameters).to_pylist()[0]["passed"]
    kept = tables["verdicts"].filter(pa.compute.equal(tables["verdicts"]["verdict"], "kept"))["doc"].to_pylist()
    rows = tables[table].to_pylist()
    (row, *_) = [row for row in rows if row["doc"] in kept]
    row[column] = [*(row[column] or []), {"start": 0, "end": 5, "replacement": "four", "kind": "email"}]
    views[table] = pa.Table.from_pylist(rows, schema=tables[table].schema)
    found = query(check.sql, views, check.parameters).to_pylist()[0]
    assert not found["passed"]
    assert found["removed_bytes"] > 0


def test_checks_by_parts_find_what_checks_of_all_find(
    curated: dict[str, Curated], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(station: Station, curated: Curated) -> list[tuple[str, bool, dict[str, Any]]]:
        partition = curated.line.lake.partition(station.key, curated.snapshot)
        inputs = {name: curated.line.lake.partition(key, curated.snapshot) for name, key in station.sources.items()}
        data = Judged(partition.paths(), partition.manifest(), inputs, tuple(station.inputs))
        return [(one.check.name, one.passed, one.evidence) for one in checks.judge(station.conservation, data)]

    for one in (curated["fineweb"], curated["every_method"]):
        stations = [
            station for station in one.line.stations if any(c.by_parts is not None for c in station.conservation)
        ]
        assert stations
        for station in stations:
            with monkeypatch.context() as patch:
                whole = found(station, one)
                patch.setattr(metrics, "PASS_ROWS", 1)
                assert found(station, one) == whole


def test_a_part_without_a_file_is_found(line: Line, staged: dict[str, Staged]) -> None:
    station = station_of(line, "documents")
    partition = line.lake.partition(station.key, SAMPLE_SNAPSHOT)
    (check,) = [one for one in station.conservation if one.name == "warc_bytes_are_conserved"]
    files = files_of(partition)
    assert verdict(line, station, check, table_of(partition), files)
    assert not verdict(line, station, check, table_of(partition), dict(list(files.items())[1:]))


def test_a_file_that_is_no_warc_costs_only_itself(sample: Path, tmp_path: Path, engine: Any) -> None:
    """It is not read to its end, and that is no fault of the reader."""
    shutil.copytree(sample, tmp_path / "mirror")
    (warc, *_) = sorted((tmp_path / "mirror").rglob("*.warc.gz"))
    warc.write_bytes(b"PK\x03\x04" + bytes(3 << 20))
    bearing = {**RESILIPARSE, "loss.files": 0.25, "loss.bytes": 1}
    line = Line(Settings(source=str(tmp_path / "mirror"), lake=tmp_path / "lake", recipe_set=bearing, workers=2))
    for staged in line.run(SAMPLE_SNAPSHOT, engine):
        if staged.station.name == "documents":
            assert staged.manifest.stats["refused_files"] == 1
            assert staged.failed == []
            break


def test_every_check_has_a_fault(curated: dict[str, Curated]) -> None:
    stations = [station for line, *_ in curated.values() for station in line.stations]
    checks = {check.name for station in stations for check in station.conservation}
    shown = {check for *_, check, _ in [*FAULTS, *FAULTS_OF_METHODS, *TABLE_FAULTS, *COUNTER_FAULTS]}
    assert checks - shown == {"tokenizer_is_reversible", "mds_holds_the_shards", "report_tells_what_was_counted"}


DOCS = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "write_checks.py"))


def test_the_table_of_checks_is_current() -> None:
    """Write it again with `python docs/write_checks.py > docs/checks.md`."""
    assert (Path(__file__).parents[1] / "docs" / "checks.md").read_text() == DOCS["write"]()


@pytest.mark.parametrize("station", DOCS["stations"](), ids=lambda station: station.name)
def test_what_a_table_holds_is_conserved(station: Station) -> None:
    """Rows always, and bytes and tokens where there are any; the tokenizer has neither."""
    guarded = {quantity for check in station.conservation for quantity in DOCS["conserves"](check.name)}
    columns = set(station.schema.names) if station.schema is not None else set()
    wanted = {"rows"} if station.name != "tokenizer" else {"bytes"}
    wanted |= {"bytes"} if columns & {"text", "spans", "ids"} else set()
    wanted |= {"tokens"} if "token_count" in columns else set()
    assert wanted <= guarded
