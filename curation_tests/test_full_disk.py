"""Disks that are full, and folders that may not be read or written: what is told, what is left, and how it goes on."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from curation_assets.acquisition.archive import AccessRefusedError, LocalArchive
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT
from curation_assets.lake.disk import StorageError, explained
from curation_assets.lake.lake import MANIFEST, Lake
from curation_assets.lake.station import Staged, run
from curation_assets.line import Line
from curation_tests.lake.test_station import SNAPSHOT, Inline, numbers, products

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
ROOT = Path(__file__).parents[1]
NUMBERS = numbers((1, 2), (3, 4), (5, 6))


def files_of(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    run(NUMBERS, lake, SNAPSHOT, Inline())
    return lake


class Nth:
    """A function that fails at one of its calls, as on a full disk."""

    def __init__(self, function: Any, nth: int) -> None:
        self.function, self.left = function, nth

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise FULL
        return self.function(*arguments, **named)


FULL_AT = [
    ("a part's first bytes", pq.ParquetWriter, "__init__", 2),
    ("a part's rows", pq.ParquetWriter, "write_table", 2),
    ("a part's footer", pq.ParquetWriter, "close", 3),
    ("a part's last bytes", os, "fsync", 2),
    ("the manifest", os, "fsync", 4),
    ("a folder", Path, "mkdir", 1),
]


@pytest.mark.parametrize(("owner", "name", "nth"), [at[1:] for at in FULL_AT], ids=[at[0] for at in FULL_AT])
def test_a_full_disk_leaves_the_old_partition_whole_and_the_run_goes_on(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, nth: int
) -> None:
    other = Lake(tmp_path / "other")
    run(NUMBERS, other, SNAPSHOT, Inline())
    run(products(3), other, SNAPSHOT, Inline())
    run(products(2), lake, SNAPSHOT, Inline())
    partition = lake.partition(products().key, SNAPSHOT)
    before = {name: content for name, content in files_of(lake.root).items() if "/.staging/" not in name}

    failing = Nth(getattr(owner, name), nth)
    monkeypatch.setattr(owner, name, lambda *arguments, **named: failing(*arguments, **named))
    with pytest.raises(StorageError, match=r"No space left on device \(.* MB free\).*CURATION_LAKE") as caught:
        run(products(3), lake, SNAPSHOT, Inline())
    assert failing.left <= 0
    assert str(partition.folder) in str(caught.value)
    monkeypatch.undo()

    visible = {name: content for name, content in files_of(lake.root).items() if "/.staging/" not in name}
    assert visible == before
    assert list(lake.root.rglob("*.tmp")) == []
    run(products(3), lake, SNAPSHOT, Inline())
    assert files_of(lake.root) == files_of(other.root)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (OSError(errno.EFBIG, "File too large"), "ulimit -f"),
        (OSError(errno.EROFS, "Read-only file system", "{lake}/t/part"), "Read-only file system.*setting `lake`"),
        (PermissionError(errno.EACCES, "Permission denied", "{lake}/t"), "Permission denied.*setting `lake`"),
        (duckdb.IOException("Could not write: No space left on device"), "No space left on device"),
    ],
    ids=["quota", "size", "read-only", "permission", "spill"],
)
def test_what_a_disk_refuses_is_told_in_words(tmp_path: Path, error: Exception, told: str) -> None:
    if isinstance(error, OSError) and error.filename:
        error.filename = error.filename.format(lake=tmp_path)
    with pytest.raises(StorageError, match=told) as caught, explained(tmp_path):
        raise error
    assert str(tmp_path) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "error", [ValueError("no space"), PermissionError(errno.EACCES, "Permission denied", "/elsewhere"), OSError("x")]
)
def test_other_errors_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, explained(tmp_path):
        raise error
    assert caught.value is error


@contextmanager
def nobody() -> Iterator[None]:
    """This process without the rights of root, where it has them."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_lake_that_may_not_be_written_is_named_with_its_setting(public: Path) -> None:
    lake = Lake(public / "lake")
    run(NUMBERS, lake, SNAPSHOT, Inline())
    for path in [lake.root, *lake.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = files_of(lake.root)
    with nobody(), pytest.raises(StorageError, match=r"Permission denied.*setting `lake` \(CURATION_LAKE"):
        run(products(), lake, SNAPSHOT, Inline())
    assert files_of(lake.root) == before


def test_a_source_that_may_not_be_read_is_named_with_its_setting(public: Path) -> None:
    source = public / "source"
    (source / "crawl-data").mkdir(parents=True)
    source.chmod(0o600)
    with nobody(), pytest.raises(AccessRefusedError, match=r"may not read it \(setting source\)"):
        LocalArchive(str(source)).warc_files(SAMPLE_SNAPSHOT)


@cache
def namespace() -> list[str] | None:
    """What runs a command where it may mount; None where nothing does."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        with tempfile.TemporaryDirectory() as folder:
            tried = [*command, "mount", "-t", "tmpfs", "tmpfs", folder]
            if shutil.which("unshare") and subprocess.run(tried, capture_output=True).returncode == 0:
                return command
    return None


@pytest.mark.skipif(namespace() is None, reason="this user may not mount a file system of its own")
def test_the_line_on_a_disk_that_is_too_small_time_and_again(
    line: Line, staged: dict[str, Staged], tmp_path: Path
) -> None:
    """Full in the middle of parts, of commits, of shards: at the end the bytes of a run with room enough."""
    settings = line.settings.model_copy(update={"lake": tmp_path / "lake"})
    copy = tmp_path / "copy"
    script = [sys.executable, str(ROOT / "curation_tests" / "small_disk.py")]
    arguments = [settings.model_dump_json(), SAMPLE_SNAPSHOT, str(copy)]
    done = subprocess.run(
        [*(namespace() or []), *script, *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    *full, spilled, forbidden = done.stdout.splitlines()
    assert len(full) > 4
    assert all("No space left on device" in told and str(settings.lake) in told for told in full)
    assert len({told.partition(SAMPLE_SNAPSHOT)[0] for told in full}) > 2, "always at the same table"
    assert "failed to offload data block" in spilled
    assert str(settings.lake) in spilled
    assert "Read-only file system" in forbidden
    assert "CURATION_LAKE" in forbidden
    assert files_of(copy) == files_of(line.lake.root)
    assert (copy / "fineweb" / "training_shards" / SAMPLE_SNAPSHOT / MANIFEST).exists()
