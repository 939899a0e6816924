"""What a changed, replaced or unreachable source does to what was made from it."""

import logging
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from curation_assets.acquisition.archive import Archive, ArchiveError, LocalArchive, UnreachableError, open_archive
from curation_assets.acquisition.documents import Extraction
from curation_assets.acquisition.loss import Loss
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.acquisition.stations import documents, warc_files
from curation_assets.engine.local import LocalEngine
from curation_assets.lake.lake import Lake
from curation_assets.lake.parts import read_table
from curation_assets.lake.station import CheckFailed, Staged, run


@pytest.fixture
def crawl(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / "crawl"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def acquire(archive: Archive, lake: Lake, engine: LocalEngine, loss: Loss | None = None) -> tuple[Staged, Staged]:
    listed = warc_files(archive, None, 1)
    read = documents(archive, listed.key, Extraction(extractor="resiliparse"), loss)
    return run(listed, lake, SAMPLE_SNAPSHOT, engine), run(read, lake, SAMPLE_SNAPSHOT, engine)


def warcs(crawl: Path) -> list[Path]:
    return sorted(crawl.rglob("*.warc.gz"))


def contents(lake: Lake) -> dict[str, bytes]:
    files = [path for path in lake.root.rglob("*") if path.is_file() and path.name not in (".lock", ".survey")]
    return {str(path.relative_to(lake.root)): path.read_bytes() for path in sorted(files)}


def test_nothing_changed_nothing_redone(crawl: Path, lake: Lake, engine: LocalEngine) -> None:
    archive = LocalArchive(str(crawl))
    acquire(archive, lake, engine)
    assert [one.fresh for one in acquire(archive, lake, engine)] == [False, False]


def test_a_file_replaced_under_its_name_is_read_again_and_no_other(
    crawl: Path, lake: Lake, engine: LocalEngine
) -> None:
    """The same size and the same modification time: only the content says so."""
    archive = LocalArchive(str(crawl))
    acquire(archive, lake, engine)
    replaced = warcs(crawl)[1]
    look = replaced.stat()
    content = bytearray(replaced.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = b"\xff" * 8
    replaced.write_bytes(content)
    os.utime(replaced, ns=(look.st_atime_ns, look.st_mtime_ns))
    listed, read = acquire(archive, lake, engine)
    assert listed.fresh
    assert (read.parts_done, read.parts_reused) == (1, len(warcs(crawl)) - 1)
    assert [one.fresh for one in acquire(archive, lake, engine)] == [False, False]


def test_a_file_that_was_only_touched_or_copied_changes_no_byte(
    crawl: Path, lake: Lake, engine: LocalEngine, tmp_path: Path
) -> None:
    archive = LocalArchive(str(crawl))
    acquire(archive, lake, engine)
    before = contents(lake)
    for path in warcs(crawl):
        os.utime(path)
    listed, read = acquire(archive, lake, engine)
    assert (listed.fresh, read.fresh) == (True, False)
    assert contents(lake) == before
    other = Lake(tmp_path / "other")
    copied = LocalArchive(str(shutil.copytree(crawl, tmp_path / "copy")))
    acquire(copied, other, engine)
    parts = {name: content for name, content in contents(other).items() if not name.startswith("warc_files/")}
    assert parts == {name: content for name, content in before.items() if not name.startswith("warc_files/")}


def test_a_source_that_is_gone_leaves_what_is_committed_and_says_so(
    crawl: Path, lake: Lake, engine: LocalEngine, caplog: pytest.LogCaptureFixture
) -> None:
    archive = LocalArchive(str(crawl))
    acquire(archive, lake, engine)
    warcs(crawl)[0].unlink()
    with caplog.at_level(logging.WARNING):
        listed, read = acquire(archive, lake, engine)
    assert (listed.fresh, read.fresh) == (False, False)
    assert "kept as it was committed" in listed.note
    assert listed.note in caplog.text
    shutil.rmtree(crawl)
    assert "kept" in acquire(archive, lake, engine)[0].note


def test_a_source_that_is_not_there_is_an_error_while_nothing_is_committed(
    crawl: Path, lake: Lake, engine: LocalEngine
) -> None:
    with pytest.raises(UnreachableError, match="does not exist"):
        acquire(LocalArchive(str(crawl / "none")), lake, engine)
    shutil.rmtree(crawl / "crawl-data")
    with pytest.raises(ArchiveError, match="no such file"):
        acquire(LocalArchive(str(crawl)), lake, engine)


class Remote:
    """An archive behind a network: a list, and what it answers may change."""

    source = "https://crawl.example/"

    def __init__(self, *listed: str) -> None:
        self.listed = list(listed)

    def warc_files(self, snapshot: str) -> list[str]:
        if not self.listed:
            raise UnreachableError("no network")
        return self.listed


def test_a_servers_list_is_read_at_every_run(lake: Lake, engine: LocalEngine) -> None:
    remote = Remote("crawl-data/a.warc.gz")
    station = warc_files(remote, None, 1)  # type: ignore[arg-type]
    assert run(station, lake, SAMPLE_SNAPSHOT, engine).fresh
    assert not run(station, lake, SAMPLE_SNAPSHOT, engine).fresh
    remote.listed = ["crawl-data/a.warc.gz", "crawl-data/b.warc.gz"]
    again = run(station, lake, SAMPLE_SNAPSHOT, engine)
    assert read_table(again.paths()[0]).to_pylist() == [
        {"part": part, "warc_file": name, "bytes": None, "sha256": None} for part, name in enumerate(remote.listed)
    ]
    remote.listed = []
    assert "kept" in run(station, lake, SAMPLE_SNAPSHOT, engine).note


def test_credentials_stay_out_of_the_lake(lake: Lake, engine: LocalEngine) -> None:
    archive = open_archive("https://name:secret@crawl.example/")
    assert "secret" not in warc_files(archive, None, 1).params.model_dump_json()  # type: ignore[union-attr]


def shortened(crawl: Path, *, missing: int) -> list[Path]:
    """The crawl without some of its files, which its list goes on to name."""
    gone = warcs(crawl)[:missing]
    for path in gone:
        path.unlink()
    return gone


def counters(staged: Staged, kind: str) -> dict[str, int]:
    prefix = f"{kind}."
    stats = staged.manifest.stats
    return {name.removeprefix(prefix): count for name, count in stats.items() if name.startswith(prefix)}


def test_what_is_lost_is_counted_by_cause(crawl: Path, lake: Lake, engine: LocalEngine) -> None:
    _, read = acquire(LocalArchive(str(crawl)), lake, engine)
    lost = counters(read, "lost_bytes")
    assert {"warc_damaged", "warc_truncated", "http_malformed", "content_encoding_undecodable"} == set(lost)
    rows = pl.concat(map(pl.read_parquet, read.paths()))
    for cause, size in lost.items():
        assert rows.filter(pl.col("verdict") == cause)["warc_length"].sum() == size > 0
    (bounded,) = [result for result in read.results if result.check.name == "losses_are_bounded"]
    assert bounded.passed
    assert "warc_damaged: 1 records" not in bounded.evidence["lost"]  # how many were in there nobody knows
    assert f"warc_damaged: {lost['warc_damaged']:,} bytes" in bounded.evidence["lost"]


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"bytes": 0.001}, "warc_truncated"),
        ({"records": 0.001}, "http_malformed: 1 records, 2,917 bytes"),
    ],
)
def test_too_much_loss_publishes_nothing_and_says_what_was_lost(
    crawl: Path, lake: Lake, engine: LocalEngine, limits: dict[str, float], told: str
) -> None:
    archive = LocalArchive(str(crawl))
    listed = warc_files(archive, None, 1)
    run(listed, lake, SAMPLE_SNAPSHOT, engine)

    def read(loss: Loss) -> Staged:
        station = documents(archive, listed.key, Extraction(extractor="resiliparse"), loss)
        return run(station, lake, SAMPLE_SNAPSHOT, engine)

    with pytest.raises(CheckFailed, match=told) as caught:
        read(Loss(**limits))
    assert [result.check.name for result in caught.value.failed] == ["losses_are_bounded"]
    assert "exclude_warcs" in str(caught.value)
    key = documents(archive, listed.key, Extraction(extractor="resiliparse")).key
    assert lake.partition(key, SAMPLE_SNAPSHOT).committed() is None
    assert read(Loss()).parts_reused == len(warcs(crawl))
    # A stricter recipe shares the table, and does not get past it.
    with pytest.raises(CheckFailed, match=told):
        read(Loss(**limits))


