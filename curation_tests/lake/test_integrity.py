"""Bit rot: found by reading again, named when it stands in the way, and mended by making one part again."""

import shutil
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.cli import app
from curation_assets.definitions import build_definitions
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.integrity import ROTTEN, committed_partitions, look, recorded, set_aside
from curation_assets.lake.lake import CHECKS, MANIFEST, DamagedError, Lake, fingerprint
from curation_assets.lake.parts import PartWriter, describe, read_table
from curation_assets.lake.station import SnapshotJob, SnapshotStation, Staged, run, staging
from curation_assets.line import Line
from curation_assets.partitions import SNAPSHOTS
from curation_tests.conftest import RESILIPARSE
from curation_tests.lake.test_station import NUMBERS, SNAPSHOT, Inline, numbers, products

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})


def add_up(job: SnapshotJob) -> dict[str, int]:
    """A station that says what of a killed run it takes up."""
    paths = job.inputs["products"].paths()
    made_from = fingerprint(job.inputs["products"].manifest().digest)
    if job.finished.take(["total.txt"], made_from) is None:
        total = sum(sum(read_table(path)["value"].to_pylist()) for path in paths)
        (job.folder / "total.txt").write_text(str(total))
        job.finished.add(describe(job.folder / "total.txt", made_from))
    return {}


def totals() -> SnapshotStation:
    return SnapshotStation(
        key=("r", "totals"),
        group="g",
        description="d",
        version="1",
        step=add_up,
        inputs={"products": ("r", "products")},
    )


def flip(path: Path, at: int) -> None:
    """Change one bit; a negative place counts from the end."""
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def files_of(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in (".lock", ".survey")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    run(numbers((1, 2), (3, 4), (5, 6)), lake, SNAPSHOT, Inline())
    run(products(), lake, SNAPSHOT, Inline())
    return lake


def test_sound_files_have_no_fault(lake: Lake) -> None:
    partitions = committed_partitions(lake)
    assert [partition.name for partition in partitions] == [f"numbers/{SNAPSHOT}", f"r/products/{SNAPSHOT}"]
    assert [look(item) for partition in partitions for item in recorded(partition)] == [None] * 6


@pytest.mark.parametrize("at", [4, 40, -5, -60])
def test_every_bit_counts(lake: Lake, at: int) -> None:
    partition = lake.partition(("r", "products"), SNAPSHOT)
    damaged = partition.folder / "part-00001.parquet"
    flip(damaged, at)
    (fault,) = filter(None, map(look, recorded(partition)))
    assert fault.path == damaged


def test_a_manifest_that_says_what_is_not_so_is_found(lake: Lake) -> None:
    partition = lake.partition(("r", "products"), SNAPSHOT)
    path = partition.folder / MANIFEST
    path.write_text(path.read_text().replace('"rows": 2', '"rows": 3', 1))
    (fault,) = filter(None, map(look, recorded(partition)))
    assert fault.path == path
    path.write_text(path.read_text()[1:])
    with pytest.raises(DamagedError, match="verify --repair"):
        run(products(), lake, SNAPSHOT, Inline())


@pytest.mark.parametrize("damage", ["middle", "footer", "cut", "gone"])
def test_a_damaged_part_is_made_again_and_no_other(lake: Lake, damage: str) -> None:
    before = files_of(lake.root)
    partition = lake.partition(("r", "products"), SNAPSHOT)
    path = partition.folder / "part-00001.parquet"
    match damage:
        case "middle":
            flip(path, 60)
        case "footer":
            flip(path, -20)
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case _:
            path.unlink()
    set_aside(partition, filter(None, map(look, recorded(partition))))
    assert not path.exists()
    again = run(products(), lake, SNAPSHOT, Inline())
    assert (again.parts_done, again.parts_reused) == (1, 2)
    assert files_of(lake.root) == before


def test_a_damaged_file_of_a_whole_snapshot_has_all_of_it_made_again(lake: Lake) -> None:
    before = files_of(lake.root)
    partition = lake.partition(("numbers",), SNAPSHOT)
    flip(partition.folder / "part-00000.parquet", 50)
    set_aside(partition, filter(None, map(look, recorded(partition))))
    assert (partition.folder / f".part-00000.parquet{ROTTEN}").exists()
    station = numbers((1, 2), (3, 4), (5, 6))
    assert run(station, lake, SNAPSHOT, Inline()).parts_done == 3
    assert files_of(lake.root) == before
    assert not run(products(), lake, SNAPSHOT, Inline()).fresh


@pytest.mark.parametrize("at", [30, -20])
def test_an_input_that_cannot_be_read_is_named_and_nothing_is_published(lake: Lake, at: int) -> None:
    """Also in its footer, which is read first."""
    damaged = lake.partition(("numbers",), SNAPSHOT).folder / "part-00001.parquet"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:at] + bytes(8) + content[at + 8 or None :] if at > 0 else content[:at] + bytes(-at))
    with pytest.raises(DamagedError, match=rf"{damaged.name} is damaged.*curation verify --repair"):
        run(products(factor=3), lake, SNAPSHOT, Inline())
    assert lake.partition(("r", "products"), SNAPSHOT).manifest().params == {"factor": 2}


