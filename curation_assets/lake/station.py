"""A station: what it reads, the function it applies, what must be true of the result, and how it is committed.

`staging` makes the files of one partition in its staging folder, redoing only parts whose fingerprint changed, and
judges the checks on them. `Staged.publish` commits. Between the two, a failed check keeps bad data from being
seen by anything downstream. A second run of the same partition waits until the first has left `staging`.
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pydantic import BaseModel

from curation_assets.engine.local import Engine, WorkerDied
from curation_assets.lake.checks import (
    Check,
    CheckFailed,
    CheckResult,
    Judged,
    contract_check,
    judge,
    load,
    save,
)
from curation_assets.lake.contracts import Contract
from curation_assets.lake.disk import explained
from curation_assets.lake.finished import Finished
from curation_assets.lake.integrity import Recorded, changed, glance, look, newest, recorded, require_sound
from curation_assets.lake.lake import (
    SPILL,
    UNSETTLED,
    DamagedError,
    File,
    Key,
    Lake,
    LakeError,
    Manifest,
    Partition,
    Stats,
    added,
    file_size,
    fingerprint,
    fingerprints,
)
from curation_assets.lake.parts import PartWriter, describe
from curation_assets.lake.progress import Progress
from curation_assets.lake.query import spilling_into

if TYPE_CHECKING:
    from curation_assets.pictures import Shown

log = logging.getLogger(__name__)

Inputs = Mapping[str, Path]
"""For a part: the file of each input with the part's name; for shared inputs, the partition's folder."""

PartStep = Callable[[Inputs, PartWriter, Any], None]
"""Writes one part from its inputs and parameters, and counts into `writer.stats`. Runs in a worker process."""

SnapshotStep = Callable[["SnapshotJob"], Stats]
"""Writes all files of a partition from whole partitions; returns counters."""


@dataclass(frozen=True)
class PartJob:
    """The work for one part; picklable."""

    step: PartStep
    schema: pa.Schema
    target: Path
    inputs: dict[str, Path]
    params: Any
    fingerprint: str
    committed: Mapping[str, File] = field(default_factory=dict)
    """What the manifests say of `inputs`, where each is a file."""
    verify: bool = False
    """Whether the content of the inputs is compared with that first, and not only when the step fails."""

    @property
    def recorded(self) -> list[Recorded]:
        """The inputs that are files, and what their manifests say of them."""
        return [(self.inputs[name], file) for name, file in self.committed.items()]


@dataclass(frozen=True)
class SnapshotJob:
    """The work for a whole partition."""

    snapshot: str
    inputs: Mapping[str, Partition]
    folder: Path
    params: Any
    engine: Engine
    finished: Finished = field(kw_only=True)
    """What of the partition is there already, for a station that asks."""
    preceding: Mapping[str, Mapping[str, Partition]] = field(default_factory=dict)
    """For each table of `SnapshotStation.preceding`, its partitions of earlier snapshots."""
    progress: Progress | None = None

    def say(self, phase: str, done: int = 0, total: int = 0) -> None:
        """Tell whoever watches what the station is at, and how many of how many steps of it are done."""
        if self.progress:
            self.progress(done, total, {}, phase)


@dataclass(frozen=True, kw_only=True)
class Station:
    """What is common to both kinds of station."""

    key: Key
    group: str
    description: str
    version: str
    """Bumped by hand whenever the same inputs and parameters would give other output."""
    params: BaseModel | None = None
    inputs: Mapping[str, Key] = field(default_factory=dict)
    external: tuple[Key, ...] = ()
    """External assets whose observations make what is committed out of date, besides that of the inputs."""
    libraries: tuple[str, ...] = ()
    """Distributions whose version changes the output."""
    schema: pa.Schema | None = None
    """Of the table; None for a station that writes none."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What each column of the table means."""
    origins: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """For a column that is made from columns of other names: (input, column) of each."""
    contract: Contract = field(default_factory=Contract)
    """What must hold of the rows of the table."""
    conservation: tuple[Check, ...] = ()
    """What must hold between the inputs and the result."""
    show: Callable[["Staged"], "Shown"] | None = None
    """Plots and samples for people, from what is staged; None shows how the rows are spread over the files."""

    @property
    def name(self) -> str:
        """The table's name without its prefix."""
        return self.key[-1]

    @cached_property
    def code_version(self) -> str:
        """Version of the code and of the libraries that decide the output."""
        return "+".join([self.version, *(f"{name}-{library_version(name)}" for name in self.libraries)])

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The contract, where there is a table, and the conservation checks."""
        if self.schema is None:
            return self.conservation
        return (contract_check(self.contract, self.schema), *self.conservation)

    @cached_property
    def recorded_params(self) -> dict[str, Any] | None:
        """The parameters as the manifest holds them."""
        return self.params.model_dump(mode="json") if self.params is not None else None

    @property
    def sources(self) -> dict[str, Key]:
        """Every table that it reads, by the name it has here."""
        return dict(self.inputs)

    def identity(self) -> list[Any]:
        """What, besides the inputs, decides the output."""
        return [self.name, self.code_version, self.recorded_params]


@dataclass(frozen=True, kw_only=True)
class PartStation(Station):
    """A station that maps over parts: the first of `inputs` names them."""

    step: PartStep
    schema: pa.Schema  # type: ignore[override]  # a part is always a table
    shared: Mapping[str, Key] = field(default_factory=dict)
    """Inputs that every part reads whole."""
    suffix: str = "parquet"

    @property
    def sources(self) -> dict[str, Key]:
        """Inputs and shared inputs."""
        return {**self.inputs, **self.shared}

    def jobs(self, inputs: Mapping[str, Partition], shared: Mapping[str, Partition], staging: Path) -> list[PartJob]:
        """One job for each part of the first input, with the fingerprint of all that it depends on."""
        listed = {
            name: {file.name.rpartition(".")[0]: file for file in p.manifest().files} for name, p in inputs.items()
        }
        shared_digests = {name: partition.manifest().digest for name, partition in shared.items()}
        parts = {
            stem: {name: by_stem[stem] for name, by_stem in listed.items()} for stem in next(iter(listed.values()))
        }
        own = ([{name: file.sha256 for name, file in files.items()}, shared_digests] for files in parts.values())
        return [
            PartJob(
                step=self.step,
                schema=self.schema,
                target=staging / f"{stem}.{self.suffix}",
                inputs={name: inputs[name].folder / file.name for name, file in files.items()}
                | {name: partition.folder for name, partition in shared.items()},
                params=self.params,
                fingerprint=whole,
                committed=files,
            )
            for (stem, files), whole in zip(parts.items(), fingerprints(self.identity(), own), strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class SnapshotStation(Station):
    """A station that sees the whole snapshot: keys and lengths, never its text."""

    step: SnapshotStep
    preceding: Mapping[str, Key] = field(default_factory=dict)
    """Tables of which the committed partitions of all snapshots before this one, by name, are read too. The partition
    is current while there are none others and they are as they were."""
    survey: Callable[[str], Any] | None = None
    """For a station that reads outside the lake: a cheap look at what is there for a snapshot, as a JSON-able value.

    While it is as it was and nothing else changed, the partition is up to date. None means that nothing can be seen
    now: what is committed is kept, and where nothing is, `step` is left to say why.
    """


@dataclass
class Staged:
    """A partition that is ready to be published, or that was found up to date."""

    station: Station
    partition: Partition
    inputs: Mapping[str, Partition]
    """Every table that it is made from."""
    manifest: Manifest
    fresh: bool
    """False when everything was already committed and nothing was done."""
    parts_done: int = 0
    parts_reused: int = 0
    seconds: float = 0.0
    survey: str | None = None
    """Hash of what the station saw outside the lake before it read it."""
    note: str = ""
    """What a person should know although nothing failed."""
    observed: Stats = field(default_factory=dict)
    """How it came about this time, such as `retries`; no part of what was made."""
    engine: Engine | None = field(default=None, repr=False)
    """Where the inputs are read again when a check was broken."""

    @cached_property
    def results(self) -> list[CheckResult]:
        """What the checks find in the staged files; or, when nothing was done, found in the committed ones."""
        checks = self.station.checks
        if not checks:
            return []
        folder = self.partition.staging if self.fresh else self.partition.folder
        results = None if self.fresh else load(checks, self.manifest, folder)
        if results is None:
            try:
                results = judge(checks, Judged(self.paths(), self.manifest, self.inputs, tuple(self.station.inputs)))
            except (duckdb.Error, pa.ArrowException, OSError):
                require_sound(zip(self.paths(), self.manifest.files, strict=True), self.engine)
                self._require_sound_inputs()
                raise
            save(results, self.manifest, folder)
        return results

    @property
    def failed(self) -> list[CheckResult]:
        """Checks that were broken."""
        return [result for result in self.results if not result.passed]

    def paths(self) -> list[Path]:
        """The partition's files where they lie now, in order of name."""
        staged = [self.partition.staging / file.name for file in self.manifest.files]
        return [path if path.exists() else self.partition.folder / path.name for path in staged]

    def publish(self) -> None:
        """Commit the staged files; raises `CheckFailed` instead when a check was broken.

        Or `DamagedError`, when that is because an input is no longer what was committed. Where nothing was made, what
        checks found is known; those of another recipe are judged again.
        """
        if self.failed:
            failure = CheckFailed(self.partition.name, self.failed)
            try:
                if self.fresh:
                    self._require_sound_inputs()
            except DamagedError as error:
                raise DamagedError(f"{failure}\nWhat it was made from is to blame: {error}") from error
            raise failure
        if not self.fresh:
            return
        self.partition.commit(self.manifest)
        if self.survey is not None:
            self.partition.record_survey(self.survey)

    def _require_sound_inputs(self) -> None:
        """Read the inputs again; raises `DamagedError` when one is not what was committed."""
        require_sound(recorded(*self.inputs.values()), self.engine)


