"""Whether a lake can take the next run: writable, room enough, and nothing left lying by runs that ended badly.

Nothing is changed but one temporary file, which is gone at once, and no rows are read.
"""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from curation_assets.lake.lake import LOCK, MANIFEST, STAGING, Key, Lake, Partition
from curation_assets.lake.station import Station

SHOWN = 5
"""Partitions that a finding names."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    """A proposition: `lake_is_writable`."""
    passed: bool
    told: str
    """What was found and, where it is not well, what to do."""


def lake_health(lake: Lake, stations: Sequence[Station], snapshot: str | None) -> list[Finding]:
    """Look at a lake before or after a run of `stations` on `snapshot`; without a snapshot, not at the room for it."""
    # A lake that is not there yet is made by the first run.
    folder = next((one for one in (lake.root, *lake.root.parents) if one.is_dir()), lake.root)
    if (refused := _refused(folder)) is not None:
        return [Finding("lake_is_writable", False, refused)]
    partitions = list(begun(lake)) if folder == lake.root else []
    findings = [Finding("lake_is_writable", True, f"{folder} can be written to")]
    if snapshot is not None:
        findings.append(_room(lake, stations, snapshot, shutil.disk_usage(folder).free))
    left = [f"{one.name} ({_left(one)})" for one in partitions if _left(one)]
    told = "run these snapshots again, which goes on from there, or delete the folders: "
    findings.append(Finding("nothing_is_left_unfinished", not left, told + _some(left) if left else "nothing is"))
    dead = [one.name for one in partitions if _is_dead(one)]
    told = "a file system that keeps the locks of the dead; end what holds them, or delete .lock there: "
    findings.append(Finding("no_lock_is_of_a_dead_process", not dead, told + _some(dead) if dead else "none is"))
    return findings


def begun(lake: Lake) -> Iterator[Partition]:
    """Every partition that a run has ever locked, in order of name."""
    folders: list[tuple[Path, Key]] = [(lake.root, ())]
    while folders:
        folder, key = folders.pop()
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_dir() for entry in entries}
        if LOCK in found and len(key) > 1:
            yield Partition(folder, key[:-1], key[-1])
            continue
        below: list[tuple[Path, Key]] = [
            (folder / name, (*key, name)) for name, is_folder in found.items() if is_folder
        ]
        folders += sorted(below, reverse=True)


def _refused(folder: Path) -> str | None:
    """Why nothing can be written there; None where it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}"
    return None


def _room(lake: Lake, stations: Sequence[Station], snapshot: str, free: int) -> Finding:
    """Whether what the stations have still to write will fit, by what they wrote of a WARC file in other snapshots."""
    name = "room_is_enough"
    listed = next((station.key for station in stations if station.name == "warc_files"), None)
    parts = {one: lake.partition(listed, one).manifest().rows for one in lake.snapshots(listed)} if listed else {}
    if snapshot not in parts:
        return Finding(name, True, f"{_size(free)} are free; how many WARC files {snapshot} has is not known yet")
    needed, unknown = 0.0, 0
    for station in stations:
        if lake.partition(station.key, snapshot).committed() is not None:
            continue
        written = {one: lake.partition(station.key, one).manifest().bytes for one in lake.snapshots(station.key)}
        known = [one for one in written if parts.get(one)]
        if known:
            needed += parts[snapshot] * sum(written[one] for one in known) / sum(parts[one] for one in known)
        unknown += not known
    told = f"{_size(free)} are free, about {_size(needed)} are still to be written for {snapshot}"
    if unknown:
        told += f", not counting {unknown} tables that were never made here"
    return Finding(name, needed <= free, told if needed <= free else f"{told}: make room, or choose fewer WARC files")


def _left(partition: Partition) -> str:
    """What a run that is no more left of a partition; empty when nothing, or while one is at work."""
    staged = partition.staging
    files = sum(1 for path in staged.iterdir() if path.is_file()) if staged.is_dir() else 0
    if not files and ((partition.folder / MANIFEST).exists() or not _has_files(partition)):
        return ""
    if partition.holder is not None:
        return ""
    return f"{files:,} files in {STAGING}" if files else f"files without {MANIFEST}"


def _has_files(partition: Partition) -> bool:
    return any(not path.name.startswith(".") for path in partition.folder.iterdir())


def _is_dead(partition: Partition) -> bool:
    """Whether the process of this host that holds a lock is gone."""
    holder = partition.holder
    named = re.fullmatch(r"process (\d+) on (.+)", holder.process, re.DOTALL) if holder is not None else None
    return named is not None and named[2] == socket.gethostname() and not Path(f"/proc/{named[1]}").exists()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _size(count: float) -> str:
    from rich.filesize import decimal

    return decimal(int(count))
