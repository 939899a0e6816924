"""Where a crawl comes from: one setting names the public front, a bucket, a mirror or a local folder.

    archive = open_archive("https://data.commoncrawl.org/")
    for path in sample_files(archive.warc_files("CC-MAIN-2025-05"), 4, seed=0):
        with archive.open(path) as warc:
            ...

An archive is a frozen set of plain settings: it pickles, compares, and connects in the process that first
asks it for something.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from curation_assets.acquisition.archive_http import HttpArchive
from curation_assets.acquisition.archive_layout import (
    COLLECTIONS,
    AccessRefusedError,
    ArchiveError,
    BrokenTransferError,
    Catalogue,
    MissingFileError,
    UnknownSnapshotError,
    UnreachableError,
    file_path,
    range_end,
    sample_files,
    too_short,
)
from curation_assets.acquisition.archive_s3 import S3Archive
from curation_assets.acquisition.archive_transfer import Manners, ResumingReader

__all__ = [
    "AccessRefusedError",
    "Archive",
    "ArchiveError",
    "BrokenTransferError",
    "HttpArchive",
    "LocalArchive",
    "Manners",
    "MissingFileError",
    "S3Archive",
    "UnknownSnapshotError",
    "UnreachableError",
    "open_archive",
    "open_listed",
    "retries_of",
    "sample_files",
]

log = logging.getLogger(__name__)


class Archive(Protocol):
    """Crawls in Common Crawl's layout. Every method raises `ArchiveError` or one of its kinds."""

    @property
    def source(self) -> str:
        """What it was opened with, without credentials."""
        ...

    def snapshots(self) -> list[str]:
        """Snapshots in ``collinfo.json``, newest first; those before 2013 (ARC files) are left out."""
        ...

    def warc_files(self, snapshot: str) -> list[str]:
        """Paths of a snapshot's WARC files, as ``crawl-data/<snapshot>/warc.paths.gz`` lists them."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Open a file as a stream of bytes, as stored. Close it: over a network it holds a connection."""
        ...

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file, from byte ``offset`` on."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where the server does not say."""
        ...


@dataclass(frozen=True)
class LocalArchive(Catalogue):
    """An archive in a local folder.

    Attributes:
        source: the folder, absolute.
    """

    source: str

    def place(self, path: str) -> str:
        """File name of ``path``."""
        return str(Path(self.source) / file_path(path))

    def collections(self) -> tuple[BinaryIO, str]:
        """Open ``collinfo.json``; with it, its file name."""
        where = str(Path(self.source) / COLLECTIONS)
        return self._open(where), where

    def open(self, path: str) -> BinaryIO:
        """Open the file."""
        return self._open(self.place(path))

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """``length`` bytes of the file from ``offset`` on.

        Raises:
            BrokenTransferError: the file ends before.
        """
        end = range_end(offset, length)
        size = self.size(path)
        if end > size:
            raise too_short(self.place(path), size, end)
        with self.open(path) as file:
            file.seek(offset)
            return file.read(length)

    def size(self, path: str) -> int:
        """Bytes of the file."""
        where = self.place(path)
        try:
            return Path(where).stat().st_size
        except OSError as error:
            raise self._refusal(where, error) from error

    def _open(self, where: str) -> BinaryIO:
        try:
            return Path(where).open("rb")
        except OSError as error:
            raise self._refusal(where, error) from error

    def _refusal(self, where: str, error: OSError) -> ArchiveError:
        if not Path(self.source).is_dir():
            return UnreachableError(
                f"{where}: the folder {self.source} does not exist, or is not a folder (setting source)"
            )
        match error:
            case FileNotFoundError() | NotADirectoryError() | IsADirectoryError():
                return MissingFileError(f"{where}: there is no such file")
            case PermissionError():
                return AccessRefusedError(f"{where}: this user may not read it (setting source)")
        return ArchiveError(f"{where}: {error.strerror or error}")


LISTED_ASKS = 3
"""How often a server is asked for a file that its list names and it says it has not: one may lag behind the other."""


def open_listed(archive: Archive, path: str) -> BinaryIO | None:
    """Open a file that the archive lists; None where it says, however often it is asked, that it has none.

    Raises:
        ArchiveError: for any other reason not to give the file.
    """
    manners = archive.manners if isinstance(archive, HttpArchive | S3Archive) else None
    for ask in range(LISTED_ASKS if manners else 1):
        if manners and ask:
            time.sleep(min(manners.backoff * 2 ** (ask - 1), manners.longest_wait))
        try:
            return archive.open(path)
        except MissingFileError as error:
            log.info("%s, though it is listed", error)
    return None


def retries_of(stream: BinaryIO) -> int:
    """How many requests for a file of an archive had to be made again so far."""
    raw = getattr(stream, "raw", None)
    return raw.retries if isinstance(raw, ResumingReader) else 0


def open_archive(
    source: str,
    *,
    manners: Manners | None = None,
    signed: bool = False,
    endpoint_url: str | None = None,
    client: Any = None,
) -> Archive:
    """The archive that ``source`` names. Nothing is contacted yet.

    Args:
        source: ``https://data.commoncrawl.org/`` or any http(s) address of the same layout (a name and
            password in it are sent as basic authentication), ``s3://bucket/[prefix/]``, or a local folder.
        manners: limits, repeats and waits over a network; the defaults suit the public front.
        signed: S3 only: sign with the environment's credentials. Common Crawl's own bucket demands it.
        endpoint_url: S3 only: the store's address where it is not AWS.
        client: S3 only: a boto3 client to use in this process, in place of ``signed`` and ``endpoint_url``.
            In other processes the archive makes its own, with that client's address and region and, if that
            one signs, with the environment's credentials.

    Raises:
        ArchiveError: ``source`` is none of these.
        ValueError: ``client`` was given together with ``signed`` or ``endpoint_url``.
    """
    manners = Manners() if manners is None else manners
    scheme, separator, _ = source.partition("://")
    match scheme.lower() if separator else "":
        case "http" | "https":
            return HttpArchive.at(source, manners)
        case "s3":
            return S3Archive.at(source, manners, signed, endpoint_url, client)
        case "":
            if not source.strip() or "\0" in source:
                raise ArchiveError("the source is empty, or is no file name: give an address or a folder")
            return LocalArchive(str(Path(source).expanduser().absolute()))
        case other:
            raise ArchiveError(
                f"the source begins with {other[:20]}://, which is not read: "
                "give an address (https://, http://), a bucket (s3://) or a local folder"
            )
