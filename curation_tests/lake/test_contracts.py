"""Contracts on small tables: what is counted, what is sampled, and what judging never does."""

import json
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation_assets.filtering.signals import annotate_signals
from curation_assets.filtering.stations import DOC, SIGNALS, SIGNALS_CONTRACT
from curation_assets.lake import checks, expectations, metrics
from curation_assets.lake.checks import CheckResult, contract_check, judge_contract
from curation_assets.lake.contracts import FEW, Column, Contract
from curation_assets.lake.lake import CHECKS, Lake
from curation_assets.lake.metrics import Table
from curation_assets.lake.station import CheckFailed, run, staging
from curation_tests.lake.test_station import NUMBERS, SNAPSHOT, Inline, numbers, products

SCHEMA = pa.schema([("doc", pa.int64()), ("score", pa.float64()), ("name", pa.string()), ("text", pa.large_string())])
HOSTILE = '<script>alert("1")</script>\0$name %s {{x}} \' "'


def table(folder: Path, *parts: list[tuple]) -> Table:
    """Rows of SCHEMA, or of as many of its columns as a row has values, as parts."""
    rows = {}
    for number, part in enumerate(parts):
        columns = list(zip(*part, strict=True)) or [[] for _ in SCHEMA]
        path = folder / f"part-{number:05d}.parquet"
        arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
        pq.write_table(pa.table(arrays, schema=SCHEMA), path)
        rows[path.name] = len(part)
    return Table([folder / name for name in rows], rows, {}, {})


def judge(made: Table, contract: Contract) -> CheckResult:
    return judge_contract(contract_check(contract, SCHEMA), made)


def rules_broken(result: CheckResult) -> dict[str, tuple[int, str]]:
    return {row["rule"]: (row["rows that break it"], row["keys"]) for row in result.evidence.get("broken", [])}


def row(doc: int, score: float | None = 0.5, name: str | None = "a", text: str | None = "t") -> tuple:
    return doc, score, name, text


def test_each_rule_counts_its_rows_and_names_them(tmp_path: Path) -> None:
    contract = Contract({"score": Column(least=0, most=1), "name": Column(among=("a", "b")), "text": Column(null=True)})
    made = table(tmp_path, [row(1), row(2, 1.5), row(3, float("nan")), row(4, None, "c"), row(5, text=None)])
    result = judge(made, contract)
    assert rules_broken(result) == {
        "score is from 0 to 1": (2, "doc 2, doc 3"),
        "score is never null": (1, "doc 4"),
        "name is one of `a`, `b`": (1, "doc 4"),
    }
    assert "name is one of `a`, `b` (1 rows break it: doc 4)" in result.told


def test_a_key_is_unique_over_all_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PASS_ROWS", 2)
    sound = table(tmp_path, [row(1), row(2)], [row(3), row(4)], [row(5)])
    assert len(list(sound.passes())) == 3
    assert judge(sound, Contract()).passed
    (tmp_path / "b").mkdir()
    again = table(tmp_path / "b", [row(1), row(2)], [row(3), row(4)], [row(2)])
    assert set(rules_broken(judge(again, Contract()))) == {"doc is unique"}


def test_long_texts_are_judged_in_the_sample_and_named_by_it(tmp_path: Path) -> None:
    result = judge(table(tmp_path, [row(1), row(2, text=None), row(3)]), Contract())
    assert rules_broken(result) == {"text is never null": (1, "doc 2")}


def test_the_sample_is_bounded_the_same_and_from_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SAMPLE_ROWS", 64)
    made = table(tmp_path, *([row(part << 32 | i, text="x" * 5000) for i in range(20)] for part in range(40)))
    taken = metrics.sample(made, Contract(), SCHEMA)
    assert taken.equals(metrics.sample(made, Contract(), SCHEMA))
    assert taken.num_rows == 64
    assert len({doc >> 32 for doc in taken["doc"].to_pylist()}) == metrics.SAMPLE_GROUPS
    assert max(map(len, taken["text"].to_pylist())) == metrics.SAMPLE_CHARACTERS


def test_names_that_the_world_gives_may_be_odd_in_a_few_rows(tmp_path: Path) -> None:
    contract = Contract({"name": Column(regex="[a-z]", mostly=0.9), "text": Column(null=True)})
    odd = [row(i, name=HOSTILE) for i in range(FEW)]
    assert judge(table(tmp_path, odd), contract).passed
    (tmp_path / "b").mkdir()
    assert not judge(table(tmp_path / "b", [*odd, row(FEW, name=HOSTILE)]), contract).passed


