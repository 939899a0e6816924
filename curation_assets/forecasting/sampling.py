"""Run the line on a sample of a snapshot's WARC files and note what each station costs.

Three passes on one set of processes, in a temporary lake that is deleted: the embedded sample snapshot twice, then the
files. What the first pass costs beyond the second is start-up (libraries, kernels), paid once a process. What a global
station costs in the second and in the third gives its fixed part and what each further document adds. Parts are
measured one by one in the workers, because it is their differences that the interval is made of.
"""

import math
import resource
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from curation_assets.acquisition.archive import Archive, LocalArchive, MissingFileError, sample_files
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.acquisition.stations import WarcList, chosen_files
from curation_assets.engine.local import LocalEngine
from curation_assets.forecasting.estimator import Growth, Whole, growth
from curation_assets.forecasting.metering import MeteredEngine, Usage, spending
from curation_assets.lake.checks import CheckFailed
from curation_assets.lake.lake import Key, LakeError, Manifest
from curation_assets.lake.parts import part_name, read_table
from curation_assets.lake.progress import Progress
from curation_assets.lake.station import PartStation, SnapshotStation, Staged, Station, staging
from curation_assets.line import Line
from curation_assets.packing.stations import TokenizerParameters
from curation_assets.provenance.measuring import MEASURED_PARTS
from curation_assets.settings import Settings

Unit = Literal["bytes", "documents", "kept"]
"""What a station's work grows with: compressed bytes, response records, or documents of the corpus."""

BOUNDED = ("tokenizer", "profile", "snapshot_report")
"""Tables whose size does not grow with the snapshot."""


@dataclass(frozen=True)
class Part:
    """What was found in one WARC file."""

    bytes: int
    """Compressed; as far as it was read."""
    documents: int
    kept: int
    tokens: int

    def size(self, unit: Unit) -> int:
        """In one of the units."""
        return getattr(self, unit)


@dataclass(frozen=True)
class Cost:
    """What one station costs."""

    name: str
    unit: Unit
    parts: Mapping[str, float]
    """CPU seconds of each sampled part, in workers; empty for a station that sees the whole snapshot."""
    pool: Growth
    """CPU seconds of other work in workers, by size in `unit`."""
    driver: Growth
    """CPU seconds of the process that drives them."""
    files: Mapping[str, int]
    """Bytes written for each sampled part."""
    rest: Growth
    """Bytes written besides."""
    memory: Growth
    """Bytes that the driver holds at most, beyond what it held before."""
    scratch: Growth
    """Bytes of temporary files at most."""
    ceiling: float = math.inf
    """How many times the sample it takes until it costs no more CPU: it looks at so much and no further."""


@dataclass(frozen=True)
class Start:
    """CPU seconds that are paid once a process."""

    driver: float
    worker: float


@dataclass(frozen=True)
class Sampled:
    """The sample, what it is of, and what it cost."""

    snapshot: str
    recipe: str
    whole: Whole
    """Size in compressed bytes where those of all files are known, else in files."""
    sized: bool
    """Whether they are."""
    parts: Mapping[str, Part]
    costs: Sequence[Cost]
    start: Start
    worker_memory: int
    """Bytes that a worker and its sandbox held at most."""
    driver_memory: int
    """Bytes that the driver held before the sample, with all libraries loaded."""
    driver_peak: int
    """Bytes that it held at most."""
    busy: float
    """CPU time of parts over their time on the clock: below 1 they waited for the source, the disk or other programs."""
    deduplicated: float | None
    """Share of the documents which came to deduplication that it dropped; None where a recipe has none."""

    def sizes(self) -> list[float]:
        """Of the sampled parts, in the unit of `whole`."""
        return [float(part.bytes) if self.sized else 1.0 for part in self.parts.values()]


class Watch(Protocol):
    """Told how far the sampling is."""

    def warming(self, done: int, total: int) -> None:
        """Stations of the first two passes."""
        ...

    def progress(self, station: Station) -> Progress | None:
        """For a station of the sample."""
        ...

    def published(self, staged: Staged) -> None:
        """A station of the sample is done."""
        ...


class Unwatched:
    """Tells nobody."""

    def warming(self, done: int, total: int) -> None:
        """Ignored."""

    def progress(self, station: Station) -> Progress | None:
        """None."""

    def published(self, staged: Staged) -> None:
        """Ignored."""


