"""What an archive in Common Crawl's layout holds, whatever carries it: names, lists, samples and errors.

``collinfo.json`` names the snapshots, ``crawl-data/<snapshot>/warc.paths.gz`` names the WARC files of one,
and each of its lines is the path of a WARC file below the same root (https://commoncrawl.org/get-started).
"""

import difflib
import gzip
import hashlib
import heapq
import json
import re
import unicodedata
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import BinaryIO

SNAPSHOT = re.compile(r"CC-MAIN-20[0-9]{2}-(?:0[1-9]|[1-4][0-9]|5[0-3])")
"""A snapshot's name: year and ISO week, as in ``CC-MAIN-2025-05``."""

PREFIX = "crawl-data/"
COLLECTIONS = "collinfo.json"
LARGEST_COLLECTIONS = 16 << 20
"""Bytes of a list of crawls."""

LARGEST_LIST = 256 << 20
"""Bytes of an unpacked ``warc.paths.gz``; the largest published ones are near 15 MB."""

LONGEST_PATH = 1024
"""Bytes of a path; the longest key that S3 takes."""


class ArchiveError(Exception):
    """An archive could not give what was asked: what was tried, what came back, and the way out."""


class UnknownSnapshotError(ArchiveError):
    """The archive has no snapshot of that name."""


class MissingFileError(ArchiveError):
    """The archive answered, and has no file of that name."""


class AccessRefusedError(ArchiveError):
    """The archive answered, and wants credentials, other credentials, or fewer requests."""


class UnreachableError(ArchiveError):
    """No usable answer: no network, no such host, a refused connection, silence, a failing server (5xx)."""


class BrokenTransferError(ArchiveError):
    """A file could not be read to its end: cut short, changed while it was read, or of unknown length."""


def snapshot_name(name: str) -> str:
    """Give back ``name`` if it is a snapshot's name (``CC-MAIN-YYYY-WW``).

    Raises:
        UnknownSnapshotError: it is not. Older crawls (``CC-MAIN-2012`` and before) are ARC files, which are
            not read.
    """
    if not SNAPSHOT.fullmatch(name):
        raise UnknownSnapshotError(
            f"{name!r} is not the name of a snapshot: expected CC-MAIN-YYYY-WW (year and week), "
            "for example CC-MAIN-2025-05"
        )
    return name


def list_path(snapshot: str) -> str:
    """Path of the list of a snapshot's WARC files; raises `UnknownSnapshotError` for what is not a name."""
    return f"{PREFIX}{snapshot_name(snapshot)}/warc.paths.gz"


def file_path(path: str) -> str:
    """Give back ``path`` if it can only name a file below ``crawl-data/``.

    Raises:
        ArchiveError: it is absolute, climbs (``..``), is empty between slashes, holds a backslash, a control
            character or a lone surrogate, or is longer than `LONGEST_PATH` bytes.
    """
    shown = repr(path if len(path) <= 200 else path[:200] + "…")
    if not path.startswith(PREFIX):
        raise ArchiveError(f"{shown} is not a path of the archive: expected one that begins with {PREFIX}")
    if "\\" in path or any(unicodedata.category(c) in ("Cc", "Cs") for c in path):
        raise ArchiveError(f"{shown} is not a path of the archive: it holds a backslash or a control character")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise ArchiveError(f"{shown} is not a path of the archive: it has an empty segment, '.' or '..'")
    if len(path.encode()) > LONGEST_PATH:
        raise ArchiveError(f"{shown} is not a path of the archive: it is longer than {LONGEST_PATH} bytes")
    return path