@contextmanager
def staging(
    station: Station, lake: Lake, snapshot: str, engine: Engine, progress: Progress | None = None
) -> Iterator[Staged]:
    """Make what is missing of one partition, and hold its lock until the context is left.

    Raises `LakeError` when an input is not committed or is damaged, and when the disk is full or may not be written.
    """
    partition = lake.partition(station.key, snapshot)
    spill = partition.folder / SPILL
    with spilling_into(spill), explained(partition.folder), partition.lock():
        shutil.rmtree(spill, ignore_errors=True)
        yield _stage(station, lake, snapshot, engine, progress)


def run(station: Station, lake: Lake, snapshot: str, engine: Engine, progress: Progress | None = None) -> Staged:
    """Stage and publish; raises `CheckFailed` when the data broke a check."""
    with staging(station, lake, snapshot, engine, progress) as staged:
        staged.publish()
    return staged


def _stage(station: Station, lake: Lake, snapshot: str, engine: Engine, progress: Progress | None) -> Staged:
    started = time.perf_counter()
    partition = lake.partition(station.key, snapshot)
    committed = partition.committed()
    inputs = {name: lake.partition(key, snapshot) for name, key in station.sources.items()}
    wanted = what_is_wanted(station, lake, snapshot)
    whole = wanted.fingerprint
    partition.staging.mkdir(parents=True, exist_ok=True)
    survey, note = None, ""
    observed: Counter[str] = Counter()
    match station:
        case PartStation():
            if committed is not None and committed.fingerprint == whole and _in_place(partition, committed):
                return _up_to_date(station, partition, inputs, committed, engine)
            jobs = [replace(job, verify=True) for job in wanted.jobs] if lake.verify else wanted.jobs
            shared = {name: inputs[name] for name in station.shared}
            with _blamed(shared, engine, lake.verify) as since:
                files, done = _make_parts(jobs, partition, committed, since, engine, progress, observed)
            stats = added(file.stats for file in files)
            if UNSETTLED in stats:
                note = f"the source lacks what {stats[UNSETTLED]:,} parts are made of: the next run asks again"
                log.warning("%s: %s", partition.name, note)
        case SnapshotStation():
            if station.survey is not None:
                seen = station.survey(snapshot)
                survey = None if seen is None else fingerprint(seen)
            if committed is not None and committed.fingerprint == whole and _in_place(partition, committed):
                if station.survey is not None and survey is None:
                    note = "what it was made from cannot be seen now: kept as it was committed"
                    log.warning("%s: %s", partition.name, note)
                if survey is None or survey == partition.surveyed:
                    return _up_to_date(station, partition, inputs, committed, engine, note)
            earlier = [one for partitions in wanted.preceding.values() for one in partitions.values()]
            with _blamed(inputs, engine, lake.verify) as since:
                finished = Finished(partition, committed, max(since, newest(recorded(*earlier))))
                job = SnapshotJob(
                    snapshot,
                    inputs,
                    partition.staging,
                    station.params,
                    engine,
                    wanted.preceding,
                    progress,
                    finished=finished,
                )
                stats = station.step(job)
            files, done = finished.files(whole)
        case _:
            raise TypeError(f"not a station: {station!r}")
    manifest = Manifest(
        station=station.name,
        snapshot=snapshot,
        fingerprint=whole,
        code_version=station.code_version,
        params=station.recorded_params,
        inputs=station.sources,
        files=files,
        stats=dict(sorted(stats.items())),
    )
    seconds = time.perf_counter() - started
    for name, amount in observed.items():
        log.info("%s: %s %s", partition.name, amount, name)
    return Staged(
        station,
        partition,
        inputs,
        manifest,
        True,
        done,
        len(files) - done,
        seconds,
        survey,
        note,
        dict(observed),
        engine,
    )