def test_a_table_that_cannot_be_judged_is_named(lake: Lake) -> None:
    """A partition that is up to date is judged where other checks were asked of it before."""
    damaged = lake.partition(("r", "products"), SNAPSHOT).folder / "part-00002.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-8] + bytes(8))
    assert not run(products(), lake, SNAPSHOT, Inline()).fresh
    damaged.with_name(CHECKS).unlink()
    with pytest.raises(DamagedError, match=damaged.name):
        run(products(), lake, SNAPSHOT, Inline())


def test_silent_rot_is_not_read_when_every_read_is_verified(lake: Lake) -> None:
    """Parquet's pages have no checksum: some bits change a value and nothing else."""
    path = lake.partition(("numbers",), SNAPSHOT).folder / "part-00000.parquet"
    sound = read_table(path)
    silent = next(at for at in range(len(path.read_bytes())) if silently_wrong(path, at, sound))
    flip(path, silent)
    assert not run(products(factor=3), lake, SNAPSHOT, Inline()).failed
    with pytest.raises(DamagedError, match="part-00000"):
        run(products(factor=4), Lake(lake.root, verify=True), SNAPSHOT, Inline())


def respell(path: Path, values: list[int]) -> None:
    """Put a part with other values, which has as many bytes and can be read, in place of a committed one."""
    committed = path.read_bytes()
    docs = read_table(path, ["doc"])["doc"]
    told = describe(path)
    with PartWriter(path, NUMBERS, told.fingerprint) as writer:
        writer.stats = told.stats
        writer.write(pa.table({"doc": docs, "value": values}, schema=NUMBERS))
    spoilt = path.read_bytes()
    assert (len(spoilt), spoilt == committed) == (len(committed), False)


def mended(lake: Lake, how: str, path: Path, kept: Path) -> None:
    """Bring a spoilt part of the numbers back: as `curation verify --repair` does, or from a copy, with its times."""
    if how == "verify --repair":
        partition = lake.partition(("numbers",), SNAPSHOT)
        set_aside(partition, filter(None, map(look, recorded(partition))))
    else:
        shutil.copy2(kept, path)
    run(numbers((1, 2), (3, 4), (5, 6)), lake, SNAPSHOT, Inline())


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    """Of a lake as `lake` is, after products by three and their totals."""
    lake = Lake(tmp_path / "undisturbed")
    run(numbers((1, 2), (3, 4), (5, 6)), lake, SNAPSHOT, Inline())
    run(products(factor=3), lake, SNAPSHOT, Inline())
    run(totals(), lake, SNAPSHOT, Inline())
    return files_of(lake.root)


@pytest.mark.parametrize("how", ["verify --repair", "a copy"])
@pytest.mark.parametrize(
    ("values", "told"), [([13, 4], "the checks find it"), ([7, 4], "killed before the checks find it")]
)
def test_nothing_is_gone_on_from_that_was_made_of_a_spoilt_input(
    lake: Lake, undisturbed: dict[str, bytes], tmp_path: Path, how: str, values: list[int], told: str
) -> None:
    """A part spoilt without a trace is read; what was staged from it is not taken up once it is mended."""
    spoilt = lake.partition(("numbers",), SNAPSHOT).folder / "part-00001.parquet"
    kept = shutil.copy2(spoilt, tmp_path / "kept")
    respell(spoilt, values)
    if told == "the checks find it":
        for _ in range(2):
            with pytest.raises(DamagedError, match=rf"every_document_has_one_row(?s:.*){spoilt.name} is damaged"):
                run(products(factor=3), lake, SNAPSHOT, Inline())
    else:
        with staging(products(factor=3), lake, SNAPSHOT, Inline()) as staged:
            assert staged.parts_done == 3
    assert lake.partition(("r", "products"), SNAPSHOT).manifest().params == {"factor": 2}

    mended(lake, how, spoilt, kept)
    again = run(products(factor=3), lake, SNAPSHOT, Inline())
    run(totals(), lake, SNAPSHOT, Inline())
    assert files_of(lake.root) == undisturbed
    if how == "a copy":
        assert (again.parts_done, again.parts_reused) == (1, 2)


