"""Run the line on a sample of a snapshot's WARC files and note what each station costs.

Four passes on one set of processes, in a temporary lake that is deleted: the embedded sample snapshot twice, then half
of the files, then all of them. What the first pass costs beyond the second is start-up (libraries, kernels), paid once
a process. What a global station costs in the second and in the last gives its fixed part and what each further document
adds; the third, whose parts are used again, takes what is only loaded for data of this size out of that, and shows how
deduplication finds more in more documents. Parts are measured one by one in the workers: the interval is made of their
differences.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from curation_assets.acquisition.archive import Archive, LocalArchive, MissingFileError
from curation_assets.acquisition.sample.snapshot import SAMPLE_SNAPSHOT, write_sample
from curation_assets.acquisition.stations import WarcList, chosen_files
from curation_assets.engine.local import LocalEngine
from curation_assets.forecasting.estimator import Growth, Whole, growth
from curation_assets.forecasting.metering import MeteredEngine, Usage, spending, status
from curation_assets.lake.checks import CheckFailed
from curation_assets.lake.lake import Key, LakeError, Manifest, Stats
from curation_assets.lake.parts import part_name, read_table
from curation_assets.lake.progress import Progress
from curation_assets.lake.station import PartStation, SnapshotStation, Station, staging
from curation_assets.line import Line
from curation_assets.packing.stations import TokenizerParameters
from curation_assets.provenance.measuring import MEASURED_PARTS
from curation_assets.settings import Settings

Unit = Literal["bytes", "documents", "kept"]
"""What a station's work grows with: compressed bytes, response records, or documents of the corpus."""

BOUNDED = ("tokenizer", "profile", "snapshot_report")
"""Tables whose size does not grow with the snapshot."""

DESCRIBING = ".json"
"""Ending of files that describe others, whatever their number: the tokenizer beside the shards, their manifest."""

HELD = {
    "minhash_duplicates": (126.0, 0.0),
    "simhash_duplicates": (140.0, 0.0),
    "substring_duplicates": (64.0, 0.13),
    "bloom_duplicates": (0.0, 0.2),
    "packed_sequences": (64.0, 0.0),
}
"""Bytes of memory for each document, and for each byte of its text, as measured on a million documents
(docs/performance.md, docs/recipes.md): a sample is too small to tell them from buffers. All other global stations are
DuckDB's, which holds `MEMORY_LIMIT` at most."""


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
    held: float
    """Of these, bytes for each of `unit` of a station that is known to hold something of every document."""
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
    """CPU time of parts over their time on the clock; less than 1 where they waited, for the source or a core."""
    deduplicated: tuple[float, ...]
    """Share of the documents which came to deduplication that it dropped, in half of the sample and in all of it; empty
    for a recipe without."""

    def sizes(self) -> list[float]:
        """Of the sampled parts, in the unit of `whole`."""
        return [float(part.bytes) if self.sized else 1.0 for part in self.parts.values()]