@dataclass(frozen=True)
class Wanted:
    """What a partition would be made of now."""

    fingerprint: str
    """That of the committed partition, while it is current."""
    jobs: list[PartJob]
    """Of a station that maps over parts."""
    preceding: dict[str, dict[str, Partition]]
    """As a `SnapshotJob` has it."""


def what_is_wanted(station: Station, lake: Lake, snapshot: str) -> Wanted:
    """Look at the inputs, without making anything. Raises `LakeError` when one is not committed."""
    inputs = {name: lake.partition(key, snapshot) for name, key in station.sources.items()}
    match station:
        case PartStation():
            read = {name: inputs[name] for name in station.inputs}
            shared = {name: inputs[name] for name in station.shared}
            jobs = station.jobs(read, shared, lake.partition(station.key, snapshot).staging)
            return Wanted(fingerprint([*station.identity(), [job.fingerprint for job in jobs]]), jobs, {})
        case SnapshotStation():
            digests: dict[str, Any] = {name: part.manifest().digest for name, part in inputs.items()}
            preceding = {
                name: {earlier: lake.partition(key, earlier) for earlier in lake.snapshots(key) if earlier < snapshot}
                for name, key in station.preceding.items()
            }
            if preceding:
                digests["preceding"] = {
                    name: {earlier: part.manifest().digest for earlier, part in partitions.items()}
                    for name, partitions in preceding.items()
                }
            return Wanted(fingerprint([*station.identity(), digests]), [], preceding)
    raise TypeError(f"not a station: {station!r}")


