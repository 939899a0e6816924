"""Exact duplicate spans (100 bytes, and 50 words) of 40 MB of text against the construction of a suffix array alone.

Invented pages, of which a tenth is copied from others and a third shares boilerplate, or the `text` column of the
Parquet file that the command line names. The peer is pydivsufsort (libdivsufsort, the fastest on one core), which does
with the array in memory the first of three steps; a sample of its spans must be ours. Where it is not installed it is a
dictionary of all windows in Python. CPU seconds, without imports and compilation; peak memory above what the process,
one for each, held before.
"""

import importlib.util
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import given_texts, report

from curation_assets.deduplication.substring import Unit, duplicate_spans

SIZE, LENGTH = 40_000_000, 100


def invented_texts(size: int) -> pa.LargeStringArray:
    """Pages of about 3 kB in Zipf's frequencies of words, until they have `size` bytes."""
    random = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(50_000)]
    weights = 1 / (np.arange(len(vocabulary)) + 2.7)
    words = iter(random.choice(len(vocabulary), size // 5, p=weights / weights.sum()))

    def prose(count: int) -> str:
        return " ".join(vocabulary[next(words)] for _ in range(count))

    boilerplate = [prose(60) for _ in range(200)]
    texts: list[str] = []
    while size > 0:
        if texts and random.random() < 0.1:
            page = texts[random.integers(len(texts))]
        else:
            page = "\n".join(prose(int(random.integers(30, 80))) for _ in range(8))
            if random.random() < 0.3:
                page += "\n" + boilerplate[random.integers(len(boilerplate))]
        texts.append(page)
        size -= len(page)
    return pa.array(texts, pa.large_string())


def write_parts(folder: Path, size: int) -> list[Path]:
    """Write the texts as four parts."""
    texts = given_texts() if size == SIZE else None
    texts = invented_texts(size) if texts is None else texts
    paths = []
    for number, rows in enumerate(np.array_split(np.arange(len(texts)), 4)):
        paths.append(folder / f"{size}-{number}.parquet")
        date = pa.nulls(len(rows), pa.timestamp("us", "UTC"))
        table = pa.table({"doc": rows, "date": date, "text": texts.take(pa.array(rows))})
        pq.write_table(table, paths[-1], row_group_size=1024)
    return paths


def joined(paths: list[Path]) -> bytes:
    """The texts and a NUL after each."""
    return b"".join(text.encode() + b"\0" for text in pq.ParquetDataset(paths).read(["text"])["text"].to_pylist())


def ours(paths: list[Path], unit: Unit) -> Callable[[], pa.Table]:
    """Spans to cut: work of which nothing is done yet."""
    return lambda: duplicate_spans(paths, unit=unit, length=LENGTH if unit == "bytes" else LENGTH // 2, keep="none")


def suffix_array(paths: list[Path]) -> Callable[[], np.ndarray]:
    """The suffix array of the joined texts."""
    from pydivsufsort import divsufsort  # pyright: ignore[reportMissingImports]

    text = np.array(bytearray(joined(paths)), np.uint8)
    return lambda: divsufsort(text)


def dictionary(paths: list[Path]) -> Callable[[], dict[bytes, int]]:
    """How often each window occurs."""
    text = joined(paths)[: SIZE // 40]

    def count() -> dict[bytes, int]:
        counts: dict[bytes, int] = {}
        for start in range(len(text) - LENGTH):
            window = text[start : start + LENGTH]
            counts[window] = counts.get(window, 0) + 1
        return counts

    return count


def agree(paths: list[Path]) -> bool:
    """Whether the spans are those of a suffix array, for the smaller texts (ASCII without NUL)."""
    from pydivsufsort import divsufsort, kasai  # pyright: ignore[reportMissingImports]

    text = np.array(bytearray(joined(paths)), np.uint8)
    array = divsufsort(text)
    near = np.flatnonzero(kasai(text, array)[: len(text) - 1] >= LENGTH)
    starts = np.unique(np.concatenate([array[near], array[near + 1]]))
    ends = np.append(np.flatnonzero(text == 0), len(text))
    starts = starts[starts + LENGTH <= ends[np.searchsorted(ends, starts)]]
    cut = np.zeros(len(text) + 1, np.int64)
    np.add.at(cut, starts, 1)
    np.add.at(cut, starts + LENGTH, -1)
    found = np.zeros(len(text), np.bool_)
    begins = np.append(0, ends + 1)
    for row in ours(paths, "bytes")().to_pylist():
        for span in row["spans"]:
            found[begins[row["doc"]] + span["start"] : begins[row["doc"]] + span["end"]] = True
    return bool(np.array_equal(found, np.cumsum(cut)[:-1] > 0))


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(prepare: Callable, few: list[Path], paths: list[Path], *arguments: object) -> tuple[float, float]:
    """CPU seconds and added peak memory in MB, after a first call on a few texts."""
    prepare(few, *arguments)()
    work = prepare(paths, *arguments)
    memory, start = peak(), time.process_time()
    work()
    return time.process_time() - start, peak() - memory


def apart(function: Callable, *arguments: object) -> Any:
    """Call a function in a fresh process. This one stays small, as a child inherits its parent's peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print the rates, peak memory and the ratio."""
    installed = importlib.util.find_spec("pydivsufsort") is not None
    with tempfile.TemporaryDirectory() as name:
        paths = apart(write_parts, Path(name), SIZE)
        few = apart(write_parts, Path(name), SIZE // 40)
        size = len(apart(joined, paths))
        results = {
            "ours, 100 bytes": (size, *apart(measure, ours, few, paths, "bytes")),
            "ours, 50 words": (size, *apart(measure, ours, few, paths, "words")),
            "pydivsufsort alone" if installed else "dictionary": (
                (size, *apart(measure, suffix_array, few, paths))
                if installed
                else (SIZE // 40, *apart(measure, dictionary, few, paths))
            ),
        }
        assert not installed or apart(agree, few)
    rates = [bytes_ / seconds / 1e6 for bytes_, seconds, _ in results.values()]
    for (label, (bytes_, _, memory)), rate in zip(results.items(), rates, strict=True):
        print(f"{label:20} {rate:6.1f} MB/s, {memory:6.0f} MB, {memory * 2**20 / bytes_:6.1f} bytes a byte")
    print(f"{'ratio':20} {rates[0] / rates[-1]:6.1f}")
    report("substring", rates[0], rates[-1], words=rates[1])


if __name__ == "__main__":
    main()