Watch = Callable[[str, int, int, str], None]
"""Told how far the sampling is: the pass, stations that are done in it, stations in all, and what is at work."""


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
        embedded = settings.model_copy(
            update={"source": str(folder / "sample"), "warcs": None, "exclude_warcs": (), "lake": folder / "cold"}
        )
        cold = Pass(Line(embedded), SAMPLE_SNAPSHOT, "start-up", engine, watch, must_pass=False)
        cold.run()
        line = Line(embedded.model_copy(update={"lake": folder / "warm"}))
        warm = Pass(line, SAMPLE_SNAPSHOT, "fixed costs", engine, watch, must_pass=False)
        warm.run()
        held = status("self", "VmRSS")
        passes = []
        for count in sorted({max(files // 2, 1), files}):
            line = Line(settings.model_copy(update={"lake": folder / "lake", "warcs": count}))
            title = f"{count} WARC file{'s' * (count != 1)}"
            passes.append(Pass(line, snapshot, title, engine, watch))
            passes[-1].run()
        real = passes[-1]
        for name, seen in real.seen.items():
            seen.parts = {stem: cpu for one in passes for stem, cpu in one.seen[name].parts.items()}
        parts, few = real.parts(), warm.parts()
        usages = [usage for one in passes for usage in one.usages]
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
            worker_memory=max((usage.memory for usage in (*warm.usages, *usages)), default=0)
            + max(seen.sandbox for one in (warm, *passes) for seen in one.seen.values()),
            driver_memory=held,
            driver_peak=max(seen.peak for one in passes for seen in one.seen.values()),
            busy=_busy(usages),
            deduplicated=tuple(share for one in passes if (share := _deduplicated(one)) is not None),
        )


@dataclass
class Seen:
    """One station in one pass."""

    manifest: Manifest
    driver: float
    pool: float
    parts: Mapping[str, float]
    memory: int
    peak: int
    sandbox: int
    scratch: int


@dataclass
class Pass:
    """The line on a snapshot, station by station."""

    line: Line
    snapshot: str
    title: str
    engine: MeteredEngine
    watch: Watch | None
    must_pass: bool = True
    seen: dict[str, Seen] = field(default_factory=dict)
    usages: list[Usage] = field(default_factory=list)
    driver: float = 0.0
    workers: float = 0.0

    def run(self) -> None:
        """Run all stations and note what each took."""
        stations = self.line.stations
        for number, station in enumerate(stations):
            self._run(station, partial(self._tell, number, station.name))
            self._tell(number + 1, "", 0, 0, {})

    def _tell(self, number: int, name: str, done: int, total: int, stats: Stats, phase: str = "") -> None:
        if self.watch:
            parts = f", {done} of {total} parts" if total and not phase else ""
            self.watch(self.title, number, len(self.line.stations), f"{name}{parts}")

    def _run(self, station: Station, progress: Progress) -> None:
        partition = self.line.lake.partition(station.key, self.snapshot)
        watched = partition.staging if isinstance(station, SnapshotStation) else None
        try:
            with (
                spending(watched) as spent,
                staging(station, self.line.lake, self.snapshot, self.engine, progress) as staged,
            ):
                # The embedded snapshot is damaged on purpose, which a strict recipe need not bear.
                if self.must_pass or not staged.failed:
                    staged.publish()
                else:
                    staged.partition.commit(staged.manifest)
        except CheckFailed as error:
            raise LakeError(f"{error} A run would end there, too.") from error
        usages = self.engine.taken()
        parts = {usage.part: usage.cpu for usage in usages if usage.part is not None}
        self.seen[station.name] = Seen(
            manifest=staged.manifest,
            driver=spent.driver,
            pool=max(spent.workers - math.fsum(parts.values()), 0.0),
            parts=parts,
            memory=spent.memory,
            peak=spent.peak,
            sandbox=spent.sandbox,
            scratch=max(spent.scratch - staged.manifest.bytes, 0),
        )
        self.usages += usages
        self.driver += spent.driver
        self.workers += spent.workers

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
    station: Station, line: Line, warm: Pass, real: Pass, few: Mapping[str, Part], parts: Mapping[str, Part]
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
            grows = sum(file.bytes for file in now.manifest.files if not file.name.endswith(DESCRIBING))
            by_part, rest = {}, Growth(now.manifest.bytes - grows, grows / max(large, 1))
    return Cost(
        name=station.name,
        unit=unit,
        parts=now.parts,
        pool=line_of("pool"),
        driver=line_of("driver"),
        files=by_part,
        rest=rest,
        memory=line_of("memory"),
        held=_held(station, real) / max(large, 1),
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


def _ceiling(station: Station, real: Pass, parts: int) -> float:
    """See `Cost.ceiling`."""
    if station.name == "snapshot_report":
        return max(MEASURED_PARTS / parts, 1.0)
    if isinstance(station.params, TokenizerParameters):
        text = real.seen["corpus"].manifest.stats.get("text_bytes", 0)
        return 1.0 if station.params.given or not text else max(station.params.sample_bytes / text, 1.0)
    return math.inf


def _held(station: Station, real: Pass) -> float:
    """Bytes that a station holds for the sample's documents by what is known of it."""
    if station.name not in HELD:
        return 0.0
    stats, corpus = real.seen[station.name].manifest.stats, real.seen["corpus"].manifest
    text = corpus.stats.get("text_bytes", 0) / max(corpus.rows, 1)
    of_document, of_byte = HELD[station.name]
    return stats.get("rows_in", 0) * (of_document + of_byte * text)


def _busy(usages: Sequence[Usage]) -> float:
    wall = math.fsum(usage.wall for usage in usages if usage.part is not None)
    return min(math.fsum(usage.cpu for usage in usages if usage.part is not None) / wall, 1.0) if wall else 1.0


def _deduplicated(real: Pass) -> float | None:
    """See `Sampled.deduplicated`."""
    stations = [station for station in real.line.stations if station.group == "deduplication"]
    if not stations:
        return None
    reasons = {name for station in stations for name in real.seen[station.name].manifest.stats}
    stats = real.seen["verdicts"].manifest.stats
    dropped = sum(count for name, count in stats.items() if name.startswith("dropped.") and name in reasons)
    return dropped / max(dropped + stats.get("rows_out", 0), 1)