@contextmanager
def _blamed(inputs: Mapping[str, Partition], engine: Engine, verify: bool) -> Iterator[int]:
    """Compare whole inputs with their manifests before they are read; their content only when reading them failed.

    Gives when the last of them changed: what was made of them before that is not to be trusted.
    """
    items = recorded(*inputs.values())
    if verify:
        require_sound(items, engine)
    else:
        require_sound(items, how=glance)
    try:
        yield newest(items)
    except (LakeError, WorkerDied):
        raise
    except Exception:
        require_sound(items, engine)
        raise


def _in_place(partition: Partition, manifest: Manifest) -> bool:
    return all(
        file_size(partition.folder / file.name) == file.bytes and UNSETTLED not in file.stats for file in manifest.files
    )


def _up_to_date(
    station: Station,
    partition: Partition,
    inputs: Mapping[str, Partition],
    manifest: Manifest,
    engine: Engine,
    note: str = "",
) -> Staged:
    shutil.rmtree(partition.staging, ignore_errors=True)
    return Staged(station, partition, inputs, manifest, False, 0, len(manifest.files), note=note, engine=engine)


def _make_parts(
    jobs: Sequence[PartJob],
    partition: Partition,
    committed: Manifest | None,
    since: int,
    engine: Engine,
    progress: Progress | None,
    observed: Counter[str],
) -> tuple[list[File], int]:
    """Files of all parts, in order, and how many were made now; adds to what was observed.

    Those that a killed run made are taken up when they are no older than their inputs, nor than `since`.
    """
    known = {file.name: file for file in committed.files} if committed is not None else {}
    files: dict[str, File] = {}
    todo = []
    # Listed, not asked for one by one: NFS remembers for a minute that a file was not there.
    there = {path for folder in (partition.staging, partition.folder) for path in folder.iterdir()}
    for job in jobs:
        name = job.target.name
        found = _finished(job, partition, known.get(name), since, there)
        if found is None:
            todo.append(job)
        else:
            files[name] = found
    counters = Counter(added(file.stats for file in files.values()))
    if progress:
        progress(len(files), len(jobs), counters)
    for made, seen in engine.map(run_part, todo):
        files[made.name] = made
        observed.update(seen)
        counters.update(made.stats)
        if progress:
            progress(len(files), len(jobs), counters)
    return [files[job.target.name] for job in jobs], len(todo)


def _finished(job: PartJob, partition: Partition, known: File | None, since: int, there: Set[Path]) -> File | None:
    """The part's file when it is already made from the same inputs, staged or in place; `there` lists both."""
    if (
        known is not None
        and known.fingerprint == job.fingerprint
        and UNSETTLED not in known.stats
        and file_size(partition.folder / known.name) == known.bytes
    ):
        return known
    for path in (job.target, partition.folder / job.target.name):
        if path in there:
            try:
                found = describe(path)
            except (pa.ArrowException, OSError, ValueError):
                path.unlink()
                continue
            same = found.fingerprint == job.fingerprint and UNSETTLED not in found.stats
            if same and changed(path) >= max(since, newest(job.recorded)):
                return found
    return None


def run_part(job: PartJob) -> tuple[File, Stats]:
    """Make one part; the function that worker processes run. Gives back what was observed beside the file."""
    require_sound(job.recorded, how=look if job.verify else glance)
    try:
        with (
            spilling_into(job.target.parents[1] / SPILL),
            PartWriter(job.target, job.schema, job.fingerprint) as writer,
        ):
            job.step(job.inputs, writer, job.params)
    except LakeError:
        raise
    except Exception:
        require_sound(job.recorded)
        raise
    return describe(job.target), writer.observed
