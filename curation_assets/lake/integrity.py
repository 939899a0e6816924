"""Whether committed files are still what was committed: bit rot, lost and shortened files.

A manifest holds the SHA-256 of every file. Runs compare a file's size, which costs a look at its folder; here its
content is read again. What is damaged is moved aside, and the next run makes it again: the same bytes, from the same
inputs.

What an unfinished run made of a file that was damaged by then, nobody can tell by its fingerprint, which is of the file
as it was committed. It is taken up only while nothing has happened to the file since (`changed`): mending it is such a
thing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curation_assets.engine.local import Engine
from curation_assets.lake.lake import MANIFEST, DamagedError, File, Lake, Partition, file_size
from curation_assets.lake.parts import describe

ROTTEN = ".rotten"
"""Ends the name of a damaged file that was moved aside; the next commit of its partition deletes it."""

Recorded = tuple[Path, File]
"""Where a committed file lies, and what its manifest says of it."""


@dataclass(frozen=True)
class Fault:
    """A file that is not what was committed."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def recorded(*partitions: Partition) -> list[Recorded]:
    """The files of committed partitions. Raises `DamagedError` when a manifest cannot be read."""
    return [(partition.folder / file.name, file) for partition in partitions for file in partition.manifest().files]


def glance(item: Recorded) -> Fault | None:
    """Compare a file's size with its manifest's entry, without reading it; None when they are the same."""
    path, file = item
    size = file_size(path)
    if size < 0:
        return Fault(path, "it is missing")
    return Fault(path, f"it has {size:,} bytes, {file.bytes:,} were committed") if size != file.bytes else None


def look(item: Recorded) -> Fault | None:
    """Read a file again and compare it with its manifest's entry; None when it is what was committed.

    The rows, counters and fingerprint that a part itself tells are compared too, so that a damaged manifest shows.
    """
    path, file = item
    if (fault := glance(item)) is not None:
        return fault
    try:
        found = describe(path, file.fingerprint)
    except FileNotFoundError:
        return Fault(path, "it is missing")
    except pa.ArrowInvalid as error:
        return Fault(path, f"it cannot be read: {str(error).splitlines()[0]}")
    except (OSError, ValueError, pa.ArrowException) as error:
        return Fault(path, f"it cannot be read: {error}")
    if found.sha256 != file.sha256:
        return Fault(path, "its content is not what was committed")
    tells = path.suffix in (".parquet", ".arrow")
    return (
        Fault(path.with_name(MANIFEST), f"what it says of {path.name} is not so") if tells and found != file else None
    )


def faults(items: Sequence[Recorded], engine: Engine) -> Iterator[Fault | None]:
    """What `look` says of each file, in no order."""
    return engine.map(look, items)


def require_sound(
    items: Iterable[Recorded], engine: Engine | None = None, how: Callable[[Recorded], Fault | None] = look
) -> None:
    """Raise `DamagedError` when a file is not what was committed; looks here when no engine is given."""
    found = engine.map(how, list(items)) if engine else map(how, items)
    damaged = sorted((fault for fault in found if fault is not None), key=lambda fault: fault.path)
    if damaged:
        more = f" (and {len(damaged) - 1} more files)" if len(damaged) > 1 else ""
        raise damaged_error(damaged[0], more)


def damaged_error(fault: Fault, more: str = "") -> DamagedError:
    """The error for a damaged file, with the way out."""
    return DamagedError(
        f"{fault.path} is damaged: {fault.what}{more}. `curation verify --repair` moves what is damaged aside; "
        "then run again, which makes only that anew"
    )


def changed(path: Path) -> int:
    """When a file was last written, renamed or touched otherwise, nanoseconds since 1970; 0 when it is missing.

    It is the time of the inode's change, which a copy that keeps times does not bring back.
    """
    try:
        return path.stat().st_ctime_ns
    except FileNotFoundError:
        return 0


def newest(items: Iterable[Recorded]) -> int:
    """When the last change of some files was, as `changed` tells it; 0 when there is none."""
    return max((changed(path) for path, _ in items), default=0)


def committed_partitions(lake: Lake) -> list[Partition]:
    """Every partition in a lake that has a manifest, readable or not, in order of name."""
    folders = sorted(path.parent for path in lake.root.rglob(MANIFEST))
    keys = [(folder, folder.relative_to(lake.root).parts) for folder in folders]
    return [Partition(folder, parts[:-1], parts[-1]) for folder, parts in keys if len(parts) > 1]


def set_aside(partition: Partition, damaged: Iterable[Fault]) -> None:
    """Move damaged files of a partition aside, under its lock, so that the next run makes them again."""
    with partition.lock():
        for fault in damaged:
            if fault.path.exists():
                fault.path.replace(fault.path.with_name(f".{fault.path.name}{ROTTEN}"))
