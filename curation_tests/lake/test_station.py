"""Stations on a tiny lake: what is redone, what is published, and what a kill leaves behind."""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from curation_assets.lake import checks as checks_module
from curation_assets.lake import lake as lake_module
from curation_assets.lake import station as station_module
from curation_assets.lake.lake import Lake, LakeError, Manifest
from curation_assets.lake.parts import PartWriter, describe, part_name, read_batches, read_table
from curation_assets.lake.station import (
    Check,
    CheckFailed,
    PartStation,
    SnapshotJob,
    SnapshotStation,
    run,
    staging,
)

SNAPSHOT = "CC-MAIN-2000-01"
NUMBERS = pa.schema([("doc", pa.int64()), ("value", pa.int64())])


class Inline:
    """An engine without processes that remembers what it was asked to do."""

    def __init__(self) -> None:
        self.items = []

    def map(self, function, items) -> Iterator:
        for item in items:
            self.items.append(item)
            yield function(item)


class Dying(Inline):
    """Makes one part, and fails at the next."""

    def map(self, function, items) -> Iterator:
        for item in items:
            if self.items:
                raise RuntimeError("killed here")
            yield from super().map(function, [item])


class Factor(BaseModel):
    factor: int = 2


class Numbers(BaseModel):
    parts: tuple[tuple[int, ...], ...]


def write_numbers(job: SnapshotJob) -> dict[str, int]:
    for part, values in enumerate(job.params.parts):
        with PartWriter(job.folder / part_name(part), NUMBERS, "") as writer:
            docs = [part << 32 | row for row in range(len(values))]
            writer.write(pa.table({"doc": docs, "value": list(values)}, schema=NUMBERS))
    return {"rows_out": sum(map(len, job.params.parts))}


def multiply(inputs, writer, params) -> None:
    table = read_table(inputs["numbers"])
    values = [value * params.factor for value in table["value"].to_pylist() if value != 13]
    writer.write(pa.table({"doc": table["doc"][: len(values)], "value": values}, schema=NUMBERS))
    writer.count("rows_in", table.num_rows)
    writer.count("rows_out", len(values))


def numbers(*parts: tuple[int, ...]) -> SnapshotStation:
    return SnapshotStation(
        key=("numbers",), group="g", description="d", version="1", params=Numbers(parts=parts), step=write_numbers
    )