def test_nothing_of_a_whole_snapshot_is_gone_on_from_either(
    lake: Lake, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    run(products(factor=3), lake, SNAPSHOT, Inline())
    spoilt = lake.partition(("r", "products"), SNAPSHOT).folder / "part-00001.parquet"
    kept = shutil.copy2(spoilt, tmp_path / "kept")
    respell(spoilt, [9, 13])
    with staging(totals(), lake, SNAPSHOT, Inline()):
        pass
    shutil.copy2(kept, spoilt)
    run(totals(), lake, SNAPSHOT, Inline())
    assert files_of(lake.root) == undisturbed


def test_what_a_killed_run_made_of_sound_inputs_is_gone_on_from(lake: Lake) -> None:
    for station in (products(factor=3), totals()):
        with staging(station, lake, SNAPSHOT, Inline()):
            pass
        again = run(station, lake, SNAPSHOT, Inline())
        assert (again.fresh, again.parts_done) == (True, 0)


def test_an_input_of_another_size_is_named_before_anything_is_made(lake: Lake) -> None:
    """Such as one that a script wrote anew."""
    rewritten = lake.partition(("numbers",), SNAPSHOT).folder / "part-00001.parquet"
    pq.write_table(read_table(rewritten), rewritten)
    with pytest.raises(DamagedError, match=rf"{rewritten.name} is damaged: it has \d+ bytes, \d+ were committed"):
        run(products(factor=3), lake, SNAPSHOT, Inline())
    assert not (lake.partition(("r", "products"), SNAPSHOT).staging / rewritten.name).exists()


def silently_wrong(path: Path, at: int, sound: pa.Table) -> bool:
    """Whether a flipped bit gives other values and no error; the file is left as it was."""
    flip(path, at)
    try:
        found = read_table(path, ["doc", "value"])
        return found["doc"] == sound["doc"] and found["value"] != sound["value"]
    except (OSError, pa.ArrowException, ValueError):
        return False
    finally:
        flip(path, at)


def test_verify_finds_and_repairs_on_the_command_line(
    line: Line, staged: dict[str, Staged], engine: LocalEngine, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(line.lake.root, tmp_path / "lake"))
    before = files_of(lake)
    command = ["verify", "--lake", str(lake), "--set", "extraction.extractor=resiliparse", "--workers", "2"]
    sound = RUNNER.invoke(app, command)
    assert (sound.exit_code, "all as committed" in sound.output) == (0, True), sound.output

    part = lake / "resiliparse" / "documents" / SAMPLE_SNAPSHOT / "part-00002.parquet"
    shard = lake / "fineweb" / "training_shards" / SAMPLE_SNAPSHOT / "shard-00000.bin"
    flip(part, 5000)
    flip(shard, 999)
    found = RUNNER.invoke(app, [*command, "--snapshot", SAMPLE_SNAPSHOT, "--recipe", "fineweb"])
    assert found.exit_code == 1
    assert str(part) in found.output
    assert str(shard) in found.output
    assert "2 damaged" in found.output
    assert part.exists()

    repaired = RUNNER.invoke(app, [*command, "--repair"])
    assert repaired.exit_code == 1
    assert f"run --snapshot {SAMPLE_SNAPSHOT}" in repaired.output
    assert not part.exists()
    again = Line(line.settings.model_copy(update={"lake": lake, "recipe_set": RESILIPARSE}))
    made = {one.station.name: one.parts_done for one in again.run(SAMPLE_SNAPSHOT, engine) if one.fresh}
    assert (set(made), made["documents"]) == ({"documents", "training_shards"}, 1)
    assert files_of(lake) == before
    assert RUNNER.invoke(app, command).exit_code == 0


def test_the_job_of_the_ui_fails_where_a_file_is_damaged(line: Line, staged: dict[str, Staged], tmp_path: Path) -> None:
    lake = Path(shutil.copytree(line.lake.root, tmp_path / "lake"))
    job = build_definitions(line.settings.model_copy(update={"lake": lake})).resolve_job_def("verify_snapshot")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(SNAPSHOTS.name), [SAMPLE_SNAPSHOT])
        assert job.execute_in_process(partition_key=SAMPLE_SNAPSHOT, instance=instance).success
        damaged = next((lake / "fineweb" / "corpus" / SAMPLE_SNAPSHOT).glob("part-*"))
        flip(damaged, 2000)
        with pytest.raises(DamagedError, match=damaged.name):
            job.execute_in_process(partition_key=SAMPLE_SNAPSHOT, instance=instance)


def test_a_damaged_manifest_is_found_and_moved_aside(lake: Lake) -> None:
    before = files_of(lake.root)
    manifest = lake.partition(("r", "products"), SNAPSHOT).folder / MANIFEST
    manifest.write_bytes(b"{" + manifest.read_bytes())
    command = ["verify", "--lake", str(lake.root), "--workers", "1"]
    found = RUNNER.invoke(app, [*command, "--repair"])
    assert (found.exit_code, str(manifest) in found.output) == (1, True)
    assert run(products(), lake, SNAPSHOT, Inline()).parts_reused == 3
    assert files_of(lake.root) == before


def test_an_empty_lake_cannot_be_verified(tmp_path: Path) -> None:
    found = RUNNER.invoke(app, ["verify", "--lake", str(tmp_path)])
    assert (found.exit_code, "nothing to verify" in found.output) == (1, True)
