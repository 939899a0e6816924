"""Partitions on disk: staged files, one atomic commit, and what was committed.

    <root>/<key...>/<snapshot>/
        _manifest.json         present only when the partition is readable
        part-00000.parquet     one file a part, or whatever files the station makes
        .staging/              files of a run that has not been committed
        .spill/                what a query of that run could not keep in memory
        .lock                  held by the run that is at work here
        .survey                what the source looked like when it was read; only beside tables made from the source
        _checks.json           what the checks found of the data; in .staging/ until it is published

A station writes into `.staging/`, is validated there, and is then published: the old manifest is removed, the
staged files are renamed into place, files that no longer belong are deleted, and the new manifest, which lay in
staging since before, is renamed into place. A kill at any moment leaves either the old partition, the new one, or no
manifest, and then the next run finds the finished files by the fingerprint that each carries and goes on from there.
"""

import fcntl
import json
import logging
import os
import secrets
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

MANIFEST = "_manifest.json"
STAGING = ".staging"
LOCK = ".lock"
SPILL = ".spill"
"""The folder of what a station's queries cannot keep in memory; what a killed run left there the next one deletes."""
SURVEY = ".survey"
CHECKS = "_checks.json"
MADE = ".made"
"""In the staging folder: what `lake.finished` keeps of a run that did not end."""
OLD_MANIFEST = "old_manifest"
"""There: the manifest of what was committed before, while files are renamed."""
QUIET_SECONDS = 2.0
"""How long a run waits for another one before it says so."""

log = logging.getLogger(__name__)

Key = tuple[str, ...]
"""Where a table lives below the lake's root; also its Dagster asset key."""

Stats = dict[str, int]
"""Counters that add up over parts: `rows_in`, `rows_out`, `dropped.<reason>`, ..."""


def added(stats: Iterable[Stats]) -> Stats:
    """Counters of several parts as one."""
    total: Counter[str] = Counter()
    for counters in stats:
        total.update(counters)
    return dict(total)


UNSETTLED = "unsettled"
"""Counter of a part that is made again at each run, because what it lacked may be there by then."""


class LakeError(Exception):
    """A partition cannot be read or written as asked; the message names it and the way out."""


class DamagedError(LakeError):
    """A committed file is no longer what was committed; the message names it and the way out."""


class File(BaseModel):
    """One committed file of a partition."""

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int
    rows: int
    sha256: str
    fingerprint: str
    """What it was made from and how: the file is current while this stays the same."""
    stats: Stats


class Manifest(BaseModel):
    """What a committed partition holds. Same inputs, parameters and versions give the same manifest."""

    model_config = ConfigDict(frozen=True)

    station: str
    snapshot: str
    fingerprint: str
    code_version: str = ""
    """Version of the station and of the libraries that made it."""
    params: dict[str, Any] | None = None
    """The parameters that it was made with: those that decided, whatever a recipe says by now."""
    inputs: dict[str, Key] = {}
    """The tables that it was made from, by the name that the station has for them."""
    files: list[File]
    stats: Stats

    @cached_property
    def digest(self) -> str:
        """Hash of the content of all files: the partition's data version."""
        return fingerprint([[file.name, file.sha256] for file in self.files])

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes in all files."""
        return sum(file.bytes for file in self.files)


@lru_cache(maxsize=4)
def _parsed(path: Path, version: tuple[int, int, int]) -> Manifest:
    """A manifest, read once while the file is the same: that of 90,000 parts takes a second."""
    return Manifest.model_validate_json(path.read_bytes())


def fingerprint(value: Any) -> str:
    """Hash a JSON-able value: the hex digest of SHA-256 over its canonical JSON."""
    return sha256(_canonical(value)).hexdigest()


def fingerprints(common: list[Any], own: Iterable[list[Any]]) -> Iterator[str]:
    """`fingerprint([*common, *one])` for each of `own`; what is common is hashed once, for there are 90,000 parts.

    Raises `ValueError` when nothing is common or one of `own` is empty.
    """
    begun = sha256(_canonical(common)[:-1])
    for one in own:
        if not (common and one):
            raise ValueError("fingerprints of nothing")
        whole = begun.copy()
        whole.update(b"," + _canonical(one)[1:])
        yield whole.hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def shared_key(prefix: Key, name: str, params: BaseModel, usual: BaseModel) -> Key:
    """The key of a table that all recipes with the same parameters share.

    Parameters other than the usual ones are told by a hash, so that no recipe replaces the table of another:
    `resiliparse/signals`, `resiliparse/3fa9c1/signals`.
    """
    variant = () if params == usual else (fingerprint(params.model_dump(mode="json"))[:6],)
    return (*prefix, *variant, name)


def file_size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def file_sha256(path: Path) -> str:
    """Hash a file's content."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def temporary_path(path: Path) -> Path:
    """A name beside `path` for what is to become that file: no other process of any machine uses the same."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file so that a reader sees all of it or none of it, also after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _locked_within(file: IO[str], seconds: float) -> bool:
    """Try for so long to lock a file."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)


class Holder(NamedTuple):
    """Who holds a partition's lock."""

    process: str
    """`process 123 on host`; empty while it is being written."""
    since: float
    """When it got it, seconds since 1970."""


