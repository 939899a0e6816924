"""Disks that are full or may not be written to: which file, how much room there is, and the way out."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curation_assets.lake.lake import SPILL, LakeError

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_SPACE = "no space left on device"
"""What DuckDB, Polars and Arrow say in errors of their own."""

NO_SPILL = "max_temp_directory_size"
"""The setting that DuckDB names when the disk that it spills to is full."""

SETTING = "the lake is the setting `lake` (CURATION_LAKE or --lake)"


class StorageError(LakeError):
    """The disk does not take what is written; nothing of it is visible, and finished parts are kept."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a disk refuses while `path`, a file or a folder of the lake, is written into a `StorageError`.

    Errors of other kinds, and refusals that name a file elsewhere, pass unchanged.
    """
    try:
        yield
    except LakeError:
        raise
    except Exception as error:
        told = _told(error, path)
        if told is None:
            raise
        raise StorageError(told) from error


def _told(error: Exception, path: Path) -> str | None:
    code = error.errno if isinstance(error, OSError) else None
    if code is None and NO_SPILL in str(error):
        spill = path / SPILL
        return (
            f"a query does not fit into memory, and its temporary files not into {spill}: "
            f"{str(error).splitlines()[0]} ({_room(spill)}). Finished parts are kept: make room, or use another disk "
            f"({SETTING}), and run again"
        )
    named = Path(error.filename) if isinstance(error, OSError) and isinstance(error.filename, str) else path
    if code in FULL or NO_SPACE in str(error).lower():
        what = os.strerror(code) if code is not None else str(error).splitlines()[0]
        return (
            f"{named} cannot be written: {what} ({_room(named)}). Nothing unfinished is visible and finished parts are "
            f"kept: make room, or use another disk ({SETTING}), and run again"
        )
    if code == errno.EFBIG:
        return f"{named} cannot be written: it would be larger than this process may write (`ulimit -f`). Raise that"
    if code in FORBIDDEN and (named.is_relative_to(path) or path.is_relative_to(named)):
        return (
            f"{named} cannot be written: {os.strerror(code)}. Make it writable for this user, or name another folder: "
            f"{SETTING}"
        )
    return None


def _room(path: Path) -> str:
    """Free and total bytes of the disk that a path is, or would be, on."""
    for folder in path.parents:
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        free, total = (count * found.f_frsize / 1e6 for count in (found.f_bavail, found.f_blocks))
        return f"{free:,.1f} of {total:,.1f} MB free"
    return "its disk is gone"
