"""Files that a station made before, taken over while what they were made from is the same.

Parts carry their fingerprint and are found by it. A `SnapshotStation` whose files are of another kind, or whose work is
much for each of them, says itself what a file was made from: it asks for the file, and writes it only if there is none.

    files = job.finished.take(["shard-00000.bin", "shard-00000.idx"], made_from)
    if files is None:
        ... write them into job.folder, describe them, and then, for each of them ...
        job.finished.add(file)

What was committed stays where it is: it is neither read nor written. What a killed run had added is found in the
staging folder, and is read once to see that it is whole.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from curation_assets.lake.integrity import changed
from curation_assets.lake.lake import (
    MADE,
    OLD_MANIFEST,
    File,
    Manifest,
    Partition,
    file_sha256,
    file_size,
    write_atomically,
)
from curation_assets.lake.parts import describe

RECORD = ".record"
"""Suffix of the note beside the files of a killed run: the manifest's entry of one that was finished."""


class Finished:
    """What is there of a partition that is made anew. Clears its staging folder.

    Args:
        partition: whose lock is held.
        committed: its manifest, if it has one.
        since: what was noted before that, by `integrity.changed`, is not taken: an input is newer.
    """

    def __init__(self, partition: Partition, committed: Manifest | None, since: int = 0) -> None:
        self._partition = partition
        self._kept = partition.staging / MADE
        self._kept.mkdir(parents=True, exist_ok=True)
        for path in partition.staging.iterdir():
            if path != self._kept:
                if (self._kept / f"{path.name}{RECORD}").exists():
                    path.replace(self._kept / path.name)
                elif path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()  # it may have been cut off while it was written
        self._committed = {file.name: file for file in (committed.files if committed else ())}
        self._seen: dict[str, list[File]] = {}
        for record in sorted(self._kept.glob(f"*{RECORD}")):
            if changed(record) < since:
                continue
            file = File.model_validate_json(record.read_bytes())
            self._seen.setdefault(file.name, []).append(file)
        # A kill while files were being renamed leaves the manifest of those that were there before.
        if (old := self._kept / OLD_MANIFEST).exists():
            for file in Manifest.model_validate_json(old.read_bytes()).files:
                self._seen.setdefault(file.name, []).append(file)
        self._files: dict[str, File] = {}
        self._taken: set[str] = set()

    def take(self, names: Sequence[str], fingerprint: str) -> list[File] | None:
        """The files of these names if all are there and were made from what the fingerprint stands for, else None.

        They are part of the new partition then.
        """
        found = [self._find(name, fingerprint) for name in names]
        if None in found:
            return None
        files = []
        for file, path in (place for place in found if place is not None):
            if path.parent == self._kept:
                path.replace(self._partition.staging / file.name)
            self._files[file.name] = file
            self._taken.add(file.name)
            files.append(file)
        return files

    def add(self, file: File) -> None:
        """Note that a file is written, whole, in the staging folder, so that it outlives a kill."""
        write_atomically(self._kept / f"{file.name}{RECORD}", file.model_dump_json().encode())
        self._files[file.name] = file

    def files(self, fingerprint: str) -> tuple[list[File], int]:
        """Entries of all files of the new partition by name, and how many were made now.

        Those that were neither taken nor added are described here, with a fingerprint of the whole partition.
        """
        # What begins with a dot is unfinished: a task that died on a cluster, and was run again, leaves it.
        staged = {path.name: path for path in self._partition.staging.iterdir() if not path.name.startswith(".")}
        names = sorted(staged.keys() | self._files.keys())
        files = [self._files.get(name) or describe(staged[name], fingerprint=fingerprint) for name in names]
        return files, len(files) - len(self._taken)

    def _find(self, name: str, fingerprint: str) -> tuple[File, Path] | None:
        """A file and where it lies."""
        place = self._partition.folder / name
        committed = self._committed.get(name)
        if committed is not None and committed.fingerprint == fingerprint and file_size(place) == committed.bytes:
            return committed, place
        for file in self._seen.get(name, ()):
            if file.fingerprint != fingerprint:
                continue
            for path in (self._kept / name, place):
                if file_size(path) == file.bytes and file_sha256(path) == file.sha256:
                    return file, path
        return None