@dataclass(frozen=True)
class Partition:
    """One snapshot of one table in the lake."""

    folder: Path
    key: Key
    snapshot: str

    @property
    def name(self) -> str:
        """`key/.../snapshot`, for messages."""
        return "/".join((*self.key, self.snapshot))

    @property
    def staging(self) -> Path:
        """The folder that the next commit is prepared in."""
        return self.folder / STAGING

    def committed(self) -> Manifest | None:
        """The manifest, or None while nothing is committed. Raises `DamagedError` when it cannot be read."""
        path = self.folder / MANIFEST
        try:
            found = path.stat()
            return _parsed(path, (found.st_ino, found.st_mtime_ns, found.st_size))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DamagedError(
                f"{path} is damaged, or no manifest: `curation verify --repair` moves it aside; then run again, which "
                "finds the finished parts"
            ) from error

    def manifest(self) -> Manifest:
        """The manifest; raises `LakeError` while nothing is committed."""
        manifest = self.committed()
        if manifest is None:
            raise LakeError(
                f"{self.name} is not materialised: no {MANIFEST} in {self.folder}. Materialise it first, "
                f"in the UI or with `curation run --snapshot {self.snapshot}`."
            )
        return manifest

    def paths(self, suffix: str = "") -> list[Path]:
        """Committed files whose names end in `suffix`, in order of name."""
        return [self.folder / file.name for file in self.manifest().files if file.name.endswith(suffix)]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run of this partition waiting, and saying so, until this one is done or dead."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a") as file:
            if not _locked_within(file, QUIET_SECONDS):
                log.warning("%s is being made by another run: waiting until it is done", self.name)
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    @property
    def holder(self) -> Holder | None:
        """The live process that is at work here; None when there is none."""
        try:
            with (self.folder / LOCK).open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return Holder(file.read(), os.fstat(file.fileno()).st_mtime)
        except FileNotFoundError:
            pass
        return None

    @property
    def surveyed(self) -> str | None:
        """The hash that `record_survey` was last given; None before."""
        try:
            return (self.folder / SURVEY).read_text()
        except FileNotFoundError:
            return None

    def record_survey(self, survey: str) -> None:
        """Note what the source looked like when the committed files were made from it.

        It is no part of the manifest: modification times change where content does not.
        """
        write_atomically(self.folder / SURVEY, survey.encode())

    def _require_made(self, manifest: Manifest) -> None:
        """Raise `LakeError` when a file that is to be published does not lie here, as large as it was made."""
        committed = self.committed()
        before = {file.name: file.sha256 for file in committed.files} if committed is not None else {}
        for file in manifest.files:
            path = self.staging / file.name
            if not path.exists() and before.get(file.name, file.sha256) == file.sha256:
                path = self.folder / file.name
            if file_size(path) != file.bytes:
                raise LakeError(
                    f"{path} was made, and is not here as it was made: nothing was published. Run again; on a cluster "
                    "every machine must see the lake as the others do (docs/cluster.md says how to mount it)"
                )

    def commit(self, manifest: Manifest) -> None:
        """Publish: rename the staged files of `manifest` into place, then write the manifest.

        Files that are already in place (unchanged since an earlier commit) need not be staged again. The manifest
        is written beside them first: a full disk is met while the old partition is whole. Raises `LakeError`, and
        changes nothing, when a file is missing.
        """
        self._require_made(manifest)
        prepared = self.staging / MANIFEST
        write_atomically(prepared, manifest.model_dump_json(indent=1).encode() + b"\n")
        if (self.folder / MANIFEST).exists():
            (self.staging / MADE).mkdir(parents=True, exist_ok=True)
            (self.folder / MANIFEST).replace(self.staging / MADE / OLD_MANIFEST)
        names = {file.name for file in manifest.files}
        for name in sorted({*names, CHECKS}):
            staged = self.staging / name
            if staged.exists():
                staged.replace(self.folder / name)
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in names and path.name not in (LOCK, CHECKS):
                path.unlink()
        prepared.replace(self.folder / MANIFEST)
        shutil.rmtree(self.staging, ignore_errors=True)


TAKEDOWN_LIST: Key = ("takedown_list",)
"""The lake's list of takedowns as an external asset: `curation takedown` reports which snapshots it changes."""


@dataclass(frozen=True)
class Lake:
    """A folder of partitions."""

    root: Path
    verify: bool = False
    """Whether stations compare what they read with the hashes in its manifest first."""

    def partition(self, key: Key, snapshot: str) -> Partition:
        """The partition of one table for one snapshot, committed or not."""
        return Partition(self.root.joinpath(*key, snapshot), key, snapshot)

    def origin(self, partition: Partition, name: str) -> Partition:
        """The table that a partition was made from and calls `name`, whatever a recipe says by now.

        Raises `LakeError` when the partition is not materialised, or does not say what it was made from.
        """
        inputs = partition.manifest().inputs
        if name not in inputs:
            raise LakeError(
                f"{partition.name} does not say which {name} it was made from: an earlier version made it. "
                f"Delete {partition.folder / MANIFEST} and run {partition.snapshot} again."
            )
        return self.partition(inputs[name], partition.snapshot)

    def snapshots(self, key: Key) -> list[str]:
        """Snapshots committed for a table, in order of name."""
        folder = self.root.joinpath(*key)
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if (path / MANIFEST).exists())