def sample(settings: Settings, snapshot: str, files: int, watch: Watch | None = None, used: float = 0.0) -> Sampled:
    """Measure the line on `files` WARC files of those that `settings` choose, drawn by the settings' seed.

    Args:
        settings: those of the run that is to be foreseen; its lake is not touched. As many workers are used.
        snapshot: its name.
        files: at least two, unless the snapshot has fewer; no more than there are.
        watch: who is told how far it is.
        used: CPU seconds of start-up that this process had spent before.

    Raises:
        ArchiveError: the source has no such snapshot, or cannot be read.
        LakeError: temporary files cannot be written, or the data of the sample breaks a check, as a run's would.
        ValueError: fewer than two files of several.
    """
    watch = watch or Unwatched()
    line = Line(settings)
    params = WarcList(
        source=line.archive.source, warcs=settings.warcs, seed=settings.sample_seed, exclude=settings.exclude_warcs
    )
    listed = chosen_files(line.archive.warc_files(snapshot), params)
    if files < min(2, len(listed)):
        raise ValueError(f"{files} of {len(listed)} WARC files say nothing of how files differ: sample two at least")
    files = min(files, len(listed))
    size = _bytes(line.archive, listed)
    with (
        tempfile.TemporaryDirectory(prefix="curation-forecast-") as name,
        LocalEngine(settings.workers) as local,
    ):
        folder, engine = Path(name), MeteredEngine(local)
        write_sample(folder / "sample")
        known = {"source": str(folder / "sample"), "warcs": None, "exclude_warcs": ()}
        passes = []
        for number in range(2):
            lake = folder / f"lake-{number}"
            small = Line(settings.model_copy(update={**known, "lake": lake}))
            passes.append(_Pass(small, SAMPLE_SNAPSHOT))
            for done, station in enumerate(small.stations, 1):
                passes[-1].run(station, engine, None, must_pass=False)
                watch.warming(number * len(small.stations) + done, 2 * len(small.stations))
        line = Line(settings.model_copy(update={"lake": folder / "lake", "warcs": files}))
        held = resident()
        real = _Pass(line, snapshot)
        for station in line.stations:
            watch.published(real.run(station, engine, watch.progress(station)))
        cold, warm = passes
        parts, few = real.parts(), warm.parts()
        return Sampled(
            snapshot=snapshot,
            recipe=line.recipe.name,
            whole=Whole(len(listed), float(size if size is not None else len(listed))),
            sized=size is not None,
            parts=parts,
            costs=[_cost(station, line, warm, real, few, parts) for station in line.stations],
            start=Start(
                driver=used + max(cold.driver - warm.driver, 0.0),
                worker=max(cold.workers - warm.workers, 0.0) / max(len(cold.processes), 1),
            ),
            worker_memory=max((usage.memory for one in (cold, warm, real) for usage in one.usages), default=0),
            driver_memory=held,
            driver_peak=max(seen.peak for seen in real.seen.values()),
            busy=_busy(real.usages),
            deduplicated=_deduplicated(real),
        )


def resident() -> int:
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass(frozen=True)
class _Seen:
    """One station in one pass."""

    manifest: Manifest
    driver: float
    pool: float
    parts: Mapping[str, float]
    memory: int
    peak: int
    scratch: int


@dataclass
class _Pass:
    """The line on a snapshot, station by station."""

    line: Line
    snapshot: str
    seen: dict[str, _Seen] = field(default_factory=dict)
    usages: list[Usage] = field(default_factory=list)
    driver: float = 0.0
    workers: float = 0.0

    def run(
        self, station: Station, engine: MeteredEngine, progress: Progress | None, must_pass: bool = True
    ) -> Staged:
        """Run one station and note what it took."""
        partition = self.line.lake.partition(station.key, self.snapshot)
        watched = partition.staging if isinstance(station, SnapshotStation) else None
        try:
            with (
                spending(watched) as spent,
                staging(station, self.line.lake, self.snapshot, engine, progress) as staged,
            ):
                # The embedded snapshot is damaged on purpose, which a strict recipe need not bear.
                if must_pass or not staged.failed:
                    staged.publish()
                else:
                    staged.partition.commit(staged.manifest)
        except CheckFailed as error:
            raise LakeError(f"{error} A run would end there, too.") from error
        usages = engine.taken()
        parts = {usage.part: usage.cpu for usage in usages if usage.part is not None}
        self.seen[station.name] = _Seen(
            manifest=staged.manifest,
            driver=spent.driver,
            pool=max(spent.workers - math.fsum(parts.values()), 0.0),
            parts=parts,
            memory=spent.memory,
            peak=spent.peak,
            scratch=max(spent.scratch - staged.manifest.bytes, 0),
        )
        self.usages += usages
        self.driver += spent.driver
        self.workers += spent.workers
        return staged

    @property
    def processes(self) -> set[int]:
        """Workers that were at work."""
        return {usage.process for usage in self.usages}

    def parts(self) -> dict[str, Part]:
        """What was found in each file."""
        (path,) = self.line.lake.partition(self.line.key("warc_files"), self.snapshot).paths(".parquet")
        found = {}
        documents, kept, tokens = (_by_stem(self.seen[name].manifest) for name in ("documents", "corpus", "tokens"))
        for row in read_table(path).to_pylist():
            stem = Path(part_name(row["part"])).stem
            found[stem] = Part(
                bytes=documents[stem].stats.get("warc_bytes", 0) if row["bytes"] is None else row["bytes"],
                documents=documents[stem].rows,
                kept=kept[stem].rows,
                tokens=tokens[stem].stats.get("tokens", 0),
            )
        return found