def test_a_listed_file_that_is_not_there_is_bounded_counted_and_found_later(
    crawl: Path, lake: Lake, engine: LocalEngine
) -> None:
    shortened(crawl, missing=1)
    archive = LocalArchive(str(crawl))
    with pytest.raises(CheckFailed, match=r"warc_missing: 0 bytes, 1 files|warc_missing: 1 files"):
        acquire(archive, lake, engine)
    listed, read = acquire(archive, lake, engine, Loss(files=0.25))
    assert counters(listed, "lost_files") == counters(read, "lost_files") == {"warc_missing": 1}
    assert "asks again" in read.note
    assert [read_table(path).num_rows for path in read.paths()].count(0) == 1
    assert acquire(archive, lake, engine, Loss(files=0.25))[1].parts_done == 1


def test_a_file_that_comes_late_is_read_then(sample: Path, crawl: Path, lake: Lake, engine: LocalEngine) -> None:
    archive, bearing = LocalArchive(str(crawl)), Loss(files=0.25)
    whole = Lake(lake.root.with_name("whole"))
    acquire(archive, whole, engine)
    (gone,) = shortened(crawl, missing=1)
    acquire(archive, lake, engine, bearing)
    shutil.copy(sample / gone.relative_to(crawl), gone)
    _, read = acquire(archive, lake, engine)
    assert (read.parts_done, read.parts_reused) == (1, len(warcs(crawl)) - 1)
    assert contents(lake) == contents(whole)


def test_excluded_files_are_left_out_and_unknown_ones_are_an_error(
    crawl: Path, lake: Lake, engine: LocalEngine
) -> None:
    archive = LocalArchive(str(crawl))
    listed = archive.warc_files(SAMPLE_SNAPSHOT)
    kept = run(warc_files(archive, None, 1, (listed[1],)), lake, SAMPLE_SNAPSHOT, engine)
    assert read_table(kept.paths()[0])["part"].to_pylist() == [0, 2, 3]
    with pytest.raises(ArchiveError, match="exclude_warcs"):
        run(warc_files(archive, None, 1, ("crawl-data/none",)), lake, SAMPLE_SNAPSHOT, engine)


def test_a_file_that_is_empty_or_no_warc_is_a_lost_file(crawl: Path, lake: Lake, engine: LocalEngine) -> None:
    empty, foreign, *_ = warcs(crawl)
    empty.write_bytes(b"")
    foreign.write_bytes(b"PK\x03\x04" + bytes(70_000))
    _, read = acquire(LocalArchive(str(crawl)), lake, engine, Loss(files=0.5, bytes=0.5))
    assert counters(read, "lost_files") == {"warc_damaged": 1, "warc_truncated": 1}
    assert counters(read, "lost_bytes")["warc_damaged"] >= 70_004
    assert read.manifest.stats["unread_bytes"] == 70_004
