"""Rows of one size, brought together by bucket through files: a global step as independent tasks.

A task of the first stage orders its rows by bucket, a bounded number at a time (a *run*), and appends run after run to
one file. A task of the second stage reads its bucket's slice of every run. So there are as many files as tasks, not
tasks times buckets, whatever the number of parts; the files lie in the lake, where any machine sees them; and only
where each bucket begins in each run, 8 bytes, goes through the process that hands out the tasks.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing

Item = TypeVar("Item")
Result = TypeVar("Result")


class Map(Protocol):
    """`Engine.map`, or the built-in one."""

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item], /) -> Iterable[Result]:
        """Apply an importable function to picklable items; results come in any order."""
        ...


class Scattered(NamedTuple):
    """A file of rows ordered by bucket within each run."""

    path: Path
    bounds: np.ndarray
    """int64[runs, buckets + 1]: the rows of the file at which each bucket of each run begins and, last, ends."""


class Bucket(NamedTuple):
    """Where the rows of a bucket lie; picklable."""

    paths: Sequence[Path]
    slices: np.ndarray
    """int64[n, 3]: the file (an index into `paths`), and its rows at which each slice begins and ends."""

    def size(self) -> int:
        """Rows of all slices."""
        return int((self.slices[:, 2] - self.slices[:, 1]).sum())


def scatter(path: Path, runs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Scattered:
    """Write a file from runs: rows ([n, width], ordered by bucket) and where those of each end (int64[buckets])."""
    bounds, start = [], 0
    with path.open("wb") as file:
        for rows, ends in runs:
            file.write(rows.data)
            bounds.append(np.concatenate([[start], start + ends]))
            start += len(rows)
    return Scattered(path, np.array(bounds, np.int64))


def by_bucket(rows: np.ndarray, bucket: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A run for `scatter`: rows ordered by their bucket (integers below `number`, at most 2**16)."""
    bucket = bucket.astype(np.uint16)
    return rows[np.argsort(bucket, kind="stable")], np.cumsum(np.bincount(bucket, minlength=number))


def buckets(files: Iterable[Scattered]) -> list[Bucket]:
    """All buckets of some files, given in any order and taken by name, which were made with one number of buckets."""
    files = sorted((file for file in files if len(file.bounds)), key=lambda file: file.path)
    if not files:
        return []
    of_run = np.repeat(np.arange(len(files)), [len(file.bounds) for file in files])
    bounds = np.concatenate([file.bounds for file in files])
    paths = [file.path for file in files]
    found = []
    for start, end in zip(bounds.T[:-1], bounds.T[1:], strict=True):
        some = start < end
        found.append(Bucket(paths, np.stack([of_run[some], start[some], end[some]], axis=1)))
    return found


def read_bucket(bucket: Bucket, dtype: np.typing.DTypeLike, width: int) -> np.ndarray:
    """The rows of a bucket ([rows, width]), slice after slice."""
    rows = np.empty((bucket.size(), width), dtype)
    at = 0
    for number, group in groupby(bucket.slices.tolist(), key=lambda one: one[0]):
        with bucket.paths[number].open("rb") as file:
            for _, start, end in group:
                view = rows[at : at + end - start]
                file.seek(start * rows.itemsize * width)
                if file.readinto(view.data) < view.nbytes:
                    raise EOFError(f"{bucket.paths[number]} was cut short")
                at += end - start
    return rows


def in_turn(items: Iterable[Item], size: Callable[[Item], int], least: int) -> Iterator[list[Item]]:
    """Neighbouring items together until they have `least` in size: what a task, or a run, is worth starting for."""
    together: list[Item] = []
    filled = 0
    for item in items:
        together.append(item)
        filled += size(item)
        if filled >= least:
            yield together
            together, filled = [], 0
    if together:
        yield together


def groups_of(items: Sequence[Item], sizes: Sequence[int], least: int) -> list[list[Item]]:
    """The same for sizes that are known."""
    together = in_turn(range(len(items)), sizes.__getitem__, least)
    return [[items[i] for i in some] for some in together]


@contextlib.contextmanager
def temporary_folder(parent: str | os.PathLike[str] | None) -> Iterator[Path]:
    """A temporary folder under another one, which is made if need be and then removed as well."""
    outer = Path(parent or tempfile.gettempdir())
    made = not outer.exists()
    outer.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=outer))
    try:
        yield folder
    except BaseException:
        # A task that has not been told yet may still be writing: the error is what matters.
        shutil.rmtree(outer if made else folder, ignore_errors=True)
        raise
    shutil.rmtree(outer if made else folder)
