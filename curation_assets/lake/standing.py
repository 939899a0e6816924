"""How every station stands: committed, stale, missing, or being made, and how far.

Nothing is changed or locked and no rows are read: manifests, and the footers of staged parts. What a killed run had
finished is told just like what a live one has.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from curation_assets.lake.lake import Holder, Key, Lake, LakeError, Manifest, Partition, Stats, fingerprint
from curation_assets.lake.parts import footer
from curation_assets.lake.station import PartJob, SnapshotStation, Station, what_is_wanted

FOOTERS = 2000
"""Footers that are read of one partition; counters of more parts are estimated from so many, evenly spread."""


class Looked(NamedTuple):
    """What is in a partition's staging folder."""

    parts: int
    """Finished ones that need not be made again, with those in place from an earlier commit."""
    total: int
    """Parts in all; 0 for a station without parts."""
    bytes: int
    stats: Stats
    estimated: bool
    """Whether `stats` are of a sample, scaled up."""
    rate: float | None
    """Parts a second, by the later half of the parts of the run that is at work, or of the last one."""


@dataclass(frozen=True)
class Standing:
    """How one station stands."""

    station: Station
    state: Literal["current", "stale", "missing"]
    """`stale`: what is committed was made from other inputs, parameters or versions than it would be now."""
    after: str | None
    """The first input that is itself not current: that is made first, and this perhaps again."""
    manifest: Manifest | None
    staged: Looked | None
    """What a run has finished that is not committed; None when there is nothing."""
    holder: Holder | None
    """The live process that is making it."""


def standings(stations: Sequence[Station], lake: Lake, snapshot: str) -> Iterator[Standing]:
    """One for each station; each is given after its inputs."""
    reading = _ReadOnce(lake.root)
    stale: set[Key] = set()
    for station in stations:
        partition = reading.partition(station.key, snapshot)
        manifest = partition.committed()
        behind = next((key[-1] for key in station.sources.values() if key in stale), None)
        jobs: list[PartJob] = []
        state: Literal["current", "stale", "missing"] = "missing"
        try:
            wanted = what_is_wanted(station, reading, snapshot)
        except LakeError:
            wanted = None
        if wanted is not None:
            jobs = wanted.jobs
        if manifest is not None:
            current = wanted is not None and manifest.fingerprint == wanted.fingerprint and behind is None
            current = current and not _list_changed(station, partition, snapshot)
            state = "current" if current else "stale"
        if state != "current":
            stale.add(station.key)
        holder = partition.holder
        yield Standing(station, state, behind, manifest, _looked(partition, jobs, manifest, holder), holder)


def _list_changed(station: Station, partition: Partition, snapshot: str) -> bool:
    """Whether a station that follows an external asset, which lies in the lake, would see another thing there now."""
    if not (station.external and isinstance(station, SnapshotStation) and station.survey):
        return False
    return fingerprint(station.survey(snapshot)) != partition.surveyed


@dataclass(frozen=True)
class _ReadOnce(Lake):
    """A lake whose manifests are read once: one of 90,000 parts takes a second."""

    known: dict[tuple[Key, str], "_Known"] = field(default_factory=dict)

    def partition(self, key: Key, snapshot: str) -> Partition:
        if (key, snapshot) not in self.known:
            plain = super().partition(key, snapshot)
            self.known[key, snapshot] = _Known(plain.folder, key, snapshot, Partition.committed(plain))
        return self.known[key, snapshot]


@dataclass(frozen=True)
class _Known(Partition):
    read: Manifest | None

    def committed(self) -> Manifest | None:
        return self.read


def _looked(
    partition: Partition, jobs: Sequence[PartJob], manifest: Manifest | None, holder: Holder | None
) -> Looked | None:
    try:
        found = [path for path in partition.staging.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return None
    if not found and holder is None:
        return None
    entries = [(path, seen) for path in found if (seen := _stat(path))]
    sizes = sum(size for _, (size, _) in entries)
    if not jobs:
        return Looked(0, 0, sizes, {}, False, None)
    fingerprints = {job.target.name: job.fingerprint for job in jobs}
    known = [file for file in manifest.files if fingerprints.get(file.name) == file.fingerprint] if manifest else []
    since = holder.since if holder else 0.0
    entries = sorted((one for one in entries if one[0].name in fingerprints), key=lambda one: one[0].name)
    step = max(1, -(-len(entries) // FOOTERS))
    stats: Counter[str] = Counter()
    looked = current = 0
    for path, _ in entries[::step]:
        read = _footer(path)
        looked += 1
        if read is not None and read[0] == fingerprints[path.name]:
            current += 1
            stats.update(read[1])
    share = len(entries) / looked if looked else 0.0
    counters = Counter({name: round(count * share) for name, count in stats.items()})
    for file in known:
        counters.update(file.stats)
    times = sorted(time for _, (_, time) in entries if time >= since)
    return Looked(
        parts=round(current * share) + len(known),
        total=len(jobs),
        bytes=sizes,
        stats=dict(counters),
        estimated=step > 1,
        rate=_pace(times),
    )


def _stat(path: Path) -> tuple[int, float] | None:
    """Size and time; None for a file that is gone by now."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime


def _footer(path: Path) -> tuple[str | None, Stats] | None:
    """Fingerprint and counters; None for what is gone or cannot be read."""
    try:
        read = footer(path)
    except (OSError, ValueError, pa.ArrowException):
        return None
    return read.fingerprint, read.stats


def _pace(times: Sequence[float]) -> float | None:
    """Parts a second, from when each was finished."""
    half = len(times) // 2
    seconds = times[-1] - times[half] if half else 0.0
    return (len(times) - 1 - half) / seconds if seconds > 0 else None