def test_too_few_rows_and_no_rows(tmp_path: Path) -> None:
    assert judge(table(tmp_path, []), Contract()).passed
    assert set(rules_broken(judge(table(tmp_path, []), Contract(least_rows=1)))) == {"rows are at least 1"}


def test_a_contract_about_a_column_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="the table has not: other"):
        Contract({"other": Column()}).rules(SCHEMA)


def test_what_cannot_be_evaluated_is_no_verdict(tmp_path: Path) -> None:
    """Great Expectations reports its own faults as failed expectations."""
    with pytest.raises(duckdb.Error, match="missing"):
        judge(table(tmp_path, [row(1)]), Contract({"name": Column(regex="(")}))


def test_judging_opens_no_connection_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    made = table(tmp_path / "data", [row(1), row(1)])

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    assert not judge(made, Contract()).passed
    check = contract_check(Contract(), SCHEMA)
    expectations.write_data_docs("t", SNAPSHOT, check.rules, checks.frames(check, made)[0], tmp_path / "docs")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "docs"]


def test_data_docs_stand_alone_and_run_nothing(tmp_path: Path) -> None:
    contract = Contract({"name": Column(regex="[a-z]"), "text": Column(regex="[a-z]")})
    (tmp_path / "data").mkdir()
    made = table(tmp_path / "data", [row(1, name=HOSTILE, text=HOSTILE)])
    check = contract_check(contract, SCHEMA)
    frames = checks.frames(check, made)[0]
    index = expectations.write_data_docs("t", SNAPSHOT, check.rules, frames, tmp_path / "docs")
    assert "broken" in index.read_text()
    pages = sorted((tmp_path / "docs").rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        content = page.read_text()
        assert "Content-Security-Policy" in content
        assert not re.search(r"<script|<link|<img|alert\(", content)
    expectations.write_data_docs("t", SNAPSHOT, check.rules, frames, tmp_path / "docs")
    with pytest.raises(FileExistsError, match="holds no data docs"):
        expectations.write_data_docs("t", SNAPSHOT, check.rules, frames, tmp_path / "data")


def test_what_was_found_is_kept_beside_the_data_and_not_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path)
    station = replace(numbers((1, 2)), schema=NUMBERS)
    first = run(station, lake, SNAPSHOT, Inline())
    assert [one.check.name for one in first.results] == ["contract_holds"]
    monkeypatch.setattr(expectations, "_context", lambda: pytest.fail("judged again"))
    again = run(station, lake, SNAPSHOT, Inline())
    assert not again.fresh
    assert [one.evidence for one in again.results] == [one.evidence for one in first.results]
    monkeypatch.undo()
    other = replace(station, contract=Contract({"value": Column(most=1)}))
    with staging(other, lake, SNAPSHOT, Inline()) as staged:
        assert not staged.fresh
        assert [row["keys"] for row in staged.failed[0].evidence["broken"]] == ["doc 1"]


def test_what_broke_lies_in_staging_and_nothing_is_published(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    run(numbers((1, 2)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    before = lake.partition(("r", "products"), SNAPSHOT).manifest()
    strict = replace(products(7), contract=Contract({"value": Column(most=7)}))
    with pytest.raises(CheckFailed, match="value is at most 7"):
        run(strict, lake, SNAPSHOT, Inline())
    partition = lake.partition(("r", "products"), SNAPSHOT)
    assert partition.manifest() == before
    assert not json.loads((partition.staging / CHECKS).read_text())["results"][0]["passed"]
    assert all(one["passed"] for one in json.loads((partition.folder / CHECKS).read_text())["results"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.one_of(st.none(), st.text(max_size=300)), min_size=1, max_size=8))
def test_no_text_breaks_the_contract_of_signals(tmp_path: Path, texts: list[str | None]) -> None:
    """A contract that a hostile page could break would stop a whole snapshot."""
    schema = pa.schema([DOC, *SIGNALS])
    measured = annotate_signals(pa.array(texts, pa.large_string()))
    path = tmp_path / "part-00000.parquet"
    pq.write_table(measured.add_column(0, DOC, pa.array(np.arange(len(texts)))).cast(schema), path)
    rules = [rule for rule in SIGNALS_CONTRACT.rules(schema) if rule.kind not in ("columns", "reference")]
    counted = metrics.metrics(Table([path], {path.name: len(texts)}, {}, {}), rules, schema).to_pylist()[0]
    assert {rule.says: counted[rule.says] for rule in rules if counted[rule.says]} == {}


def test_the_library_is_imported_only_where_it_judges() -> None:
    program = (
        "import sys, curation_assets.line, curation_assets.lake.checks; print('great_expectations' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