def products(factor: int = 2) -> PartStation:
    return PartStation(
        key=("r", "products"),
        group="g",
        description="d",
        version="1",
        params=Factor(factor=factor),
        inputs={"numbers": ("numbers",), "documents": ("numbers",)},
        schema=NUMBERS,
        step=multiply,
        conservation=(Check("every_document_has_one_row", "one row each"),),
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def content(lake: Lake, station) -> dict[str, bytes]:
    folder = lake.partition(station.key, SNAPSHOT).folder
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_station_writes_parts_and_a_manifest(lake: Lake) -> None:
    run(numbers((1, 2), (3,)), lake, SNAPSHOT, Inline())
    staged = run(products(), lake, SNAPSHOT, Inline())
    partition = lake.partition(("r", "products"), SNAPSHOT)
    assert [read_table(path)["value"].to_pylist() for path in partition.paths(".parquet")] == [[2, 4], [6]]
    assert partition.manifest().stats == {"rows_in": 3, "rows_out": 3}
    assert staged.fresh
    assert [(result.check.name, result.passed) for result in staged.results] == [
        ("contract_holds", True),
        ("every_document_has_one_row", True),
    ]
    assert not partition.staging.exists()


def test_a_large_table_is_checked_a_few_parts_at_a_time(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    execute = checks_module.execute

    def counting(con, name, parameters=None):
        seen.append(con.sql("SELECT count(*) FROM this").fetchall()[0][0])
        return execute(con, name, parameters)

    monkeypatch.setattr(checks_module, "execute", counting)
    monkeypatch.setattr("curation_assets.lake.metrics.PASS_ROWS", 3)
    run(numbers((1, 2), (3,), (4, 5, 6)), lake, SNAPSHOT, Inline())
    check = Check("every_document_has_one_row", "one row each", by_parts=("documents",))
    station = replace(products(), conservation=(check,))
    (_, found) = run(station, lake, SNAPSHOT, Inline()).results
    assert seen == [3, 3]
    assert (found.passed, found.evidence["documents"], found.evidence["rows"]) == (True, 6, 6)
    run(numbers((1, 2), (13, 3), (4, 5, 6)), lake, SNAPSHOT, Inline())
    with pytest.raises(CheckFailed, match="'missing': 1"):
        run(station, lake, SNAPSHOT, Inline())


def test_a_table_that_lacks_a_part_is_checked_whole(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation_assets.lake.metrics.PASS_ROWS", 1)
    run(numbers((1, 2), (3,), (4,)), lake, SNAPSHOT, Inline())
    check = Check("every_document_has_one_row", "one row each", by_parts=("documents",))
    staged = run(replace(products(), conservation=(check,)), lake, SNAPSHOT, Inline())
    manifest = staged.manifest.model_copy(update={"files": staged.manifest.files[:2]})
    data = checks_module.Judged(staged.paths()[:2], manifest, staged.inputs, ("documents",))
    (found,) = checks_module.judge([check], data)
    assert (found.passed, found.evidence["missing"]) == (False, 1)


def test_running_again_does_nothing(lake: Lake) -> None:
    run(numbers((1, 2), (3,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    before = content(lake, products())
    engine = Inline()
    staged = run(products(), lake, SNAPSHOT, engine)
    assert not staged.fresh
    assert engine.items == []
    assert content(lake, products()) == before


def test_only_parts_whose_input_changed_are_redone(lake: Lake) -> None:
    run(numbers((1, 2), (3,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    run(numbers((1, 2), (4,)), lake, SNAPSHOT, Inline())
    engine = Inline()
    staged = run(products(), lake, SNAPSHOT, engine)
    assert [item.target.name for item in engine.items] == [part_name(1)]
    assert (staged.parts_done, staged.parts_reused) == (1, 1)
    assert staged.manifest.stats == {"rows_in": 3, "rows_out": 3}


def test_a_changed_parameter_redoes_every_part(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    run(products(2), lake, SNAPSHOT, Inline())
    engine = Inline()
    run(products(3), lake, SNAPSHOT, engine)
    assert len(engine.items) == 2
    assert [read_table(p)["value"].to_pylist() for p in lake.partition(("r", "products"), SNAPSHOT).paths()] == [
        [3],
        [9],
    ]


def test_a_part_that_is_gone_from_the_input_is_deleted(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    run(numbers((1,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    assert sorted(content(lake, products())) == [".lock", "_checks.json", "_manifest.json", part_name(0)]


class Elsewhere(Inline):
    """An engine on a machine that died once while it wrote, or whose disk is not that of the others."""

    def __init__(self, unseen: str = "") -> None:
        super().__init__()
        self.unseen = unseen

    def map(self, function, items) -> Iterator:
        for item in items:
            (item.target.parent / f".{item.target.name}.0123456789abcdef.tmp").write_bytes(b"cut off")
            result = function(item)
            if item.target.name == self.unseen:
                item.target.unlink()
            yield result


def test_what_a_dead_task_left_is_not_published(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Elsewhere())
    assert sorted(content(lake, products())) == [".lock", "_checks.json", "_manifest.json", part_name(0), part_name(1)]


def test_what_a_dead_task_left_is_no_file_of_a_station_that_sees_all(lake: Lake) -> None:
    def leave(job: SnapshotJob) -> dict[str, int]:
        (job.folder / f".{part_name(0)}.0123456789abcdef.tmp").write_bytes(b"cut off")
        return write_numbers(job)

    staged = run(replace(numbers((1,)), step=leave), lake, SNAPSHOT, Inline())
    assert [file.name for file in staged.manifest.files] == [part_name(0)]


def test_a_part_that_is_not_seen_here_is_not_published(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    before = content(lake, products())
    engine = Elsewhere(unseen=part_name(1))
    with staging(products(3), lake, SNAPSHOT, engine) as staged:
        staged.__dict__["results"] = []
        with pytest.raises(LakeError, match=f"{part_name(1)} was made, and is not here as it was made"):
            staged.publish()
    assert content(lake, products()) == before


def test_one_part_written_twice_at_once_is_whole(tmp_path: Path) -> None:
    path = tmp_path / part_name(0)
    rows = pa.table({"doc": [1, 2], "value": [3, 4]}, schema=NUMBERS)
    with PartWriter(path, NUMBERS, "f") as first:
        first.write(rows)
        with PartWriter(path, NUMBERS, "f") as second:
            second.write(rows)
        known = path.read_bytes()
    assert path.read_bytes() == known
    assert list(tmp_path.iterdir()) == [path]


def test_finished_parts_survive_a_failure_and_nothing_is_published(lake: Lake) -> None:
    run(numbers((1,), (5,)), lake, SNAPSHOT, Inline())
    with pytest.raises(RuntimeError, match="killed here"):
        run(products(), lake, SNAPSHOT, Dying())
    partition = lake.partition(("r", "products"), SNAPSHOT)
    assert partition.committed() is None
    assert [path.name for path in partition.staging.iterdir()] == [part_name(0)]
    engine = Inline()
    run(products(), lake, SNAPSHOT, engine)
    assert [item.target.name for item in engine.items] == [part_name(1)]


def test_a_kill_at_any_moment_of_a_commit_gives_the_same_bytes_when_run_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills before every single rename, unlink and write of a commit that replaces an older partition."""
    run(numbers((1, 2), (3,), (4,)), lake, SNAPSHOT, Inline())
    run(products(3), lake, SNAPSHOT, Inline())
    undisturbed = content(lake, products(3))

    class Killed(BaseException):
        pass

    for kill_at in range(1, 20):
        run(products(2), lake, SNAPSHOT, Inline())
        steps = iter(range(1, 1000))

        def dying(original, steps=steps, kill_at=kill_at):
            def call(self, *args, **kwargs):
                if next(steps) == kill_at:
                    raise Killed
                return original(self, *args, **kwargs)

            return call

        with staging(products(3), lake, SNAPSHOT, Inline()) as staged, monkeypatch.context() as patch:
            assert not staged.failed
            patch.setattr(Path, "replace", dying(Path.replace))
            patch.setattr(Path, "unlink", dying(Path.unlink))
            try:
                staged.publish()
            except Killed:
                pass
            else:
                break
        run(products(3), lake, SNAPSHOT, Inline())
        assert content(lake, products(3)) == undisturbed
    else:
        pytest.fail("the commit never finished")
    assert kill_at > 4


def test_a_half_written_part_is_made_again(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    with staging(products(), lake, SNAPSHOT, Inline()) as staged:
        damaged = staged.partition.staging / part_name(0)
        damaged.write_bytes(damaged.read_bytes()[:-7])
    engine = Inline()
    run(products(), lake, SNAPSHOT, engine)
    assert [item.target.name for item in engine.items] == [part_name(0)]


def test_a_deleted_file_is_made_again(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    before = content(lake, products())
    (lake.partition(("r", "products"), SNAPSHOT).folder / part_name(1)).unlink()
    run(products(), lake, SNAPSHOT, Inline())
    assert content(lake, products()) == before


def test_data_that_breaks_a_check_is_not_published_and_the_old_partition_stays(lake: Lake) -> None:
    run(numbers((1, 2)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    before = lake.partition(("r", "products"), SNAPSHOT).manifest()
    run(numbers((1, 13)), lake, SNAPSHOT, Inline())
    with pytest.raises(CheckFailed, match="every_document_has_one_row") as caught:
        run(products(), lake, SNAPSHOT, Inline())
    assert caught.value.failed[0].evidence["missing"] == 1
    assert lake.partition(("r", "products"), SNAPSHOT).manifest() == before


def test_an_input_that_is_not_there_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match="numbers/CC-MAIN-2000-01 is not materialised"):
        run(products(), lake, SNAPSHOT, Inline())


def test_progress_reports_parts_and_counters(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    seen = []
    run(
        products(),
        lake,
        SNAPSHOT,
        Inline(),
        lambda done, total, stats, phase="": seen.append((done, total, stats.get("rows_out"))),
    )
    assert seen[0][:2] == (0, 2)
    assert seen[-1] == (2, 2, 2)


def test_the_manifest_is_readable_json_without_times(lake: Lake) -> None:
    run(numbers((1,)), lake, SNAPSHOT, Inline())
    path = lake.partition(("numbers",), SNAPSHOT).folder / "_manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["files"][0]["rows"] == 1
    assert Manifest.model_validate(manifest).digest == Manifest.model_validate_json(path.read_text()).digest
    assert not {"time", "date", "created"} & set(manifest)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_writer_that_fails_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(RuntimeError), PartWriter(tmp_path / f"a.{suffix}", NUMBERS, "f") as writer:
        writer.write(pa.table({"doc": [1], "value": [1]}, schema=NUMBERS))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_part_tells_its_fingerprint_rows_and_counters(tmp_path: Path, suffix: str) -> None:
    with PartWriter(tmp_path / f"a.{suffix}", NUMBERS, "f") as writer:
        writer.write(pa.table({"value": [5, 6], "doc": [1, 2]}))
        writer.count("seen", 2)
        writer.count("seen")
    file = describe(tmp_path / f"a.{suffix}")
    assert (file.fingerprint, file.rows, file.stats) == ("f", 2, {"seen": 3})


def test_an_empty_part_is_a_file_with_the_schema(tmp_path: Path) -> None:
    with PartWriter(tmp_path / "a.parquet", NUMBERS, "f"):
        pass
    assert pq.read_schema(tmp_path / "a.parquet").names == NUMBERS.names


def test_module_has_no_dagster() -> None:
    assert "dagster" not in vars(station_module)


def test_a_second_run_of_a_partition_waits_for_the_first(lake: Lake) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    order = []

    def second() -> None:
        run(products(), lake, SNAPSHOT, Inline())
        order.append("second")

    with staging(products(), lake, SNAPSHOT, Inline()) as staged:
        other = Thread(target=second)
        other.start()
        other.join(0.3)
        staged.publish()
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_batches_never_join_what_was_written_apart(tmp_path: Path) -> None:
    """A writer bounds what it writes by bytes; joining row groups would undo that."""
    with PartWriter(tmp_path / "a.parquet", NUMBERS, "f") as writer:
        for rows in (3, 1, 5):
            writer.write(pa.table({"doc": range(rows), "value": range(rows)}, schema=NUMBERS))
    assert [batch.num_rows for batch in read_batches(tmp_path / "a.parquet", ["doc"], 4)] == [3, 1, 4, 1]


def test_the_manifest_says_what_made_it(lake: Lake) -> None:
    run(numbers((1,)), lake, SNAPSHOT, Inline())
    manifest = run(products(5), lake, SNAPSHOT, Inline()).manifest
    assert (manifest.code_version, manifest.params) == ("1", {"factor": 5})
    assert manifest.inputs == {"numbers": ("numbers",), "documents": ("numbers",)}
    partition = lake.partition(("r", "products"), SNAPSHOT)
    assert partition.manifest() == manifest
    assert lake.origin(partition, "documents") == lake.partition(("numbers",), SNAPSHOT)
    with pytest.raises(LakeError, match="does not say which corpus"):
        lake.origin(partition, "corpus")


def test_a_manifest_of_an_earlier_version_can_be_read(lake: Lake) -> None:
    manifest = run(numbers((1,)), lake, SNAPSHOT, Inline()).manifest
    old = manifest.model_dump(mode="json", exclude={"code_version", "params", "inputs"})
    assert Manifest.model_validate(old).files == manifest.files


def test_checks_see_the_counters_of_every_input(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "SELECT value = 2 AS passed, value FROM documents_stats WHERE name = 'rows_out'"
    for module in ("checks", "query"):
        monkeypatch.setattr(f"curation_assets.lake.{module}.statement", lambda name: text)
    run(numbers((1, 2)), lake, SNAPSHOT, Inline())
    (_, found) = run(products(), lake, SNAPSHOT, Inline()).results
    assert (found.passed, found.evidence) == (True, {"value": 2})


def test_a_survey_decides_whether_a_source_is_read_again(lake: Lake) -> None:
    saw: list[object] = []

    def outside(content: int, seen: object) -> SnapshotStation:
        return replace(numbers((content,)), params=None, step=partial(write_content, content), survey=lambda _: seen)

    def write_content(content: int, job: SnapshotJob) -> dict[str, int]:
        saw.append(content)
        return write_numbers(replace(job, params=Numbers(parts=((content,),))))

    assert run(outside(1, "a"), lake, SNAPSHOT, Inline()).fresh
    assert not run(outside(2, "a"), lake, SNAPSHOT, Inline()).fresh
    before = content(lake, numbers((1,)))
    again = run(outside(1, "b"), lake, SNAPSHOT, Inline())
    after = content(lake, numbers((1,)))
    assert before.pop(".survey") != after.pop(".survey")
    assert before == after, "the survey is no part of what is committed"
    assert again.fresh
    blind = run(outside(2, None), lake, SNAPSHOT, Inline())
    assert (blind.fresh, bool(blind.note)) == (False, True)
    assert run(outside(2, "c"), lake, SNAPSHOT, Inline()).manifest.digest != again.manifest.digest
    assert saw == [1, 1, 2]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_before_the_commit_loses_no_part(lake: Lake, interruption: type[BaseException]) -> None:
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    with pytest.raises(interruption), staging(products(), lake, SNAPSHOT, Inline()):
        raise interruption
    partition = lake.partition(("r", "products"), SNAPSHOT)
    assert partition.committed() is None
    engine = Inline()
    staged = run(products(), lake, SNAPSHOT, engine)
    assert (engine.items, staged.parts_reused, staged.fresh) == ([], 2, True)
    assert not partition.staging.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_parts_are_made_leaves_the_finished_ones(lake: Lake, number: signal.Signals) -> None:
    """The lock is let go, the finished part is kept, and the next run makes the other one."""
    run(numbers((1,), (3,)), lake, SNAPSHOT, Inline())
    program = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        # Whoever starts the tests in the background may have it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from curation_tests.lake.test_station import *\n"
        "class Slow(Inline):\n"
        "    def map(self, function, items):\n"
        "        yield function(items[0])\n"
        "        print('made', flush=True)\n"
        "        time.sleep(60)\n"
        "run(products(), Lake(Path(sys.argv[1])), SNAPSHOT, Slow())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(lake.root)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    process.send_signal(number)
    process.wait(20)
    process.stdout.close()
    engine = Inline()
    run(products(), lake, SNAPSHOT, engine)
    assert [item.target.name for item in engine.items] == [part_name(1)]


def test_a_run_that_waits_says_so(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lake_module, "QUIET_SECONDS", 0.1)
    partition = lake.partition(("r", "products"), SNAPSHOT)

    def second() -> None:
        with partition.lock():
            pass

    other = Thread(target=second)
    with caplog.at_level(logging.WARNING), partition.lock():
        other.start()
        while not caplog.messages and other.is_alive():
            other.join(0.05)
        assert caplog.messages == ["r/products/CC-MAIN-2000-01 is being made by another run: waiting until it is done"]
        assert other.is_alive()
    other.join(20)
    assert not other.is_alive()