def _by_stem(manifest: Manifest) -> dict:
    return {Path(file.name).stem: file for file in manifest.files}


def _bytes(archive: Archive, listed: Iterable[str]) -> int | None:
    """Compressed bytes of all files; None where that takes a request for each."""
    if not isinstance(archive, LocalArchive):
        return None
    total = 0
    for path in listed:
        with suppress(MissingFileError):
            total += archive.size(path)
    return total


def _cost(
    station: Station, line: Line, warm: _Pass, real: _Pass, few: Mapping[str, Part], parts: Mapping[str, Part]
) -> Cost:
    unit = _unit(station, line)
    small, large = (sum(part.size(unit) for part in found.values()) for found in (few, parts))
    before, now = warm.seen[station.name], real.seen[station.name]

    def line_of(name: str) -> Growth:
        return growth((small, getattr(before, name)), (large, getattr(now, name)))

    by_part = {Path(file.name).stem: file.bytes for file in now.manifest.files}
    match station:
        case PartStation():
            rest = Growth(0.0, 0.0)
        case SnapshotStation(name=name) if name in BOUNDED:
            by_part, rest = {}, Growth(now.manifest.bytes, 0.0)
        case _:
            by_part, rest = {}, growth((small, before.manifest.bytes), (large, now.manifest.bytes))
    return Cost(
        name=station.name,
        unit=unit,
        parts=now.parts,
        pool=line_of("pool"),
        driver=line_of("driver"),
        files=by_part,
        rest=rest,
        memory=line_of("memory"),
        scratch=line_of("scratch"),
        ceiling=_ceiling(station, real, len(parts)),
    )


def _unit(station: Station, line: Line) -> Unit:
    """What a station's work grows with: that of the latest table that it reads."""
    above = _ancestors(station, line)
    if line.key("corpus") in above and station.name not in BOUNDED:
        return "kept"
    return "documents" if station.sources else "bytes"


def _ancestors(station: Station, line: Line) -> set[Key]:
    """The station's own key and those of all that it depends on."""
    by_key = {one.key: one for one in line.stations}
    found: set[Key] = set()
    looked = [station.key]
    while looked:
        key = looked.pop()
        if key not in found:
            found.add(key)
            looked += by_key[key].sources.values() if key in by_key else ()
    return found


def _ceiling(station: Station, real: _Pass, parts: int) -> float:
    """See `Cost.ceiling`."""
    if station.name == "snapshot_report":
        return max(MEASURED_PARTS / parts, 1.0)
    if isinstance(station.params, TokenizerParameters):
        text = real.seen["corpus"].manifest.stats.get("text_bytes", 0)
        return 1.0 if station.params.given or not text else max(station.params.sample_bytes / text, 1.0)
    return math.inf


def _busy(usages: Sequence[Usage]) -> float:
    wall = math.fsum(usage.wall for usage in usages if usage.part is not None)
    return min(math.fsum(usage.cpu for usage in usages if usage.part is not None) / wall, 1.0) if wall else 1.0


def _deduplicated(real: _Pass) -> float | None:
    """See `Sampled.deduplicated`."""
    stations = [station for station in real.line.stations if station.group == "deduplication"]
    if not stations:
        return None
    reasons = {name for station in stations for name in real.seen[station.name].manifest.stats}
    stats = real.seen["verdicts"].manifest.stats
    dropped = sum(count for name, count in stats.items() if name.startswith("dropped.") and name in reasons)
    return dropped / max(dropped + stats.get("rows_out", 0), 1)