def read_collections(stream: BinaryIO, where: str) -> list[str]:
    """Names of the snapshots in a ``collinfo.json``, newest first.

    Crawls that do not follow `SNAPSHOT` (those of 2008 to 2012, in ARC files) are left out.

    Raises:
        ArchiveError: it is not such a file, or is over `LARGEST_COLLECTIONS` bytes.
    """
    content = stream.read(LARGEST_COLLECTIONS + 1)
    if len(content) > LARGEST_COLLECTIONS:
        raise ArchiveError(f"{where} is larger than {LARGEST_COLLECTIONS >> 20} MiB: not a list of crawls")
    try:
        names = {entry["id"] for entry in json.loads(content)}
        found = [name for name in names if SNAPSHOT.fullmatch(name)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArchiveError(
            f"{where} is not Common Crawl's list of crawls (a JSON array of objects with an 'id'): "
            f"{type(error).__name__}. Is the source's address right?"
        ) from error
    return sorted(found, reverse=True)


def read_list(stream: BinaryIO, where: str) -> list[str]:
    """Lines of a ``warc.paths.gz``, in order, each checked by `file_path`; blank lines are dropped.

    Raises:
        ArchiveError: it is not gzip, is cut or damaged, is over `LARGEST_LIST` bytes unpacked, names nothing,
            names a file twice, or holds a line that is not a path.
    """
    try:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            content = unpacked.read(LARGEST_LIST + 1)
        if len(content) > LARGEST_LIST:
            raise ArchiveError(f"{where} unpacks to more than {LARGEST_LIST >> 20} MiB: not a list of WARC files")
        lines = content.decode().split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ArchiveError(f"{where} is damaged, or is no gzipped list of paths: {error}. Fetch it anew") from error
    paths: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        path = line.strip(" \t\r")
        if not path:
            continue
        try:
            file_path(path)
        except ArchiveError as error:
            raise ArchiveError(f"{where}, line {number}: {error}") from None
        if path in paths:
            raise ArchiveError(f"{where}, line {number}: {path} is listed twice")
        paths[path] = None
    if not paths:
        raise ArchiveError(f"{where} names no WARC file")
    return list(paths)


def sample_files(paths: Sequence[str], n: int | None, seed: int) -> list[str]:
    """All paths (``n`` is None), or a sample of ``n`` of them, in the order of ``paths``.

    A path's rank is a hash of the seed and the path, and the ``n`` smallest are kept: the choice does not
    depend on the order of ``paths``, and a larger ``n`` contains the smaller sample, so that work already
    done stays useful.

    Raises:
        ValueError: ``n`` is negative.
    """
    if n is None:
        return list(paths)
    if n < 0:
        raise ValueError(f"cannot sample {n} files")

    def rank(index: int) -> tuple[bytes, str, int]:
        path = paths[index]
        return hashlib.blake2b(f"{seed}:{path}".encode(), digest_size=16).digest(), path, index

    return [paths[index] for index in sorted(heapq.nsmallest(n, range(len(paths)), key=rank))]


def range_end(offset: int, length: int) -> int:
    """Offset after the last byte of a range; raises ValueError where there is no such range."""
    if offset < 0 or length < 0:
        raise ValueError(f"no file has {length} bytes from byte {offset} on")
    return offset + length


def too_short(where: str, size: int, end: int) -> BrokenTransferError:
    """The error for a file of ``size`` bytes of which bytes up to ``end`` were asked for."""
    return BrokenTransferError(
        f"{where} has {size} bytes; bytes up to {end} were asked for. Is it another version of the file?"
    )


class Catalogue(ABC):
    """The two lists of an archive, for any archive that can open a file of its own."""

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Open the file at ``path``."""

    @abstractmethod
    def collections(self) -> tuple[BinaryIO, str]:
        """Open the archive's ``collinfo.json``; with it, where it was found."""

    @abstractmethod
    def place(self, path: str) -> str:
        """Where ``path`` lies, for messages; never with credentials."""

    def snapshots(self) -> list[str]:
        """Names of the snapshots in the archive's ``collinfo.json``, newest first."""
        stream, where = self.collections()
        with stream:
            return read_collections(stream, where)

    def warc_files(self, snapshot: str) -> list[str]:
        """Paths of the snapshot's WARC files, in the order of its ``warc.paths.gz``.

        Raises:
            UnknownSnapshotError: not a snapshot's name, or neither list nor ``collinfo.json`` knows it.
            ArchiveError: the list is missing, damaged or out of reach.
        """
        path = list_path(snapshot)
        try:
            stream = self.open(path)
        except (MissingFileError, AccessRefusedError) as error:
            # A bucket that may not be listed answers "refused" for a name that it does not have.
            raise self._without_list(snapshot, error) from error
        with stream:
            return read_list(stream, self.place(path))

    def _without_list(self, snapshot: str, error: ArchiveError) -> ArchiveError:
        try:
            known = self.snapshots()
        except ArchiveError as second:
            return type(error)(f"snapshot {snapshot}: {error}. The list of crawls was no help: {second}")
        if snapshot in known:
            return type(error)(f"snapshot {snapshot} is in the list of crawls, but {error}")
        if not known:
            return UnknownSnapshotError(f"there is no snapshot {snapshot}: the list of crawls is empty ({error})")
        near = difflib.get_close_matches(snapshot, known, n=3, cutoff=0.6)
        return UnknownSnapshotError(
            f"there is no snapshot {snapshot} ({error}). "
            + (f"Near it: {', '.join(near)}. " if near else "")
            + f"The newest is {known[0]}"
        )
